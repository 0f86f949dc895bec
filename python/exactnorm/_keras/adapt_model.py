"""All exact layers of a functional model, adapted in one pass over the data."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from exactnorm import _core
from exactnorm._arguments import at_least_one
from exactnorm._arrays import is_array
from exactnorm._inputs import holds_numbers
from exactnorm._keras.graph import calls, exact_layers_before, functional, is_graph, sources
from exactnorm._keras.inputs import source_of
from exactnorm._keras.layer import ExactLayer
from exactnorm._learn import feed
from exactnorm._streams import Stream, ranks_of
from exactnorm._tables import table_kind
from exactnorm._warn import warn

_ROWS_COMPUTED = 1024


def adapt_model(
    keras: Any,
    model: Any,
    data: Any,
    batch_size: int | None,
    steps: int | None,
    *,
    layers: Iterable[Any] | None,
    use_sample_weight: bool,
    verbose: int,
    threads: int | None,
) -> None:
    """Adapt all layers, or none if there is an error; see `exactnorm.keras.adapt_model`."""
    batch_size = at_least_one(batch_size, "batch_size")
    steps = at_least_one(steps, "steps")
    if not is_graph(keras, model) or not model.built:
        got = (
            "a Sequential that is not built: give it an Input"
            if is_graph(keras, model)
            else type(model).__name__
        )
        raise ValueError(
            f"expected a functional model or a built Sequential, got {got}; or adapt its layers alone"
        )
    learning = _Learning(keras, model, layers)
    elements = _Elements(_Inputs(model, learning.inputs, use_sample_weight), data, batch_size, steps)
    bar = learning.progress_bar(elements.target) if verbose else None
    for values, weights in elements.parts(whole=not learning.computes):
        learning.feed(values, weights, threads)
        if bar is not None:
            bar.update(elements.taken)
    learning.commit()
    warn(elements.complaints, UserWarning)


class _Learning:
    """The layers to adapt, what of the model must be computed for them, and what they have learned so far."""

    def __init__(self, keras: Any, model: Any, layers: Iterable[Any] | None) -> None:
        chosen = _chosen(model, layers)
        self._layers: dict[int, ExactLayer] = {id(layer): layer for layer in chosen}
        gets = [(layer, tensor) for layer, tensor in calls(keras, model) if id(layer) in self._layers]
        hidden = [layer.name for layer in chosen if not any(layer is found for found, _ in gets)]
        if hidden:
            raise ValueError(
                f"cannot tell what {', '.join(hidden)} of model {model.name!r} gets: the code of a layer or "
                "model calls it; adapt it alone, and name the others as layers"
            )
        for layer, tensor in gets:
            for before in exact_layers_before(tensor, chosen):
                raise ValueError(
                    f"layer {layer.name!r} gets what {before.name!r} returns, which is not known before all "
                    f"data have been seen: adapt with layers={before.name!r}, then with layers={layer.name!r}"
                )
        wanted = {id(source) for _, tensor in gets for source in sources(tensor)}
        self.inputs = [tensor for tensor in model.inputs if id(tensor) in wanted]
        place = {id(tensor): i for i, tensor in enumerate(self.inputs)}
        self._direct = [(layer, place[id(tensor)]) for layer, tensor in gets if id(tensor) in place]
        computed = [(layer, tensor) for layer, tensor in gets if id(tensor) not in place]
        self.computes = bool(computed)
        self._computed = [layer for layer, _ in computed]
        if computed:
            self._model = keras.Model(self.inputs, [tensor for _, tensor in computed])
        self._learners = {key: copy.copy(layer._state.learner) for key, layer in self._layers.items()}
        self._adaptations = {}
        for key, learner in self._learners.items():
            with _naming(self._layers[key]):
                self._adaptations[key] = _core.Adaptation(learner._impl)
        self.progress_bar = chosen[0]._progress_bar

    def feed(self, values: Sequence[Any], weights: Any, threads: int | None) -> None:
        """Learn a batch: one array for each input, and the weights of its rows."""
        rows = {len(x) for x in values} if len(values) > 1 else {0}
        if len(rows) > 1:
            raise ValueError(f"expected as many rows for each input, got {sorted(rows)}")
        for layer, i in self._direct:
            self._learn(layer, _of_rank(len(layer._state.built_shape), values[i]), weights, threads)
        if self.computes:
            ops = self._computed[0]._ops
            tensors = [x if ops.is_tensor(x) else ops.convert_to_tensor(np.asarray(x)) for x in values]
            outputs = self._model(tensors, training=False)
            outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
            for layer, output in zip(self._computed, outputs, strict=True):
                self._learn(layer, output, weights, threads)

    def _learn(self, layer: ExactLayer, x: Any, weights: Any, threads: int | None) -> None:
        source: Any = source_of(
            [x if weights is None else (x, None, weights)],
            mask_of=layer._mask_of,
            use_sample_weight=weights is not None,
        )
        with _naming(layer):
            feed(self._adaptations[id(layer)], self._learners[id(layer)]._impl, source, threads=threads)

    def commit(self) -> None:
        """Make all layers use what they have learned; the copies show first whether they can."""
        for key, adaptation in self._adaptations.items():
            with _naming(self._layers[key]):
                adaptation.commit()
        for key, layer in self._layers.items():
            layer.adapt(self._learners[key].moments)


@contextmanager
def _naming(layer: ExactLayer) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        if repr(layer.name) in str(error):
            raise
        raise type(error)(f"layer {layer.name!r}: {error}") from error


def _chosen(model: Any, layers: Iterable[Any] | None) -> list[ExactLayer]:
    """Return the layers to adapt: those named, or all that were not given a mean and variance."""
    exact = [layer for layer in model._flatten_layers() if isinstance(layer, ExactLayer)]
    if layers is None:
        chosen = [layer for layer in exact if not layer._state.is_given]
        if not chosen:
            raise ValueError(
                f"model {model.name!r} has no exact Normalization to adapt; from_keras replaces Keras's own"
            )
        return chosen
    chosen = []
    for wanted in [layers] if isinstance(layers, (str, ExactLayer)) else layers:
        found = [layer for layer in exact if layer is wanted or layer.name == wanted]
        if not found:
            known = ", ".join(repr(layer.name) for layer in exact)
            raise ValueError(f"model {model.name!r} has no layer {wanted!r} to adapt, but {known or 'none'}")
        chosen.extend(found)
    if not chosen:
        raise ValueError("expected layers to adapt, got none")
    return chosen


def _of_rank(rank: int, x: Any) -> Any:
    """Add or remove a last axis of length 1, as Keras does for the inputs of a model."""
    if table_kind(x) is None and not hasattr(x, "__dlpack__"):
        x = np.asarray(x)
    shape: tuple[int, ...] = getattr(x, "shape", ())
    if 0 < len(shape) == rank - 1:
        return x[..., None]
    return x[..., 0] if len(shape) == rank + 1 and shape[-1] == 1 else x


class _Inputs:
    """Finds what the inputs of a model get in a batch, or in an element_spec."""

    def __init__(self, model: Any, wanted: list[Any], use_sample_weight: bool) -> None:
        structure = functional(model).input
        keys = {id(x): key for key, x in structure.items()} if isinstance(structure, Mapping) else {}
        self._names = [(tensor._keras_history[0].name, keys.get(id(tensor))) for tensor in model.inputs]
        self._wanted = [any(tensor is each for each in wanted) for tensor in model.inputs]
        self._use_sample_weight = use_sample_weight

    def __call__(self, element: Any) -> tuple[Any, ...]:
        """Return a value for each wanted input, and the sample weights if they are to be used.

        ValueError if there is none.
        """
        if not self._use_sample_weight and (values := self._values(element)) is not None:
            return values
        if isinstance(element, (tuple, list)) and 1 <= len(element) <= 3:
            values = self._values(element[0])
            if values is not None and not self._use_sample_weight:
                return values
            if values is not None and len(element) == 3:
                return (*values, element[2])
        pairs = zip(self._names, self._wanted, strict=True)
        names = ", ".join(repr(key or name) for (name, key), wanted in pairs if wanted)
        with_weights = " and sample weights, as (x, y, sample_weight)" if self._use_sample_weight else ""
        raise ValueError(f"expected data for the inputs {names}{with_weights}; got {_described(element)}")

    def of_batch(self, element: Any) -> tuple[Any, ...]:
        """Return the same for a batch of a stream, where 2 or 3 arrays are (x, y[, sample_weight]) to Keras.

        ValueError also if they could be the inputs as well, and that would make a difference.
        """
        if (
            isinstance(element, (tuple, list))
            and 2 <= len(element) <= 3
            and len(element) == len(self._names)
            and any(self._wanted[1:])
            and not self._use_sample_weight
            and self._values(element) is not None
        ):
            names = ", ".join(repr(key or name) for name, key in self._names)
            labelled = "(x, y)" if len(element) == 2 else "(x, y, sample_weight)"
            raise ValueError(
                f"a batch of {len(element)} arrays could be {labelled} or the inputs {names}: "
                "give the inputs as a dict by name, or as (inputs,) or (inputs, y) with a tuple of them"
            )
        return self(element)

    def split(self, values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
        """Part what a call has returned into inputs and weights."""
        return (values[:-1], values[-1]) if self._use_sample_weight else (values, None)

    def is_whole(self, data: Any) -> bool:
        """Whether data are arrays that are all there, rather than a stream of batches."""
        if isinstance(data, list):
            return holds_numbers(data) if len(self._names) == 1 else self._values(data) is not None
        return isinstance(data, (Mapping, tuple)) or is_array(data) or table_kind(data) is not None

    def _values(self, x: Any) -> tuple[Any, ...] | None:
        if isinstance(x, Mapping) and any(name in x or key in x for name, key in self._names):
            found = [x.get(name, x.get(key)) for name, key in self._names]
        elif len(self._names) == 1:
            found = [None if isinstance(x, tuple) or (isinstance(x, list) and x and is_array(x[0])) else x]
        elif isinstance(x, (tuple, list)) and len(x) == len(self._names):
            if any(isinstance(each, (tuple, list, Mapping)) for each in x):
                return None
            found = list(x)
        else:
            return None
        values = tuple(each for each, wanted in zip(found, self._wanted, strict=True) if wanted)
        return None if any(each is None for each in values) else values


class _Elements:
    """The batches of the data, to go through once."""

    def __init__(self, inputs: _Inputs, data: Any, batch_size: int | None, steps: int | None) -> None:
        self._inputs = inputs
        self._data = data
        self._batch_size = batch_size
        self._steps = steps
        self._rows = 0
        self._stream: Stream | None = None
        self.target: int | None = 1
        if not inputs.is_whole(data):
            if not isinstance(data, Iterable) and not hasattr(data, "__getitem__"):
                raise TypeError(f"expected arrays, or an iterable of batches; got {_described(data)}")
            self._stream = Stream(data, steps)
            self.target = steps or operator.length_hint(data) or None

    @property
    def taken(self) -> int:
        """How many batches there have been."""
        return 1 if self._stream is None else self._stream.taken

    @property
    def complaints(self) -> list[str]:
        """What to tell the user at the end: arguments that these data did not heed."""
        if self._stream is None:
            wanted = (self._steps or 0) * (self._batch_size or 0)
            short = f"the data ended after {self._rows} of the {wanted} rows that steps asked for"
            return [short] if self._rows < wanted else []
        ignored = "batch_size is ignored: the data are batches already"
        said = (None if self._batch_size is None else ignored, self._stream.shortfall)
        return [message for message in said if message is not None]

    def parts(self, whole: bool) -> Iterator[tuple[tuple[Any, ...], Any]]:
        """Iterate over the values of the inputs, and weights; whole arrays may stay so, or be cut."""
        if self._stream is None:
            values = self._inputs(self._data)
            parts = iter([values]) if whole and self._steps is None else self._cut(values)
        elif self._join(self._stream):
            # tf.data takes the value of a single input out of its tuple
            parts = (x if isinstance(x, tuple) else (x,) for x in self._stream)
        else:
            parts = map(self._inputs.of_batch, self._stream)
        return map(self._inputs.split, parts)

    def _join(self, stream: Stream) -> bool:
        spec = stream.element_spec
        if spec is None:
            return False
        ranks = ranks_of(self._inputs.of_batch(spec))
        return bool(ranks) and 0 not in ranks and stream.join(self._inputs.of_batch, "batches", counted=True)

    def _cut(self, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        arrays = [x if hasattr(x, "__dlpack__") else np.asarray(x) for x in values]
        limit = (self._steps or 0) * (self._batch_size or 0)
        longest = max(map(len, arrays))
        last = min(longest, limit) if limit else longest
        size = self._batch_size or _ROWS_COMPUTED
        for first in range(0, last, size):
            self._rows = min(last, first + size)
            yield tuple(x[first : self._rows] for x in arrays)


def _described(x: Any) -> str:
    if isinstance(x, Mapping):
        return f"a dict of {', '.join(map(repr, x))}"
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)}"
    return f"a {type(x).__module__}.{type(x).__name__}"
