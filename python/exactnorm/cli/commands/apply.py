"""exactnorm apply."""

from __future__ import annotations

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import (
    Columns,
    DropOthers,
    Epsilon,
    InfPolicy,
    Input,
    Inverse,
    NanPolicy,
    OnConstant,
    Output,
    OutputDType,
    State,
    split,
)


def apply(
    state: State,
    source: Input,
    output: Output,
    *,
    inverse: Inverse = False,
    columns: Columns = None,
    drop_others: DropOthers = False,
    dtype: OutputDType = None,
    nan_policy: NanPolicy = None,
    inf_policy: InfPolicy = None,
    constant_policy: OnConstant = None,
    epsilon: Epsilon = None,
) -> None:
    """Write IN with the state's columns normalized: (x - mean) / sd.

    All else stays as it is: other columns, nulls, the order. STATE holds Moments, or a Normalization layer,
    whose own policies count unless others are given.

    ```
    exactnorm apply year.json today.parquet -o z.parquet
    exactnorm apply year.json today.csv -o z.csv.gz --constant-policy unit
    exactnorm apply year.json z.parquet -o back.parquet --inverse --drop-others
    ```
    """
    from exactnorm.cli._apply import normalize

    given = {
        "dtype": dtype,
        "nan_policy": nan_policy,
        "inf_policy": inf_policy,
        "constant_policy": constant_policy,
        "epsilon": epsilon,
    }
    wanted = split(columns)
    with reporting():
        normalize(
            state,
            source,
            output,
            columns=wanted,
            settings={key: value for key, value in given.items() if value is not None},
            inverse=inverse,
            drop_others=drop_others,
        )
