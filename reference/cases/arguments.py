"""Cases of moments.json about arguments: axis, where, weights, nulls, names."""

from __future__ import annotations

from collections.abc import Iterator

from cases.elements import LARGEST, LEAST, Case, array, mask, random_array
from cases.learning import learn
from reference import INF, NAN, Array


def axes() -> Iterator[Case]:
    x, of = random_array("axes", "float32", (2, 3, 4)), "of (2, 3, 4)"
    good = "None [] [0] [1] [2] [-1] [-2] [-3] [0,1] [2,0] [-1,0] [-1,-2] [2,1,0] [0,1,2]"
    for axis in good.split():
        kept = None if axis == "None" else [int(a) for a in axis.strip("[]").split(",") if a]
        yield learn(f"axis {axis} {of}", "kept axes are made non-negative and sorted", x, kept)
    for bad in ([3], [-4], [0, 0], [-1, 2], [1, -2]):
        yield learn(f"axis {bad} {of}", "out of range, or twice the same", x, bad, error="axis")
    number = array("float64", 2.5)
    yield learn("rank 0", "one value, one feature of shape ()", number, None)
    yield learn("axis -1 of rank 0", "there is none", number, [-1], error="axis")
    x = random_array("channels", "uint8", (2, 3, 4, 5))
    yield learn("channels first", "(batch, channel, y, x) of bytes", x, [1])
    x = array("float32", [0.0, 2.0, 4.0])
    yield learn("rank 1, every index a feature", "Keras's trap with axis=-1", x)
    yield learn("no features", "a kept axis of extent 0", Array("float32", (3, 0), []))
    yield learn("no rows, no features", "both 0", Array("float32", (0, 0), []))


def weights() -> Iterator[Case]:
    x = random_array("weights", "float64", (6, 3))
    rows = array("float64", [1.0, 0.5, 0.0, 3.0, 0.1, 2.0])
    each = random_array("weight of each", "float64", (6, 3))
    each = array("float64", [abs(v) for v in each.values()])._replace(shape=(6, 3))
    yield learn("weights, a row each", "Σwx is exact although 0.1 * x is not", x, weights=rows)
    yield learn("weights, an element each", "x's own shape", x, weights=each)
    yield learn("weights, one for all", "a prefix of length 0", x, weights=array("float32", 0.75))
    yield learn("weights, integers", "k repetitions", x, weights=array("uint8", [1, 2, 3, 0, 5, 255]))
    signed = array("int32", [1, 2, 3, 0, 5, 2**31 - 1])
    yield learn("weights, int32", "signed, none negative", x, weights=signed)
    big = array("uint64", [2**64 - 1, 1, 2**63, 0, 2**53 + 1, 7])
    yield learn("weights, uint64", "W beyond 64 bits", x, weights=big)
    values = array("uint64", [2**64 - 1, 2**64 - 2, 0, 1, 2**63, 3])
    yield learn("weights, uint64 of uint64", "products of 192 bits", values, None, weights=big)
    half = Array("float16", (6,), [1, 0x3FF, 0x7BFF, 0x3C00, 0, 0x8000])
    yield learn("weights, float16", "subnormal, largest, -0", x, weights=half)
    brain = array("bfloat16", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    yield learn("weights, bfloat16", "8 bits of precision", x, weights=brain)
    extreme = array("float64", [LARGEST, LEAST, 1.0])
    values = array("float64", [LARGEST, -LEAST, 2.0])
    yield learn("weights, extremes alike", "products of 3 extremes", values, None, weights=extreme)
    values = array("float64", [LEAST, LARGEST, LEAST])
    yield learn("weights, extremes opposite", "they nearly cancel", values, None, weights=extreme)
    ones = array("float64", 1.0)
    yield learn("weights, all 1", "the readings of unweighted data, a weighted state", x, weights=ones)
    values = array("float64", [0.1] * 6)
    yield learn("weights, constant x", "variance exactly 0", values, None, weights=rows)
    zero = array("float64", 0.0)
    yield learn("weights, all 0", "nothing is counted: neither weighted nor not", x, weights=zero)
    kinds = array("float64", [[NAN, 1.0], [INF, 2.0], [3.0, NAN], [4.0, -INF], [5.0, 5.0], [6.0, 6.0]])
    valid = mask([[1, 1], [1, 1], [1, 1], [1, 1], [0, 1], [1, 0]])
    late = array("float64", [0.0, 0.0, 0.0, 0.0, 1.0, 2.0])
    yield learn("weights, 0 hides all", "NaN and infinity too", kinds, weights=late)
    why = "counted if the weight is not 0; W is over finite values"
    yield learn("weights, kinds and nulls", why, kinds, weights=rows, valid=valid)
    nans = array("float64", [NAN, NAN])
    yield learn("weights, only NaN", "a weighted state with W = 0", nans, None, weights=extreme._replace(
        shape=(2,), bits=extreme.bits[:2]))  # fmt: skip
    where = mask([1, 1, 1, 0, 1, 0])
    yield learn("where, a row each", "False: as if absent", x, where=where)
    some = mask([[0, 1], [0, 1], [1, 0], [1, 0], [1, 1], [1, 0]])
    yield learn("where, an element each", "x's own shape", kinds, where=some)
    yield learn("where, one for all", "a prefix of length 0", x, where=mask(False))
    yield learn("where and weights", "both must want it", x, where=where, weights=rows)
    yield learn("where and nulls", "False hides a null", kinds, where=where, valid=valid)
    deep = random_array("deep", "float32", (2, 3, 4))
    steps = array("float32", [[1.0, 2.0, 3.0], [0.0, 0.5, 4.0]])
    keras = mask([[1, 1, 0], [1, 0, 0]])
    yield learn("where of (batch, time)", "a Keras mask: a leading prefix", deep, where=keras)
    yield learn("weights of (batch, time)", "a leading prefix", deep, weights=steps)
    why = "a prefix of x's axes, kept or not"
    yield learn("weights of (batch, time), axis 1", why, deep, [1], weights=steps)
    yield learn("weights of (batch, time), axis 0", why, deep, [0], weights=steps)
    square = random_array("square", "float32", (3, 3))
    yield learn("where of (3,) beside (3, 3)", "rows, not columns", square, where=mask([1, 0, 1]))

    for what, bad in (("NaN", NAN), ("infinite", INF), ("negative", -1.0), ("least negative", -LEAST)):
        last = array("float64", [1.0, 1.0, 1.0, 1.0, 1.0, bad])
        yield learn(f"weights, {what}", "an error, in any row", x, weights=last, error="weights")
    less = array("int8", [1, 1, 1, -1, 1, 1])
    yield learn("weights, negative integer", "an error", x, weights=less, error="weights")
    why, columns = "numpy's trailing broadcast is refused", array("float64", [1.0, 2.0, 3.0])
    yield learn("weights of (features,)", why, x, weights=columns, error="weights")
    yield learn("where of (features,)", why, x, where=mask([1, 0, 1]), error="where")
    higher = mask([[[1]] * 3] * 6)
    yield learn("where of a higher rank", "no prefix", x, where=higher, error="where")
    yield learn("where of (1, 3)", "nothing is stretched", x, where=mask([[1, 1, 1]]), error="where")


def nulls() -> Iterator[Case]:
    x = array("float64", [[1.0, 2.0, NAN], [3.0, INF, 5.0], [4.0, 4.0, 4.0]])
    yield learn("all null", "counted, and empty features", x, valid=mask([[0] * 3] * 3))
    valid = mask([[1, 0, 0], [1, 0, 1], [0, 1, 1]])
    yield learn("nulls over NaN and infinity", "what lies under a null is not looked at", x, valid=valid)
    valid = mask([[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    yield learn("one value left", "the others are null", x, valid=valid)
    longs = array("int64", [[1], [-(2**63)], [3]])
    yield learn("int64 with nulls", "integers have them too", longs, valid=mask([[1], [0], [1]]))
    yield learn("bool with nulls", "and booleans", mask([[1], [0], [1]]), valid=mask([[1], [0], [0]]))
    names = ["age", 'Größe "m"\t\\\x1f\x7f\u2028🙂', ""]
    yield learn("named features", "names are in the document, not in the digest", x, names=names)
    yield learn("the same without names", "the same digest", x)
