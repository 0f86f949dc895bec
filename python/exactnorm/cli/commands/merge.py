"""exactnorm merge."""

from __future__ import annotations

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import StateOutput, States


def merge(states: States, output: StateOutput) -> None:
    """Add up STATES: as if one pass had learned all their data.

    Moments with Moments, groups with groups, layers with layers that are configured alike. The order changes
    no result. The output may be one of STATES.

    ```
    exactnorm merge 2013-*.json -o year.json
    ```
    """
    from exactnorm.cli._merge import merged

    with reporting():
        merged(states).save(output)
