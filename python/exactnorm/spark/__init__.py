"""Exact statistics inside Spark: learn from a DataFrame, apply to one; the bits of one machine.

`adapt` and `adapt_parquet` learn, `transform` applies by Arrow and `to_sql_columns` by Spark's own
expressions, and `ExactStandardScaler` is an estimator for the pipelines of `pyspark.ml`.
"""

from exactnorm._extras import needs

with needs("spark", "exactnorm.spark"):
    from exactnorm.spark._adapt import adapt, adapt_parquet
    from exactnorm.spark._scaler import ExactStandardScaler, ExactStandardScalerModel
    from exactnorm.spark._sql import to_sql_columns
    from exactnorm.spark._transform import transform

__all__ = [
    "ExactStandardScaler",
    "ExactStandardScalerModel",
    "adapt",
    "adapt_parquet",
    "to_sql_columns",
    "transform",
]

for _class in (ExactStandardScaler, ExactStandardScalerModel):
    _class.__module__ = "exactnorm.spark"  # saved pipelines say where it is
