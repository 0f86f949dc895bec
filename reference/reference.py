"""The contract of exactnorm (docs/contract.md) in fractions: slow, obvious, the oracle of every test.

Every number is a Python int or Fraction, so nothing can round but `encode`, and that rounds once. Arrays are
bit patterns with a dtype and a shape; numpy arrays are taken as they are. Nothing changes in place: what the
library calls a.merge(b) is `a + b` here, a.subtract(b) is `a - b`, m.update(x) is `m + Moments.from_data(x)`.

>>> import numpy as np
>>> m = Moments.from_data(np.array([[1.0, 7.0], [2.0, 7.0]], "float32"), axis=-1)
>>> [as_text(decode("float64", b)) for b in m.variance("float64")]
['0x1p-2', '0x0p+0']
"""

from __future__ import annotations

import itertools
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import cbor2
import xxhash

# ---- numbers: bit patterns <-> exact values ----------------------------------------------------------------

# Bits of precision and of exponent.
FLOATS = {"float16": (11, 5), "bfloat16": (8, 8), "float32": (24, 8), "float64": (53, 11)}
INTS = {f"{kind}{bits}": bits for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
DTYPES = [*FLOATS, *INTS, "bool"]
NAN, INF = math.nan, math.inf
Value = Fraction | float  # a finite number is a Fraction; a float is only ever nan, inf or -inf
MAX_COUNT = 2**63 - 1


def is_nan(value: Value) -> bool:
    return isinstance(value, float) and math.isnan(value)


def width(dtype: str) -> int:
    """Bits of an element."""
    return sum(FLOATS[dtype]) if dtype in FLOATS else INTS.get(dtype, 8)


def decode(dtype: str, bits: int) -> Value:
    """The exact value of a bit pattern. The sign of a zero is lost here; `is_negative` has it."""
    if dtype not in FLOATS:
        below_zero = dtype.startswith("int") and is_negative(dtype, bits)
        return Fraction(bits != 0 if dtype == "bool" else bits - (below_zero << width(dtype)))
    precision, exponent_bits = FLOATS[dtype]
    fraction = bits & (1 << (precision - 1)) - 1
    exponent = bits >> (precision - 1) & (1 << exponent_bits) - 1
    sign = -1 if is_negative(dtype, bits) else 1
    if exponent == (1 << exponent_bits) - 1:
        return NAN if fraction else sign * INF
    if exponent:
        fraction += 1 << (precision - 1)
    bias = (1 << (exponent_bits - 1)) - 1
    return sign * fraction * Fraction(2) ** (max(exponent, 1) - bias - (precision - 1))


def is_negative(dtype: str, bits: int) -> bool:
    """The top bit: the sign, of a zero as well."""
    return bool(bits >> (width(dtype) - 1))


def encode(dtype: str, value: Value, negative: bool = False) -> int:
    """The bits of the float nearest to `value`, ties to even: the only place that rounds.

    `negative` asks for the negative sign whatever the value (a zero has none of its own).
    """
    precision, exponent_bits = FLOATS[dtype]
    infinity = ((1 << exponent_bits) - 1) << (precision - 1)
    if is_nan(value):
        return infinity | 1 << (precision - 2)
    sign = (negative or value < 0) << (width(dtype) - 1)
    if not isinstance(value, Fraction):
        return infinity | sign
    value, least = abs(value), 2 - (1 << (exponent_bits - 1))  # 2**least is the smallest normal number
    exponent = max(floor_log2(value), least) if value else least
    significand = round(value / Fraction(2) ** (exponent - precision + 1))  # half to even
    # A normal significand's leading bit adds the 1 that tells normal from subnormal; one rounded up to a
    # power of two carries into the exponent; and beyond the largest number lies infinity.
    return min(((exponent - least) << (precision - 1)) + significand, infinity) | sign


def floor_log2(value: Fraction) -> int:
    """The exponent e with 2**e <= value < 2**(e+1)."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if Fraction(2) ** exponent <= value else exponent - 1


def encode_sqrt(dtype: str, value: Value) -> int:
    """The bits of the float nearest to sqrt(value), rounded once."""
    if not isinstance(value, Fraction):
        return encode(dtype, value)
    # The rounding boundaries of all four formats are multiples of 2**-1075, so none lies between neighbouring
    # multiples of 2**-1100, and a root strictly between two of these rounds as their midpoint does.
    scaled = value * 4**1100
    root = math.isqrt(math.floor(scaled))
    return encode(dtype, Fraction(2 * root + (root * root != scaled), 2**1101))


def add(dtype: str, a: int, b: int) -> int:
    """IEEE 754 a + b on bit patterns; so are the three below."""
    x, y = decode(dtype, a), decode(dtype, b)
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return encode(dtype, x + y, is_negative(dtype, a) and is_negative(dtype, b))  # -0 + -0 is -0
    return encode(dtype, sum(v for v in (x, y) if isinstance(v, float)))


def subtract(dtype: str, a: int, b: int) -> int:
    return add(dtype, a, b ^ 1 << (width(dtype) - 1))


def multiply(dtype: str, a: int, b: int) -> int:
    x, y, negative = decode(dtype, a), decode(dtype, b), is_negative(dtype, a) != is_negative(dtype, b)
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return encode(dtype, abs(x * y), negative)
    return encode(dtype, NAN if is_nan(x) or is_nan(y) or x == 0 or y == 0 else INF, negative)


def divide(dtype: str, a: int, b: int) -> int:
    x, y, negative = decode(dtype, a), decode(dtype, b), is_negative(dtype, a) != is_negative(dtype, b)
    if is_nan(x) or is_nan(y) or x == y == 0 or abs(x) == abs(y) == INF:
        return encode(dtype, NAN)
    if y == 0 or not isinstance(x, Fraction):
        return encode(dtype, INF, negative)
    return encode(dtype, abs(x) / abs(y) if isinstance(y, Fraction) else Fraction(0), negative)


# ---- arrays ------------------------------------------------------------------------------------------------


class Array(NamedTuple):
    """Bit patterns in C order."""

    dtype: str
    shape: tuple[int, ...]
    bits: list[int]

    def values(self) -> list[Value]:
        return [decode(self.dtype, b) for b in self.bits]


def as_array(x: Any) -> Array:
    """An Array as it is, or a numpy array (bfloat16: ml_dtypes') turned into one."""
    if isinstance(x, Array):
        return x
    name = x.dtype.name
    if name not in DTYPES:
        raise TypeError(f"dtype {name} is not one of {', '.join(DTYPES)}")
    native = x.astype(x.dtype.newbyteorder("=")).reshape(-1).view(f"uint{width(name)}")
    return Array(name, x.shape, native.tolist())


def indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All indices of an array, in C order."""
    return itertools.product(*map(range, shape))


def kept_axes(axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The axes that get a mean and variance of their own, non-negative and sorted."""
    given = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    if any(not -rank <= a < rank for a in given):
        raise ValueError(f"axis {axis} is out of range for rank {rank}")
    kept = sorted(a % rank for a in given)
    if len(set(kept)) < len(kept):
        raise ValueError(f"axis {axis} names an axis twice at rank {rank}")
    return tuple(kept)


def spread(small: Array, shape: tuple[int, ...], what: str) -> list[Value]:
    """`where` or `weights`, of x's shape or a leading prefix of it, with one value for every element of x."""
    if shape[: len(small.shape)] != small.shape:
        raise ValueError(f"{what} has shape {small.shape}, which is not a leading prefix of {shape}")
    repeats = math.prod(shape[len(small.shape) :])
    return [v for v in small.values() for _ in range(repeats)]


# ---- Moments -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Feature:
    """The counts and sums of one feature. Unweighted values have weight 1, so `weight` is then `count`."""

    count: int = 0
    nan: int = 0
    neginf: int = 0
    null: int = 0
    posinf: int = 0
    sum: Fraction = Fraction(0)
    sumsq: Fraction = Fraction(0)
    weight: Fraction = Fraction(0)

    @classmethod
    def of(cls, values: list[tuple[Value | None, Fraction]]) -> Feature:
        """Counts and adds pairs of a value (None is a null) and its weight."""
        finite = [(v, w) for v, w in values if isinstance(v, Fraction)]
        return cls(
            count=len(finite),
            nan=sum(v is not None and is_nan(v) for v, _ in values),
            neginf=sum(v == -INF for v, _ in values),
            null=sum(v is None for v, _ in values),
            posinf=sum(v == INF for v, _ in values),
            sum=sum((w * v for v, w in finite), Fraction(0)),
            sumsq=sum((w * v * v for v, w in finite), Fraction(0)),
            weight=sum((w for _, w in finite), Fraction(0)),
        )

    def combine(self, other: Feature, operation: Callable[[Any, Any], Any]) -> Feature:
        return Feature(*map(operation, vars(self).values(), vars(other).values()))

    @property
    def counts(self) -> list[int]:
        return [self.count, self.nan, self.neginf, self.null, self.posinf]

    def check(self) -> None:
        """Refuses what no data can have. W * S2 >= S1**2 is the inequality of Cauchy and Schwarz."""
        if not all(0 <= n <= MAX_COUNT for n in self.counts):
            raise ValueError(f"a count is not in 0 .. 2**63 - 1: {self.counts}")
        if self.weight < 0 or (self.weight > 0) != (self.count > 0):
            raise ValueError("the sum of weights is impossible")
        if self.sumsq < 0 or self.weight * self.sumsq < self.sum**2 or (self.sumsq and not self.count):
            raise ValueError("the sums are impossible: n * sumsq < sum**2, or sums of nothing")


@dataclass(frozen=True)
class Moments:
    """The state: a Feature for every index of the kept axes, in C order."""

    shape: tuple[int, ...]
    features: tuple[Feature, ...]
    weighted: bool | None = False  # None: no value was counted, so neither
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.features) != math.prod(self.shape) or any(n < 0 for n in self.shape):
            raise ValueError(f"{len(self.features)} features do not fill shape {self.shape}")
        if self.names is not None and not len(self.names) == len(set(self.names)) == len(self.features):
            raise ValueError("names: one for each feature, all different")
        for feature in self.features:
            feature.check()
        if not any(n for feature in self.features for n in feature.counts):
            object.__setattr__(self, "weighted", None)

    @classmethod
    def empty(cls, shape: Sequence[int], names: Sequence[str] | None = None) -> Moments:
        return cls(tuple(shape), (Feature(),) * math.prod(shape), names=tuple(names) if names else None)

    @classmethod
    def from_data(
        cls,
        x: Any,
        axis: int | Sequence[int] | None = -1,
        *,
        where: Any = None,  # True: counted
        weights: Any = None,
        valid: Any = None,  # of x's shape; False: null
        names: Sequence[str] | None = None,
    ) -> Moments:
        x = as_array(x)
        kept = kept_axes(axis, len(x.shape))
        shape = tuple(x.shape[a] for a in kept)
        one = Array("uint8", (), [1])
        counted = spread(one if where is None else as_array(where), x.shape, "where")
        weight = spread(one if weights is None else as_array(weights), x.shape, "weights")
        present = spread(one if valid is None else as_array(valid), x.shape, "valid")
        if not all(isinstance(w, Fraction) and w >= 0 for w, c in zip(weight, counted, strict=True) if c):
            raise ValueError("weights must be finite and not negative")
        groups: dict[Any, list[tuple[Value | None, Fraction]]] = {index: [] for index in indices(shape)}
        for index, v, c, w, p in zip(indices(x.shape), x.values(), counted, weight, present, strict=True):
            if c and w:  # otherwise as if absent
                groups[tuple(index[a] for a in kept)].append((v if p else None, Fraction(w)))
        features = tuple(Feature.of(values) for values in groups.values())
        return cls(shape, features, weights is not None, tuple(names) if names else None)

    def __add__(self, other: Moments) -> Moments:
        """merge"""
        return self._combine(other, operator.add)

    def __sub__(self, other: Moments) -> Moments:
        """subtract; Feature.check refuses what is provably not part of the left side."""
        return self._combine(other, operator.sub)

    def _combine(self, other: Moments, operation: Callable[[Any, Any], Any]) -> Moments:
        if self.shape != other.shape:
            raise ValueError(f"shapes differ: {self.shape} and {other.shape}")
        if self.names and other.names and self.names != other.names:
            raise ValueError("names differ")
        if None not in (self.weighted, other.weighted) and self.weighted != other.weighted:
            raise ValueError("weighted and unweighted do not mix")
        weighted = other.weighted if self.weighted is None else self.weighted
        features = tuple(a.combine(b, operation) for a, b in zip(self.features, other.features, strict=True))
        return Moments(self.shape, features, weighted, self.names or other.names)

    # -- readings: bit patterns at `dtype`, one for each feature in C order

    def mean(self, dtype: str, **policies: str) -> list[int]:
        return [encode(dtype, v) for v in self.exact_mean(**policies)]

    def variance(self, dtype: str, ddof: int = 0, **policies: str) -> list[int]:
        return [encode(dtype, v) for v in self.exact_variance(ddof, **policies)]

    def std(self, dtype: str, ddof: int = 0, **policies: str) -> list[int]:
        return [encode_sqrt(dtype, v) for v in self.exact_variance(ddof, **policies)]

    def exact_mean(self, **policies: str) -> list[Value]:
        return [
            dictated if dictated is not None else f.sum / f.weight if f.count else NAN
            for f, dictated in zip(self.features, self._dictated(**policies), strict=True)
        ]

    def exact_variance(self, ddof: int = 0, **policies: str) -> list[Value]:
        if ddof and self.weighted:
            raise ValueError("ddof needs unweighted data")
        return [
            (f.weight * f.sumsq - f.sum**2) / (f.weight * (f.weight - ddof))
            if dictated is None and f.count > ddof
            else NAN
            for f, dictated in zip(self.features, self._dictated(**policies), strict=True)
        ]

    def empty_features(self, ddof: int = 0, **policies: str) -> list[int]:
        """The features that a variance warns of (a mean too, with ddof=0): too few finite values."""
        dictated = self._dictated(**policies)
        return [i for i, f in enumerate(self.features) if dictated[i] is None and f.count <= ddof]

    def _dictated(self, nan_policy: str = "propagate", inf_policy: str = "propagate") -> list[float | None]:
        """For every feature the mean that NaN and infinities dictate, or None: read the finite values."""
        nans = [i for i, f in enumerate(self.features) if f.nan]
        infs = [i for i, f in enumerate(self.features) if f.posinf or f.neginf]
        if nan_policy == "raise" and nans:
            raise ValueError(f"NaN in features {nans}")
        if inf_policy == "raise" and infs:
            raise ValueError(f"infinity in features {infs}")
        dictated: list[float | None] = [None] * len(self.features)
        for i in infs if inf_policy == "propagate" else []:
            f = self.features[i]
            dictated[i] = NAN if f.posinf and f.neginf else INF if f.posinf else -INF
        for i in nans if nan_policy == "propagate" else []:
            dictated[i] = NAN
        return dictated

    @property
    def digest(self) -> str:
        document = self.document()
        return xxh3_128({"features": document["features"], "shape": document["shape"]})

    def document(self) -> dict[str, Any]:
        """The state document, as one Python dict for both encodings."""
        keys = [k for k in vars(Feature()) if k != "weight" or self.weighted]
        rows = [{k: getattr(f, k) for k in keys} for f in self.features]
        features = [{k: as_text(v) if isinstance(v, Fraction) else v for k, v in row.items()} for row in rows]
        document: dict[str, Any] = {"format": "exactnorm", "version": 1, "shape": list(self.shape)}
        if self.names is not None:
            document["names"] = list(self.names)
        return seal(document | {"features": features})


# ---- normalizing -------------------------------------------------------------------------------------------


def compute_type(x: str, out: str) -> str:
    narrow = ("float16", "bfloat16", "float32", "bool", "int8", "uint8", "int16", "uint16")
    return "float32" if x in narrow and out != "float64" else "float64"


@dataclass(frozen=True)
class Normalizer:
    """Exact means and variances (learned, or given as floats, which are exact too) and what to divide by."""

    mean: list[Value]
    variance: list[Value]
    epsilon: Fraction = Fraction(1e-7)
    constant_policy: str = "epsilon"
    minus_zeros: tuple[int, ...] = ()  # features whose given mean is -0, which no exact number can be

    @classmethod
    def from_moments(cls, m: Moments, policies: dict[str, str], **options: Any) -> Normalizer:
        return cls(m.exact_mean(**policies), m.exact_variance(0, **policies), **options)

    def __post_init__(self) -> None:
        if self.constant_policy == "raise" and 0 in self.variance:
            raise ValueError(f"constant features {[i for i, v in enumerate(self.variance) if v == 0]}")

    def rounded_mean(self, dtype: str) -> list[int]:
        """The bits of the means in the compute type."""
        return [encode(dtype, v, i in self.minus_zeros) for i, v in enumerate(self.mean)]

    def divisor(self, dtype: str) -> list[int]:
        """The bits of the divisors in the compute type."""
        if self.constant_policy == "unit":
            return [encode(dtype, Fraction(1)) if v == 0 else encode_sqrt(dtype, v) for v in self.variance]
        epsilon = encode(dtype, self.epsilon)
        roots = [encode_sqrt(dtype, decode(dtype, encode(dtype, v))) for v in self.variance]
        return [epsilon if decode(dtype, r) < decode(dtype, epsilon) else r for r in roots]

    def overflows(self, dtype: str) -> list[int]:
        """The features whose finite variance is beyond the compute type: they are warned of."""
        rounded = [decode(dtype, encode(dtype, v)) for v in self.variance]
        return [i for i, v in enumerate(self.variance) if isinstance(v, Fraction) and rounded[i] == INF]

    def apply(
        self, x: Any, axis: int | Sequence[int] | None = -1, out: str = "float32", inverse: bool = False
    ) -> Array:
        """(x - mean) / divisor, or mean + x * divisor; every step an IEEE operation in the compute type."""
        x = as_array(x)
        t = compute_type(x.dtype, out)
        kept = kept_axes(axis, len(x.shape))
        features = {index: i for i, index in enumerate(indices([x.shape[a] for a in kept]))}
        if len(features) != len(self.mean):
            raise ValueError(f"x has {len(features)} features, not {len(self.mean)}")
        mean, divisor = self.rounded_mean(t), self.divisor(t)
        bits = []
        for index, b in zip(indices(x.shape), x.bits, strict=True):
            i = features[tuple(index[a] for a in kept)]
            minus = x.dtype in FLOATS and is_negative(x.dtype, b)
            y = encode(t, decode(x.dtype, b), negative=minus)  # rounds only integers of 64 bits
            if inverse:
                y = add(t, mean[i], multiply(t, y, divisor[i]))
            else:
                y = divide(t, subtract(t, y, mean[i]), divisor[i])
            bits.append(encode(out, decode(t, y), negative=is_negative(t, y)))
        return Array(out, x.shape, bits)


# ---- the state document ------------------------------------------------------------------------------------


class StateError(ValueError):
    """A document that is not one of ours, or is broken."""


def as_text(value: Value) -> str:
    """A dyadic number as [-]0x<odd hex>p<sign><decimal>; zero is 0x0p+0."""
    if not value:
        return "0x0p+0"
    assert isinstance(value, Fraction)
    integer = abs(value.numerator)
    zeros = (integer & -integer).bit_length() - 1
    exponent = zeros - (value.denominator.bit_length() - 1)
    return f"{'-' if value < 0 else ''}0x{integer >> zeros:x}p{exponent:+d}"


def from_text(text: str, degree: int) -> Fraction:
    """Reads what as_text writes.

    Fewer than 2**63 products of `degree` float64 numbers add up to a multiple of 2**(-1074 * degree) below
    2**(1024 * degree + 63). Anything else is refused before it is built.
    """
    match = re.fullmatch(r"(-?)0x([0-9a-f]+)p([+-][0-9]{1,5})", text, re.ASCII)
    if not match:
        raise StateError(f"not an exact number: {text!r}")
    digits, exponent = match[2], int(match[3])
    if exponent < -1074 * degree or exponent + 4 * len(digits) - 4 >= 1024 * degree + 63:
        raise StateError(f"out of range: {text!r}")
    return Fraction(int(match[1] + digits, 16)) * Fraction(2) ** exponent


def cbor(tree: Any) -> bytes:
    """Canonical CBOR. Keys are in their own byte order, not in that of their encodings (shorter first)."""

    def ordered(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: ordered(node[k]) for k in sorted(node, key=lambda key: key.encode())}
        return [ordered(v) for v in node] if isinstance(node, list) else node

    return cbor2.dumps(ordered(tree))


def xxh3_128(tree: Any) -> str:
    return "xxh3-128:" + xxhash.xxh3_128_hexdigest(cbor(tree))


def seal(document: dict[str, Any]) -> dict[str, Any]:
    """The document with its digest and, over that and all the rest, its checksum."""
    body = {k: v for k, v in document.items() if k not in ("digest", "checksum")}
    body["digest"] = xxh3_128({"features": body["features"], "shape": body["shape"]})
    return body | {"checksum": xxh3_128(body)}


def to_cbor(m: Moments) -> bytes:
    return cbor(m.document())


def to_json(m: Moments) -> str:
    return layout(m.document())


def layout(document: dict[str, Any]) -> str:
    """The one JSON text of a document."""
    text = {k: json.dumps(v, ensure_ascii=False) for k, v in document.items()}
    names = f', "names": {text["names"]}' if "names" in text else ""
    rows = ",\n".join("  " + json.dumps(row) for row in document["features"])
    return (
        f'{{"format": {text["format"]}, "version": {text["version"]},\n'
        f' "shape": {text["shape"]}{names},\n'
        f' "features": [{f"{chr(10)}{rows}{chr(10)} " if rows else ""}],\n'
        f' "digest": {text["digest"]},\n'
        f' "checksum": {text["checksum"]}}}\n'
    )


def from_json(text: str | bytes) -> Moments:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise StateError("a key comes twice")
        return dict(pairs)

    try:
        text = text.decode() if isinstance(text, bytes) else text
        tree = json.loads(text, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        raise StateError(f"not JSON: {error}") from error
    return from_document(tree)


def from_cbor(data: bytes) -> Moments:
    try:
        tree = cbor2.loads(data)
    except (ValueError, RecursionError, EOFError, cbor2.CBORError) as error:
        raise StateError(f"not CBOR: {error}") from error
    m = from_document(tree)
    if to_cbor(m) != data:  # a key that came twice, a tag, bytes after the end
        raise StateError("not the canonical encoding")
    return m


def from_document(document: Any) -> Moments:
    """Builds the state, writes it again and compares: whatever is off makes a difference."""
    try:
        if document["format"] != "exactnorm":
            raise StateError("this is not a document of exactnorm")
        if document["version"] != 1:
            raise StateError(f"this document needs a reader of version {document['version']}")
        weighted = any("weight" in row for row in document["features"])
        degrees = {"sum": 1 + weighted, "sumsq": 2 + weighted} | ({"weight": 1} if weighted else {})
        features = [
            {"weight": Fraction(row["count"])} | row | {k: from_text(row[k], d) for k, d in degrees.items()}
            for row in document["features"]
        ]
        names = tuple(document.get("names", ())) or None
        m = Moments(tuple(document["shape"]), tuple(Feature(**row) for row in features), weighted, names)
        if not all(type(n) is int for n in [*m.shape, *(n for f in m.features for n in f.counts)]):
            raise StateError("shape and counts are integers")
        if not all(type(name) is str for name in names or ()):
            raise StateError("names are strings")
        if cbor(m.document()) != cbor(document):
            raise StateError("digest, checksum, keys or types are not those of the state")
        return m
    except StateError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, cbor2.CBORError) as error:
        raise StateError(f"broken document: {error!r}") from error
