"""A layer as a header of C."""

from __future__ import annotations

import math
import re
from typing import Any

from exactnorm._scale import NDArray, computing_type
from exactnorm.export._features import Features, rows_of

_TYPES = {"float32": "float", "float64": "double"}
_HEADER = """\
/* Normalization of {count}, written by exactnorm. {learned}
 *
 *   {name}_normalize(in, out, rows)      of float:  out = (in - mean) / divisor
 *   {name}_normalize_f64(in, out, rows)  of double: the same
 *   {name}_inverse, {name}_inverse_f64   back: out = mean + in * divisor
 *
 * in and out hold rows x {upper}_FEATURES numbers, row after row; out is {out}.
 * out may be in, if they are of one type, and must not overlap it otherwise.
 * The arithmetic of float is in {narrow}, that of double in double, each step rounded
 * by itself, the result once: the bits are exactnorm's. They need the default rounding
 * mode, and subnormal numbers kept. float16 and integers of up to 16 bits convert to
 * float, wider integers to double, as exactnorm converts them.
 *
 * C99 or C++17 (hexadecimal constants; compilers take them in older C++ as well, if not
 * told to be strict). Only constants: nothing to link, nothing allocated.
 */
#ifndef {upper}_H_
#define {upper}_H_

#include <float.h>
#include <math.h> /* for NAN and INFINITY */
#include <stddef.h>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || \\
    (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || defined(_M_FP_FAST)
#error "compile this without -ffast-math, which computes other bits"
#endif
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 /* 16: only _Float16 has more precision */
#error "float and double must be computed in their own precision (on x86: -mfpmath=sse)"
#endif

#define {upper}_FEATURES {size}
#define {upper}_DIGEST {digest}

"""
_FUNCTIONS = """\
static inline void {name}_normalize{suffix}(const {source}* in, {target}* out, size_t rows) {{
  size_t row, i;
  for (row = 0; row < rows; ++row, in += {upper}_FEATURES, out += {upper}_FEATURES) {{
    for (i = 0; i < {upper}_FEATURES; ++i) {{
      out[i] = ({target})((({computed})in[i] - {name}_mean{bits}[i]) / {name}_divisor{bits}[i]);
    }}
  }}
}}

static inline void {name}_inverse{suffix}(const {source}* in, {target}* out, size_t rows) {{
  {computed} product[{upper}_BLOCK];
  size_t row, first, i;
  {upper}_NO_CONTRACTION
  for (row = 0; row < rows; ++row, in += {upper}_FEATURES, out += {upper}_FEATURES) {{
    for (first = 0; first < {upper}_FEATURES; first += {upper}_BLOCK) {{
      const size_t left = {upper}_FEATURES - first;
      const size_t count = left < {upper}_BLOCK ? left : {upper}_BLOCK;
      for (i = 0; i < count; ++i) {{
        product[i] = ({computed})in[first + i] * {name}_divisor{bits}[first + i];
      }}
      {upper}_ROUNDED(product);
      for (i = 0; i < count; ++i) {{
        out[first + i] = ({target})({name}_mean{bits}[first + i] + product[i]);
      }}
    }}
  }}
}}

"""
# A pragma is not enough: GCC ignores it, and so does clang with -ffp-contract=fast.
_CONTRACTION = """\
/* Keeps a product apart from the sum it goes into: no fma, whatever the compiler's options. */
#if defined(__GNUC__)
#define {upper}_ROUNDED(product) __asm__ __volatile__("" : : "r"(product) : "memory")
#define {upper}_NO_CONTRACTION
#else
#define {upper}_ROUNDED(product)
#define {upper}_NO_CONTRACTION _Pragma("STDC FP_CONTRACT OFF")
#endif
#define {upper}_BLOCK {block}

"""


def to_c(layer: Any, name: str = "exactnorm") -> str:
    """Return a C header, complete in itself, that computes what a layer computes, to the last bit.

    It has ``NAME_normalize`` and ``NAME_inverse`` for rows of float and, with the ending ``_f64``, of double,
    whatever the layer's `invert`; both write the layer's dtype. It is C99, and C++17.

    Parameters
    ----------
    layer : Normalization
        Built, and adapted or with a given mean, keeping the last axes or none, of dtype float32 or float64;
        or an object whose method `to_exactnorm` returns one.
    name : str, default "exactnorm"
        What the names in the header begin with: letters, digits and underscores, a letter first.

    Returns
    -------
    str

    Raises
    ------
    RuntimeError
        If the layer is not built, or neither adapted nor given a mean.
    ValueError
        For a layer of other axes, of another dtype or of no features, and for a name that is none in C.
    TypeError
        For what is no layer.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.export import to_c
    >>> layer = en.Normalization()
    >>> layer.adapt({"age": [31.0, 57.0], "income": [2.5, 3.5]})
    >>> [line for line in to_c(layer, "people").splitlines() if "/* age */" in line]
    ['  0x1.6p+5f, /* age */', '  0x1.ap+3f, /* age */', '  0x1.6p+5, /* age */', '  0x1.ap+3, /* age */']
    """
    if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"expected a name of letters, digits and _, beginning with a letter; got {name!r}")
    features = rows_of(layer, "C")
    target = features.layer._impl.dtype
    computing = {given: computing_type(given, target) for given in _TYPES}
    names = {
        "name": name,
        "upper": name.upper(),
        "size": len(features.labels),
        "count": "1 feature" if len(features.labels) == 1 else f"{len(features.labels):,} features",
        "learned": f"Learned: {features.digest}" if features.digest else "Mean and variance were given.",
        "digest": f'"{features.digest or ""}"',
        "narrow": _TYPES[computing["float32"]],
        "target": _TYPES[target],
        "out": _TYPES[target],
        "block": min(64, len(features.labels)),
    }
    parts = [_HEADER.format(**names), *_tables(features, names, set(computing.values()))]
    parts.append(_CONTRACTION.format(**names))
    for given, suffix in (("float32", ""), ("float64", "_f64")):
        parts.append(
            _FUNCTIONS.format(
                **names,
                suffix=suffix,
                source=_TYPES[given],
                computed=_TYPES[computing[given]],
                bits=computing[given].removeprefix("float"),
            )
        )
    return f"{''.join(parts)}#endif /* {name.upper()}_H_ */\n"


def _tables(features: Features, names: dict[str, Any], used: set[str]) -> list[str]:
    comments = [_comment(label) for label in features.labels]
    head = f"static const {{}} {names['name']}_{{}}[{names['upper']}_FEATURES] = {{{{\n"
    tables = []
    if features.layer.names is not None:
        lines = [f"  {_text(label)},\n" for label in features.labels]
        tables.append(head.format("char* const", "names") + "".join(lines) + "};\n\n")
    for bits, scale in (("32", features.narrow), ("64", features.wide)):
        if f"float{bits}" not in used:
            continue
        for what, values in (("mean", scale.mean), ("divisor", scale.divisor)):
            lines = [
                f"  {number}, /* {comment} */\n"
                for number, comment in zip(_numbers(values), comments, strict=True)
            ]
            tables.append(head.format(_TYPES[f"float{bits}"], what + bits) + "".join(lines) + "};\n\n")
    return tables


def _numbers(values: NDArray) -> list[str]:
    """Return constants of C that have exactly these values."""
    suffix = "f" if values.dtype.itemsize == 4 else ""
    return [_number(value, suffix) for value in values.tolist()]


def _number(value: float, suffix: str) -> str:
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    return re.sub(r"\.?0*p", "p", value.hex()) + suffix


def _comment(label: str) -> str:
    """Return text that ends no comment and begins none, nor turns the direction of what follows."""
    label = re.sub(r"[\u202a-\u202e\u2066-\u2069]", lambda found: f"U+{ord(found[0]):04X}", label)
    return re.sub(r"[\x00-\x1f\x7f]", " ", label).replace("*/", "* /").replace("/*", "/ *")


def _text(label: str) -> str:
    """Return a string of C with these bytes of UTF-8; what is not plain ASCII is written in octal digits."""
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in label.encode()) + '"'
