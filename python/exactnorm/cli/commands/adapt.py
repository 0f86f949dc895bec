"""exactnorm adapt."""

from __future__ import annotations

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Columns, Files, StateOutput, split


def adapt(files: Files, output: StateOutput, columns: Columns = None) -> None:
    """Learn the columns of FILES into a state document.

    By default, all columns of numbers are learned. Their order, and that of the files, changes no result.

    ```
    exactnorm adapt 2013-*.parquet -o year.json
    exactnorm adapt flights.csv.gz -o delays.json --columns dep_delay,arr_delay
    ```
    """
    from exactnorm.cli._adapt import learn  # pyarrow takes its time

    wanted = split(columns)
    with reporting():
        learn(files, wanted).save(output)
