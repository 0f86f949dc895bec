"""exactnorm adapt."""

from __future__ import annotations

from typing import Annotated

import typer

from exactnorm.cli._errors import complain, message_of, reporting
from exactnorm.cli._options import Columns, Files, Json, StateOutput, split

SOME_FILES_SKIPPED = 4

By = Annotated[
    str | None, typer.Option(metavar="KEY", help="One state for each value of this column, also of folders.")
]
Weights = Annotated[str | None, typer.Option(metavar="COL", help="A column of weights.")]
AddTo = Annotated[str | None, typer.Option(metavar="STATE", help="Add to what this document has.")]
CheckpointFolder = Annotated[
    str | None, typer.Option("--checkpoint", metavar="DIR", help="Note progress there; go on from there.")
]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: all CPUs.")]
SkipBadFiles = Annotated[
    bool, typer.Option("--skip-bad-files", metavar="", help="Leave out what cannot be read; exit with 4.")
]


def adapt(
    files: Files,
    output: StateOutput,
    *,
    columns: Columns = None,
    by: By = None,
    weights: Weights = None,
    add_to: AddTo = None,
    checkpoint: CheckpointFolder = None,
    threads: Threads = None,
    skip_bad_files: SkipBadFiles = False,
    json: Json = False,
) -> None:
    """Learn the columns of FILES into a state document.

    By default, all columns of numbers are learned. Their order, and that of the files, changes no result.

    ```
    exactnorm adapt 2013-*.parquet -o year.json
    exactnorm adapt flights.csv.gz -o delays.json --columns "dep_delay,arr_*"
    exactnorm adapt year=2013/ -o by-carrier.json --by carrier
    exactnorm adapt today.parquet --add-to year.json -o year.json
    exactnorm adapt s3://bucket/events/ -o events.json --checkpoint progress/
    ```
    """
    from exactnorm.cli._progress import counting  # pyarrow and rich take their time
    from exactnorm.cli._states import check_target, load_moments
    from exactnorm.cli._summary import print_summary
    from exactnorm.files import adapt as learn

    skipped: dict[str, str] = {}
    wanted = split(columns)
    with reporting():
        check_target(output)
        base = None if add_to is None else load_moments(add_to)
        with counting(threads) as counter:
            state = learn(
                files,
                columns=wanted,
                by=by,
                weights=weights,
                add_to=base,
                checkpoint=checkpoint,
                threads=threads,
                on_bad_file=(lambda name, error: skipped.update({name: message_of(error)}))
                if skip_bad_files
                else None,
                on_progress=counter,
            )
        state.save(output)
        for message in skipped.values():
            complain(f"skipped: {message}")
        if json:
            print_summary(state, output, rows=counter.rows, skipped=skipped)
    if skipped:
        raise typer.Exit(SOME_FILES_SKIPPED)
