"""Learning from a DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql import types as T  # noqa: N812

from exactnorm import _spark_work as _work
from exactnorm._documents import from_bytes
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._table_learner import TableLearner
from exactnorm.distributed import merge
from exactnorm.spark import _columns
from exactnorm.spark._shipping import shipped

_PART_BYTES = 128 << 20  # of a file, as in Spark
_TASKS_PER_CPU, _PARTS_PER_TASK = 2, 8  # a task costs as much as reading some ten megabytes
_FEW_STATES = 32  # which the driver adds up sooner than another stage starts


def adapt(
    df: DataFrame, columns: Iterable[str] | None = None, by: str | None = None, weights: str | None = None
) -> Moments | GroupedMoments:
    """Learn columns of a DataFrame, on its workers.

    The result is, to the bit, what one machine learns of the same rows, whatever the partitions and
    whichever tasks Spark runs twice. Each task sends one state, of some hundred bytes a feature; other tasks
    add them up, so that of P partitions the driver gets about √P states.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Its query runs once; it is asked for its first row before, for columns of arrays or vectors.
    columns : sequence of str, optional
        What to learn: columns of numbers, booleans, vectors of pyspark.ml, and arrays of numbers that have
        as many in each row (`emb` gives the features `emb[0]`, `emb[1]`, …). The default is all columns of
        integers or floats but those of keys and weights.
    by : str, optional
        The column of keys, integers or strings. Then the result is GroupedMoments.
    weights : str, optional
        The column of weights: not negative, and finite.

    Returns
    -------
    Moments or GroupedMoments
        With the names of the columns.

    Raises
    ------
    ValueError
        For columns that are not there, rows of unequal lengths, rows without a key, and weights that will
        not do; the message names the column.
    TypeError
        For what is no DataFrame, and for columns that do not hold what they are for.
    RuntimeError
        If a worker has no exactnorm, or another version of it.

    Examples
    --------
    >>> from pyspark.sql import SparkSession
    >>> from exactnorm.spark import adapt
    >>> spark = SparkSession.builder.master("local[2]").getOrCreate()
    >>> rows = [("NL", 31, 2.5), ("BE", 57, None), ("NL", 33, 4.5)]
    >>> df = spark.createDataFrame(rows, ["country", "age", "income"])
    >>> adapt(df).mean()
    array([40.33333333,  3.5       ])
    >>> adapt(df, columns=["age"], by="country")["NL"].mean()
    array([32.])
    """
    _columns.check_frame(df)
    plan = _planned(df, columns, by, weights)
    places = {name: i for i, name in enumerate(df.columns)}
    chosen = _columns.numbered(df).select(
        *(
            _columns.as_array(F.col(str(places[field.name])), field.dataType).alias(str(i))
            for i, field in enumerate(plan.fields)
        )
    )
    return _sum(chosen.mapInArrow(plan.work("learn"), _work.STATES), plan)


def adapt_parquet(
    spark: SparkSession,
    path: str,
    columns: Iterable[str] | None = None,
    by: str | None = None,
    weights: str | None = None,
) -> Moments | GroupedMoments:
    """Learn Parquet files, which the workers read themselves, past Spark.

    The result is that of ``adapt(spark.read.parquet(path), …)``, but for columns that folders' names have
    (``month=3``), and several times as fast: rows do not pass through the JVM. Workers open the files with
    pyarrow, by the names that Spark lists, so these must be on a file system that both know.

    Parameters
    ----------
    spark : pyspark.sql.SparkSession
    path : str
        A file, a folder of files, or a pattern.
    columns, by, weights
        As for `adapt`; not columns that folders' names have, whether or not the files have them too. The
        default is all columns of integers or floats but these, and those of keys and weights.

    Returns
    -------
    Moments or GroupedMoments

    Raises
    ------
    ValueError, TypeError, RuntimeError
        As `adapt`, for a column that folders' names have, and for files that lack a column.
    OSError
        If a worker cannot read a file; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> from pyspark.sql import SparkSession
    >>> from exactnorm.spark import adapt, adapt_parquet
    >>> spark = SparkSession.builder.master("local[2]").getOrCreate()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     spark.range(1000).write.mode("overwrite").parquet(folder)
    ...     adapt_parquet(spark, folder) == adapt(spark.range(1000))
    True
    """
    df = spark.read.parquet(path)
    files, folded = df.inputFiles(), _columns.folding(spark)
    of_folders = set(map(folded, _columns.of_folders(path, files)))
    if columns is None:
        learnable = [n for n in df.columns if folded(n) not in of_folders or n in (by, weights)]
        df = df.select(*map(_columns.quoted, learnable))
    plan = _planned(df, columns, by, weights)
    for field in plan.fields:
        if folded(field.name) in of_folders:
            raise ValueError(f"column {field.name!r} is of folders' names, which only Spark reads: use adapt")
        if _columns.is_vector(field.dataType):
            raise TypeError(f"column {field.name!r} has vectors, which only Spark reads: use adapt")
    parts = _work.parts_of(files, _PART_BYTES)
    if not parts:
        return plan.nothing()
    tasks = min(len(parts), max(_TASKS_PER_CPU * _cpus(spark), len(parts) // _PARTS_PER_TASK))
    numbers = spark.range(tasks, numPartitions=tasks)
    shares = [parts[i::tasks] for i in range(tasks)]
    states = numbers.mapInArrow(plan.work("learn_files", shares), _work.STATES)
    return _sum(states, plan, few=tasks <= _FEW_STATES)


def _cpus(spark: SparkSession) -> int:
    """Return how many tasks run at a time; 1 where a session does not tell (Spark Connect)."""
    try:
        return int(spark.sparkContext.defaultParallelism)
    except PySparkException:
        return 1


class _Plan(NamedTuple):
    """What to learn, checked."""

    fields: list[Any]
    """Of Spark: the columns to learn, then those of keys and weights."""
    widths: dict[str, int]
    columns: list[str]
    by: str | None
    weights: str | None

    def work(self, name: str, *arguments: Any) -> Any:
        """Return that function of `_spark_work`, for the workers."""
        names = [field.name for field in self.fields]
        return shipped(
            name, names, self.widths, self.columns, self.by, self.weights, *arguments, reports=True
        )

    def nothing(self) -> Moments | GroupedMoments:
        """Return the state of no rows."""
        learner = TableLearner(self.columns, self.by, self.weights, threads=1)
        learner.add(_columns.empty_table(self.fields, self.widths))
        assert learner.state is not None  # noqa: S101 - there was a table
        return learner.state


def _planned(df: DataFrame, columns: Iterable[str] | None, by: str | None, weights: str | None) -> _Plan:
    chosen = _chosen(df, columns, by, weights)
    names = [*chosen, *(name for name in (by, weights) if name is not None)]
    fields = [_columns.field_of(df, name) for name in names]
    widths = _columns.widths(df, [field.name for field in fields if _columns.is_list(field.dataType)])
    return _Plan(fields, widths, chosen, by, weights)


def _sum(states: DataFrame, plan: _Plan, *, few: bool = False) -> Moments | GroupedMoments:
    """Add up rows of STATES, on the workers first unless they are few."""
    if not few:
        # Of the partitions 0 … P - 1, 2k + 1 have the root k: about √P roots, without P being known here.
        root = F.floor(F.sqrt(F.spark_partition_id()))
        spread = states.withColumn("root", root).repartition("root").drop("root")
        states = spread.mapInArrow(shipped("add_up", reports=True), _work.STATES)
    rows = states.collect()
    for row in rows:
        if row.error is not None:
            kind, _, message = row.error.partition(": ")
            raise _work.ERRORS[kind](message)
    if not rows:
        return plan.nothing()
    total: Any = from_bytes(merge(bytes(row.state) for row in rows))
    return total


def _chosen(df: DataFrame, columns: Iterable[str] | None, by: str | None, weights: str | None) -> list[str]:
    """Return the columns to learn, and check all of them by their types."""
    others = {name for name in (by, weights) if name is not None}
    if columns is None:
        fields = [field for field in df.schema.fields if field.name not in others]
        chosen = [field.name for field in fields if _columns.is_number(field.dataType)]
        if not chosen:
            raise ValueError(f"expected columns of numbers to learn, got {_columns.listed(df.columns)}")
    else:
        chosen = _columns.labels_of(columns)
        if not chosen:
            raise ValueError("expected columns to learn, got none")
        for name in chosen:
            if name in others:
                raise ValueError(f"column {name!r} has keys or weights: it cannot be learned as well")
    for name in chosen:
        of = _columns.field_of(df, name).dataType
        if not (_columns.is_scalar(of) or _columns.is_list(of)):
            raise TypeError(f"column {name!r} is {of.simpleString()}: expected numbers or booleans")
    if weights is not None and not _columns.is_number(of := _columns.field_of(df, weights).dataType):
        raise TypeError(f"column {weights!r} is {of.simpleString()}: expected weights")
    keys = (T.ByteType, T.ShortType, T.IntegerType, T.LongType, T.StringType)
    if by is not None and not isinstance(of := _columns.field_of(df, by).dataType, keys):
        raise TypeError(f"column {by!r} is {of.simpleString()}: expected keys, integers or strings")
    return chosen
