"""Small plain arrays take a short way into C++: the results, errors and warnings are those of the long one.

An explicit `threads` goes the long way.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import exactnorm as en
import ml_dtypes
import numpy as np
import pytest
from exactnorm import _core
from hypothesis import given, settings
from hypothesis import strategies as st
from support import LAYOUTS, NDArray


class Mine(np.ndarray):
    """A subclass."""


DTYPES: dict[str, Any] = {
    **{name: np.dtype(name) for name in ("f2", "f4", "f8", "i1", "u1", "i2", "u4", "i8", "u8", "?")},
    "long long": np.dtype("q"),
    "with metadata": np.dtype("f4", metadata={"a": 1}),
    "other byte order": np.dtype(">f4"),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "long double": np.dtype("g"),
    "complex": np.dtype("c8"),
    "object": np.dtype("O"),
    "date": np.dtype("M8[s]"),
    "text": np.dtype("U3"),
    "record": np.dtype([("a", "f4")]),
}
KINDS: dict[str, Callable[[NDArray], Any]] = {
    **LAYOUTS,
    "subclass": lambda x: x.view(Mine),
    "masked": lambda x: np.ma.MaskedArray(x, mask=np.arange(x.size).reshape(x.shape) % 2 == 0),
    "unmasked": np.ma.MaskedArray,
    "repeated": lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim and len(x) else x,
    "warns when written": lambda x: np.broadcast_arrays(x, x)[0],
    "list": lambda x: x.tolist(),
    "None": lambda x: None,
    "dict": lambda x: {"a": x},
}
SHAPES = ((), (0,), (3,), (1, 3), (4, 3), (0, 3), (4, 2), (2, 2, 3), (4, 0), (3, 1))
shapes = st.sampled_from(SHAPES)
dtypes = st.sampled_from(list(DTYPES))


class Recipe(NamedTuple):
    """How to make an array, so that it can be made again."""

    shape: tuple[int, ...]
    dtype: str
    kind: str
    seed: int

    def make(self) -> Any:
        rng = np.random.default_rng(self.seed)
        numbers = rng.integers(-3, 4, self.shape).astype("f8")
        if self.seed % 3 == 0:
            numbers = np.where(numbers == 3, np.nan, numbers)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            x = np.asarray(numbers).astype(DTYPES[self.dtype])
        if self.kind in LAYOUTS and (x.ndim < 2 or x.dtype.hasobject):
            return x
        return KINDS[self.kind](x)


def recipes(
    shapes: st.SearchStrategy[tuple[int, ...]] = shapes, dtypes: st.SearchStrategy[str] = dtypes
) -> st.SearchStrategy[Recipe]:
    return st.builds(Recipe, shapes, dtypes, st.sampled_from(list(KINDS)), st.integers(0, 9))


def outcome(work: Callable[[], Any]) -> Any:
    """What work() returns or raises, and how it warns, to be compared."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = work()
        except Exception as error:
            result = type(error), str(error)
        if isinstance(result, np.ndarray):
            result = type(result), result.dtype, result.shape, result.strides, result.tobytes()
    return result, [(w.category, str(w.message), w.filename) for w in caught]


MOMENTS: dict[str, Callable[[], en.Moments]] = {
    "one": en.Moments,
    "three": lambda: en.Moments(3),
    "named": lambda: en.Moments(3, names=["a", "b", "c"]),
    "two axes": lambda: en.Moments((2, 3)),
    "weighted": lambda: en.Moments.from_data(np.ones((2, 3)), weights=np.ones(2)),
}


@given(recipes(), st.sampled_from(list(MOMENTS)))
def test_updates(recipe: Recipe, which: str) -> None:
    def update(**long: Any) -> Any:
        m = MOMENTS[which]()
        return outcome(lambda: m.update(recipe.make(), **long)), m.to_bytes()

    assert update() == update(threads=1)


@given(
    st.lists(recipes(dtypes=st.sampled_from(["f4", "f8", "bfloat16", "long long", "text"])), max_size=4),
    st.sampled_from([*MOMENTS, "layer", "layer, axis=None", "adapted layer"]),
    st.booleans(),
)
def test_streams(parts: list[Recipe], which: str, labels: bool) -> None:
    def learn(**long: Any) -> Any:
        stream = ((x, 0) if labels else x for x in [recipe.make() for recipe in parts])
        if which in MOMENTS:
            m = MOMENTS[which]()
            return outcome(lambda: m.update(stream, **long)), m.to_bytes()
        layer = en.Normalization(axis=None if "None" in which else -1)
        if "adapted" in which:
            layer.adapt(np.arange(12.0).reshape(4, 3))
        return outcome(lambda: layer.adapt(stream, **long)), layer.to_bytes()

    assert learn() == learn(threads=1)


def adapted(**options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(np.arange(12.0).reshape(4, 3))
    return layer


def built(**options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.build((None, 3))
    return layer


LAYERS: dict[str, Callable[[], en.Normalization]] = {
    "new": en.Normalization,
    "not adapted": lambda: built(name="mine"),
    "adapted": adapted,
    "axis=None": lambda: adapted(axis=None),
    "of one axis": lambda: en.Normalization.from_config({"axis": None, "mean": 1.0, "variance": 4.0}),
    "given": lambda: built(mean=[1.0, 2.0, 3.0], variance=2.0),
    "inverted": lambda: adapted(invert=True),
    "float64": lambda: adapted(dtype="float64"),
    "float16": lambda: adapted(dtype="float16"),
    "bfloat16": lambda: adapted(dtype="bfloat16"),
}
OUTS: dict[str, Callable[[Any], Any]] = {
    "x": lambda x: x,
    "overlapping": lambda x: x.reshape(-1)[::-1].reshape(x.shape),
    "copy": np.array,
    "transposed": lambda x: np.zeros(x.shape[::-1], x.dtype).T,
}
outs = st.one_of(
    st.none(),
    st.sampled_from(list(OUTS)),
    recipes(dtypes=st.sampled_from(["f4", "f8", "f2", "bfloat16", "other byte order", "with metadata"])),
)


@settings(max_examples=500)
@given(recipes(), outs, st.sampled_from(list(LAYERS)), st.booleans())
def test_calls(recipe: Recipe, out: str | Recipe | None, which: str, opposite: bool) -> None:
    def call(**long: Any) -> Any:
        layer = LAYERS[which]()
        x = recipe.make()
        target = out.make() if isinstance(out, Recipe) else None
        if isinstance(out, str) and isinstance(x, np.ndarray):
            target = OUTS[out](x)

        def twice() -> Any:  # what has been warned of is not warned of again
            method = layer.inverse if opposite else layer
            results = [method(x, out=target, **long) for _ in range(2)]
            assert target is None or results[0] is results[1] is target
            return results[1]

        done = outcome(twice)
        return done, repr(target), layer.to_bytes(), outcome(lambda: layer._warn())

    assert call() == call(threads=1)


@given(st.sampled_from(list(LAYERS)), recipes(st.sampled_from(SHAPES), st.sampled_from(["f4", "f8"])))
def test_calls_into_what_fits(which: str, recipe: Recipe) -> None:
    """The usual case, which chance would seldom find."""

    def call(**long: Any) -> Any:
        layer = LAYERS[which]()
        x = recipe.make()
        out = np.zeros(recipe.shape, DTYPES.get(layer.get_config()["dtype"], layer.get_config()["dtype"]))
        return outcome(lambda: layer(x, out, **long)), out.tobytes(), layer.to_bytes()

    assert call() == call(threads=1)


def test_the_short_way_is_taken() -> None:
    x = np.ones((2, 3), "f4")
    m = _core.Moments([3], [])
    assert m.try_update(x)
    assert not any(m.try_update(KINDS[kind](x)) for kind in ("subclass", "masked", "byte-swapped", "list"))
    layer = adapted()._impl
    assert layer.try_call(x, None, False, print) is not None
    assert layer.try_call(x, x, True, print) is x
    adaptation = _core.Adaptation(layer)
    assert adaptation.try_update(x)
    assert not adaptation.try_update(x[0])


@pytest.mark.parametrize("rows", [1000, 400_000, 800_000])  # with the GIL, without, watched
def test_sizes(rows: int) -> None:
    x = np.random.default_rng(0).standard_normal((rows, 3)).astype("f4")
    m, same = en.Moments(3), en.Moments(3)
    for batch in itertools.chain([x], [x[:rows:2], x[1::2]]):
        m.update(batch)
        same.update(batch, threads=1)
    assert m == same
    layer = adapted()
    assert layer(x).tobytes() == layer(x, threads=1).tobytes()


def test_a_warning_that_is_an_error() -> None:
    layer = built()
    x = np.ones((2, 3), "f4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="not adapted"):
            layer(x)
    assert layer(x).tolist() == x.tolist()
