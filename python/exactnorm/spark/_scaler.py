"""An estimator for the pipelines of pyspark.ml."""

# ruff: noqa: ARG002, N802, N803, N815 - names of Spark's, and it collects a method's arguments itself

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.linalg import DenseVector, Vectors
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasInputCols, HasOutputCol, HasOutputCols
from pyspark.ml.util import (
    DefaultParamsReadable,
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import DataFrame

from exactnorm._documents import from_bytes
from exactnorm._frames import features_by_column
from exactnorm._moments import Moments
from exactnorm.spark import _columns
from exactnorm.spark._adapt import adapt
from exactnorm.spark._sql import checked, scaled

_STATE = "state"  # the folder in a saved model; its one text file is a state document


class _Scaler(HasInputCol, HasInputCols, HasOutputCol, HasOutputCols):
    """The parameters that the estimator and the model have in common."""

    withMean = Param(Params._dummy(), "withMean", "subtract the mean", TypeConverters.toBoolean)
    withStd = Param(Params._dummy(), "withStd", "divide by the std", TypeConverters.toBoolean)
    ddof = Param(Params._dummy(), "ddof", "the variance divides by n - ddof", TypeConverters.toInt)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(withMean=False, withStd=True, ddof=1)

    def setInputCol(self, value: str) -> Self:
        """Set the column to read."""
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> Self:
        """Set the name of the result."""
        return self._set(outputCol=value)

    def setInputCols(self, value: Sequence[str]) -> Self:
        """Set several columns to read, instead of one."""
        return self._set(inputCols=value)

    def setOutputCols(self, value: Sequence[str]) -> Self:
        """Set the names of the results of several columns."""
        return self._set(outputCols=value)

    def getWithMean(self) -> bool:
        """Whether the mean is subtracted."""
        return bool(self.getOrDefault("withMean"))

    def getWithStd(self) -> bool:
        """Whether it is divided by the standard deviation."""
        return bool(self.getOrDefault("withStd"))

    def getDdof(self) -> int:
        """Return the ddof of the standard deviation."""
        return int(self.getOrDefault("ddof"))

    def _pairs(self) -> list[tuple[str, str]]:
        """Return each input with its output."""
        is_one = self.isSet("inputCol")
        if is_one == self.isSet("inputCols"):
            raise ValueError("expected either inputCol or inputCols")
        if is_one:
            return [(self.getOrDefault("inputCol"), self.getOrDefault("outputCol"))]
        inputs = self.getOrDefault("inputCols")
        outputs = self.getOrDefault("outputCols") if self.isSet("outputCols") else []
        if len(inputs) != len(outputs):
            raise ValueError(
                f"expected as many outputCols as inputCols, got {len(outputs)} and {len(inputs)}"
            )
        return list(zip(inputs, outputs, strict=True))


class ExactStandardScaler(Estimator, _Scaler, DefaultParamsReadable, MLWritable):
    """Learn the exact mean and standard deviation of columns, as a stage of a pipeline.

    It takes the place of `pyspark.ml.feature.StandardScaler` and has its defaults: no subtraction, and the
    standard deviation of a sample (ddof 1). With ``withMean=True, ddof=0`` it does what `Normalization` does.

    Parameters
    ----------
    inputCol, outputCol : str, optional
        A column of vectors, of arrays of numbers (as many in each row), of numbers, or of booleans.
    inputCols, outputCols : sequence of str, optional
        Instead of these, several columns at once.
    withMean : bool, default False
        Subtract the mean. Vectors become dense in any case.
    withStd : bool, default True
        Divide by the standard deviation; where all values are equal, by 1.
    ddof : int, default 1
        The variance divides by n - ddof.

    Notes
    -----
    NaN and nulls are left out when learning, and stay where they are; Spark's own has no statistics then. A
    feature whose values are all equal stays x, or x - mean, where Spark's own makes it 0.

    Examples
    --------
    >>> from pyspark.ml.linalg import Vectors
    >>> from pyspark.sql import SparkSession
    >>> from exactnorm.spark import ExactStandardScaler
    >>> spark = SparkSession.builder.master("local[2]").getOrCreate()
    >>> df = spark.createDataFrame([(Vectors.dense(1.0, 10.0),), (Vectors.dense(3.0, 10.0),)], ["x"])
    >>> model = ExactStandardScaler(inputCol="x", outputCol="z", withMean=True, ddof=0).fit(df)
    >>> model.transform(df).select("z").collect()
    [Row(z=DenseVector([-1.0, 0.0])), Row(z=DenseVector([1.0, 0.0]))]
    """

    _input_kwargs: dict[str, Any]

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        inputCols: Sequence[str] | None = None,
        outputCols: Sequence[str] | None = None,
        withMean: bool = False,
        withStd: bool = True,
        ddof: int = 1,
    ) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    @keyword_only
    def setParams(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        inputCols: Sequence[str] | None = None,
        outputCols: Sequence[str] | None = None,
        withMean: bool = False,
        withStd: bool = True,
        ddof: int = 1,
    ) -> Self:
        """Set those parameters that are given; others stay."""
        return self._set(**self._input_kwargs)

    def setWithMean(self, value: bool) -> Self:
        """Set whether to subtract the mean."""
        return self._set(withMean=value)

    def setWithStd(self, value: bool) -> Self:
        """Set whether to divide by the standard deviation."""
        return self._set(withStd=value)

    def setDdof(self, value: int) -> Self:
        """Set the ddof of the standard deviation."""
        return self._set(ddof=value)

    def _fit(self, dataset: DataFrame) -> ExactStandardScalerModel:
        inputs = [name for name, _ in self._pairs()]
        moments: Any = adapt(dataset, inputs)
        features = features_by_column(moments.names, inputs)
        widths = [
            len(features[name]) if _columns.is_list(_columns.field_of(dataset, name).dataType) else None
            for name in inputs
        ]
        model = self._copyValues(ExactStandardScalerModel(moments, widths))
        model._readings()  # refuses now what it could not apply
        return model

    def write(self) -> MLWriter:
        """Return what saves this estimator."""
        return DefaultParamsWriter(self)


class ExactStandardScalerModel(Model, _Scaler, MLReadable, MLWritable):
    """What an `ExactStandardScaler` has learned. It runs in the JVM, with the bits of `Normalization`.

    Parameters
    ----------
    moments : Moments
        The exact sums of the input columns' features.
    widths : sequence of int or None, optional
        How many numbers a row has in each input column, or None for a column of numbers. The default is
        that all are columns of numbers.
    """

    def __init__(self, moments: Moments | None = None, widths: Sequence[int | None] | None = None) -> None:
        super().__init__()
        self._moments = Moments(0) if moments is None else moments
        self._widths = [None] * len(self._moments.count) if widths is None else list(widths)

    @property
    def moments(self) -> Moments:
        """A copy of the exact sums that were learned."""
        return self._moments.copy()

    @property
    def mean(self) -> DenseVector:
        """The mean of each feature."""
        return Vectors.dense(self._moments.mean(nan_policy="omit"))

    @property
    def std(self) -> DenseVector:
        """The standard deviation of each feature, with `ddof`."""
        return Vectors.dense(self._moments.std(nan_policy="omit", ddof=self.getOrDefault("ddof")))

    def _readings(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return what to subtract and what to divide by."""
        with_std = self.getWithStd()
        ddof = self.getDdof() if with_std else 0
        few = np.flatnonzero(self._moments.count <= ddof)
        if len(few):
            names = _columns.listed((self._moments.names or ())[i] for i in few[:20])
            raise ValueError(f"expected more than {ddof} finite values in each feature, not so in {names}")
        mean = self._moments.mean(nan_policy="omit", inf_policy="raise")
        std = None
        if with_std:
            std = self._moments.std(nan_policy="omit", inf_policy="raise", ddof=ddof)
            std[std == 0] = 1
        return mean if self.getWithMean() else None, std

    def _transform(self, dataset: DataFrame) -> DataFrame:
        _columns.check_frame(dataset)
        mean, std = self._readings()
        pairs = self._pairs()
        if len(pairs) != len(self._widths):
            raise ValueError(f"expected {len(self._widths)} input columns, as were learned, got {len(pairs)}")
        folded = _columns.folding(dataset.sparkSession)
        taken = {folded(name): name for name in dataset.columns}
        unpacked: dict[str, Any] = {}  # vectors as arrays, once: each element's expression would do it again
        made: dict[str, Any] = {}
        first = 0
        for (source, target), width in zip(pairs, self._widths, strict=True):
            own = slice(first, first := first + (width or 1))
            field = _columns.field_of(dataset, source)
            if not (_columns.is_scalar if width is None else _columns.is_list)(field.dataType):
                expected = "numbers or booleans" if width is None else f"vectors or arrays of {width} numbers"
                raise TypeError(f"column {source!r} is {field.dataType.simpleString()}: expected {expected}")
            if (other := taken.get(folded(target))) is not None:
                raise ValueError(f"there is a column {other!r} already: expected another outputCol")
            taken[folded(target)] = target
            x = _columns.quoted(source)
            if _columns.is_vector(field.dataType):
                array = f"{self.uid}__{len(unpacked)}"
                unpacked[array] = _columns.as_array(x, field.dataType)
                x = _columns.quoted(array)
            value = scaled(
                x, "double", None if mean is None else mean[own], None if std is None else std[own], width
            )
            if width is not None:
                value = checked(x, source, width, value)
            made[target] = _columns.like(value, field.dataType)
        return dataset.withColumns(unpacked).withColumns(made).drop(*unpacked)

    def write(self) -> MLWriter:
        """Return what saves this model."""
        return _ModelWriter(self)

    @classmethod
    def read(cls) -> MLReader[Self]:
        """Return what loads a model."""
        return _ModelReader(cls)


class _ModelWriter(DefaultParamsWriter):
    def saveImpl(self, path: str) -> None:
        self.saveMetadata(self.instance, path, self.sparkSession, {"widths": self.instance._widths})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "state.json"
            self.instance._moments.save(file)
            document = file.read_text(encoding="utf-8")
        rows = self.sparkSession.createDataFrame([(document,)], "value string")
        rows.coalesce(1).write.text(os.path.join(path, _STATE))  # noqa: PTH118 - it may be a URL


class _ModelReader(DefaultParamsReader):
    def load(self, path: str) -> ExactStandardScalerModel:
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        folder = os.path.join(path, _STATE)  # noqa: PTH118 - it may be a URL
        document = self.sparkSession.read.text(folder, wholetext=True).first()[0]
        moments = from_bytes(document.encode())
        if not isinstance(moments, Moments):
            raise ValueError(
                f"{folder}: expected the state of Moments, got that of a {type(moments).__name__}"
            )
        model = ExactStandardScalerModel(moments, metadata["widths"])
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model
