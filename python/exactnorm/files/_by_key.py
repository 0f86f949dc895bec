"""Tables normalized row by row, by what is known of each row's key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from exactnorm import _core
from exactnorm._frame_kinds import frame_of
from exactnorm._grouped import GroupedMoments
from exactnorm._keys import read_keys
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._warn import warn
from exactnorm.files._by_layer import Features, How, check_dtype, no_rows, policies
from exactnorm.files._kinds import is_text
from exactnorm.files._parallel import in_order

NDArray = npt.NDArray[Any]
Unknown = Literal["raise", "global"]

_CELLS = 1 << 16  # features of groups that are read at once
_MOST_WARNINGS = 20
_NARROW = (pa.types.is_float16, pa.types.is_float32, pa.types.is_boolean)


class ByKey:
    """A layer for each key.

    A row gets, to the bit, what a layer adapted to its key's Moments alone would give it. What is known of a
    key is read when the first row with it comes, so keys that do not come need not have a value.
    """

    def __init__(
        self, state: GroupedMoments, features: Features, how: How, by: str, unknown: Unknown
    ) -> None:
        self._state, self._how, self._by, self._unknown = state, how, by, unknown
        config = dict(how.settings)
        check_dtype(config)
        self._dtype = np.dtype(config.get("dtype") or "float32")
        self._config = config
        index = {name: i for i, name in enumerate(state.names or ())}
        self._names = [name for own in features.values() for name in own]
        self._features = [index[name] for name in self._names]
        self._slices: dict[str, slice] = {}
        for column, own in features.items():
            first = sum(part.stop - part.start for part in self._slices.values())
            self._slices[column] = slice(first, first + len(own))
            if list(own) not in ([column], [f"{column}[{i}]" for i in range(len(own))]):
                raise ValueError(f"column {column!r}: expected its features in order, got {', '.join(own)}")
        self._keys = state.keys()
        self._is_text = bool(self._keys) and isinstance(self._keys[0], str)
        self._places = {key: i for i, key in enumerate(self._keys)} if self._is_text else {}
        self._integers = np.array([] if self._is_text else self._keys, np.int64)
        # Of each key, then of all together: means and divisors, narrow and wide.
        shape = (len(self._keys) + 1, len(self._features))
        self._is_read = np.zeros(shape[0], bool)
        self._narrow = [np.zeros(shape, np.float32) for _ in range(2)]
        self._wide = [np.zeros(shape, np.float64) for _ in range(2)]
        self._warnings: list[str] = []

    @property
    def columns(self) -> list[str]:
        """Those that are normalized."""
        return list(self._slices)

    @property
    def has_text_keys(self) -> bool:
        """Whether keys are text, even where they look like numbers."""
        return self._is_text

    def schema(self, before: pa.Schema) -> pa.Schema:
        """Return what comes out of what goes in. TypeError for columns that are not numbers."""
        return self.normalized(no_rows(before), 0).schema

    def normalized(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """Return rows with their columns normalized. ValueError naming the row if its key is not known."""
        groups = self._groups(batch.column(self._by), first_row)
        self._read(np.unique(groups[~self._is_read[groups]]))
        chosen = [batch.schema.get_field_index(column) for column in self._slices]

        def normalize(table: pa.RecordBatch, _rows: int) -> list[NDArray]:
            return [
                self._column(name, column, groups)
                for name, column in zip(table.schema.names, table.columns, strict=True)
            ]

        result: pa.RecordBatch = frame_of(batch, self._dtype.name).replaced(chosen, normalize)
        return result

    def finish(self) -> None:
        """Warn of what the keys that came have had."""
        warn(self._warnings[:_MOST_WARNINGS], RuntimeWarning)

    def _groups(self, keys: pa.Array, first_row: int) -> npt.NDArray[np.intp]:
        """Return each row's place among the keys; the last place is for what is not known."""
        keys = self._as_keys(keys)
        groups = np.full(len(keys), len(self._keys), np.intp)
        is_key = keys.is_valid().to_numpy(zero_copy_only=False)
        groups[is_key] = self._find(keys.drop_null())
        if self._unknown == "raise":
            unknown = np.flatnonzero(groups == len(self._keys))
            if unknown.size > 0:
                key = keys[int(unknown[0])].as_py()
                what = "no key (null)" if key is None else f"key {key!r} has not been learned"
                raise ValueError(f"row {first_row + int(unknown[0]) + 1:,}, column {self._by!r}: {what}")
        return groups

    def _as_keys(self, keys: pa.Array) -> pa.Array:
        """Return keys of the kind that has been learned."""
        if pa.types.is_dictionary(keys.type):
            keys = keys.cast(keys.type.value_type)
        kind = keys.type
        if pa.types.is_null(kind):
            return keys.cast(pa.string() if self._is_text else pa.int64())
        if pa.types.is_integer(kind) and self._is_text:
            raise ValueError(f"column {self._by!r} has keys that are integers; strings have been learned")
        if is_text(kind) and not self._is_text and len(self._keys) > 0:
            keys = keys.cast(pa.large_string())
            missing = pa.array(pa.csv.ConvertOptions().null_values, pa.large_string())
            try:
                return pc.if_else(pc.is_in(keys, missing), None, keys).cast(pa.int64())
            except pa.ArrowInvalid as error:
                raise ValueError(f"column {self._by!r}: expected keys that are integers: {error}") from error
        return keys

    def _find(self, keys: pa.Array) -> npt.NDArray[np.intp]:
        found = read_keys(keys)
        nowhere = len(self._keys)
        if found.dictionary is not None:
            places = [self._places.get(key, nowhere) for key in found.dictionary]
            return np.array(places, np.intp)[found.codes] if places else np.empty(0, np.intp)
        if nowhere == 0:
            return np.zeros(len(found.codes), np.intp)
        at = np.searchsorted(self._integers, found.codes).clip(max=nowhere - 1)
        return np.where(self._integers[at] == found.codes, at, nowhere)

    def _read(self, groups: npt.NDArray[np.intp]) -> None:
        """Read means and divisors of groups that come for the first time."""
        if groups.size > 0 and groups[-1] == len(self._keys):
            total = Moments._of(self._state.total()._impl.select(self._features))
            self._warnings += self._store(groups[-1:], lambda _: total)
            groups = groups[:-1]
        step = max(1, _CELLS // max(1, len(self._features)))
        parts = [groups[first : first + step] for first in range(0, len(groups), step)]
        threads = self._how.threads or pa.cpu_count()
        for _, warnings in in_order(
            lambda own: self._store(own, partial(self._stacked, own)), parts, threads
        ):
            self._warnings += warnings

    def _stacked(self, groups: npt.NDArray[np.intp], names: bool) -> Moments:
        labels = [f"{name} of {self._keys[group]!r}" for group in groups for name in self._names if names]
        return Moments._of(self._state._impl.stack(groups.tolist(), self._features, labels))

    def _store(self, groups: npt.NDArray[np.intp], moments: Callable[[bool], Moments]) -> list[str]:
        """Keep means and divisors of groups, whose Moments come with names if there is something to say."""
        shape = (len(groups), len(self._features))
        learned = moments(False)
        empty = _empty(learned, self._config) if self._how.empty == "pass" else np.zeros(learned.shape, bool)
        try:
            layer, warnings = self._adapted(learned, empty)
        except ValueError:
            layer, warnings = self._adapted(moments(True), empty)
        if warnings:
            warnings = self._adapted(moments(True), empty)[1]
        empty = empty.reshape(shape)
        for wide, (means, divisors) in ((False, self._narrow), (True, self._wide)):
            mean, _, divisor = layer.statistics(wide)
            # x - 0, and x * 1 + -0, are x even if that is -0.
            means[groups] = np.where(empty, -0.0 if self._how.inverse else 0.0, mean.reshape(shape))
            divisors[groups] = np.where(empty, 1, divisor.reshape(shape))
        self._is_read[groups] = True
        return warnings

    def _adapted(self, moments: Moments, empty: NDArray) -> tuple[_core.Normalization, list[str]]:
        """Return a layer for these Moments, with anything in the place of what is empty; and its warnings."""
        if empty.any():
            anything = Moments(moments.shape)
            anything.update(
                np.stack([-np.ones(moments.shape), np.ones(moments.shape)]),
                where=np.stack([empty, empty]),
                weights=np.ones((2, *moments.shape)) if moments.weighted else None,
            )
            moments = moments + anything
        layer = Normalization(**self._config, axis=tuple(range(-len(moments.shape), 0)))._impl
        adaptation = _core.Adaptation(layer)
        adaptation.merge(moments._impl)
        adaptation.commit()
        return layer, layer.take_warnings()

    def _column(self, name: str, column: pa.Array, groups: npt.NDArray[np.intp]) -> NDArray:
        """Compute as the contract says: what the kernels of a layer do."""
        try:
            values, kind = _numbers(column)
        except TypeError as error:
            raise TypeError(f"column {name!r}: {error}") from error
        of = self._slices[name]
        width = values.shape[1] if values.ndim == 2 else 1
        if width != of.stop - of.start:
            raise ValueError(
                f"column {name!r} has {width} features, and {of.stop - of.start} have been learned"
            )
        means, divisors = self._narrow if self._is_narrow(kind) else self._wide
        place = of if values.ndim == 2 else of.start
        mean, divisor = means[:, place][groups], divisors[:, place][groups]
        with np.errstate(all="ignore"):
            x: Any = values.astype(mean.dtype)
            if self._how.inverse:
                x *= divisor
                x += mean
            else:
                x -= mean
                x /= divisor
            return np.asarray(x.astype(self._dtype, copy=False))

    def _is_narrow(self, kind: pa.DataType) -> bool:
        """Whether float32 is the type to compute in."""
        is_short = pa.types.is_integer(kind) and kind.bit_width <= 16
        return self._dtype.itemsize <= 4 and (is_short or any(is_of(kind) for is_of in _NARROW))


def _numbers(column: pa.Array) -> tuple[NDArray, pa.DataType]:
    """Return values of shape (rows,) or (rows, k), anything where they are null, and their type."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        width = kind.list_size
        values, of = _numbers(column.values.slice(column.offset * width, len(column) * width))
        return values.reshape(-1, width), of
    if pa.types.is_dictionary(kind):
        return _numbers(column.cast(kind.value_type))
    if pa.types.is_null(kind):
        return np.zeros(len(column)), pa.float64()
    if pa.types.is_boolean(kind):
        return _numbers(column.cast(pa.uint8()))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise TypeError(f"expected numbers or booleans, got {kind}")
    data = column.buffers()[1]
    dtype = np.dtype(kind.to_pandas_dtype())
    if data is None or len(column) == 0:
        return np.zeros(len(column), dtype), kind
    return np.frombuffer(data, dtype, len(column), column.offset * dtype.itemsize), kind


def _empty(moments: Moments, config: Any) -> NDArray:
    """Tell which features have no value to learn from."""
    core = moments._impl
    empty = np.zeros(moments.shape, bool)
    if core.read("mean", "float64", *policies(config), 0)[1]:
        for i in np.flatnonzero(core.counts()[0].ravel() == 0).tolist():
            empty.flat[i] = bool(core.select([i]).read("mean", "float64", *policies(config), 0)[1])
    return empty
