"""exactnorm merge."""

from __future__ import annotations

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Json, StateOutput, States


def merge(states: States, output: StateOutput, *, json: Json = False) -> None:
    """Add up STATES: as if one pass had learned all their data.

    Moments with Moments, groups with groups, layers with layers that are configured alike. The order changes
    no result. The output may be one of STATES.

    ```
    exactnorm merge 2013-*.json -o year.json
    ```
    """
    from exactnorm.cli._merge import merged
    from exactnorm.cli._summary import print_summary

    with reporting():
        state = merged(states)
        state.save(output)
        if json:
            print_summary(state, output)
