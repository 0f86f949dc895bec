"""Cases of moments.json about values: dtypes, scales, ties."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import reference as ref
from cases.elements import LARGEST, LEAST, Case, Number, array, dice, element, largest, random_array
from cases.learning import learn
from reference import FLOATS, INF, NAN, Array, width


def every_dtype() -> Iterator[Case]:
    for dtype in ref.DTYPES:

        def case(name: str, why: str, x: Array, dtype: str = dtype, **options: Any) -> Case:
            return learn(f"{dtype}, {name}", why, x, **options)

        yield case("random", "ordinary data", random_array(f"{dtype}, random", dtype, (7, 3)))
        x = random_array(f"{dtype}, blocks", dtype, (523, 1))
        yield case("523 rows", "two blocks of 256 rows and a rest", x)
        top = largest(dtype)
        bottom = (top + 1) % (1 << width(dtype)) if dtype not in FLOATS else top | 1 << (width(dtype) - 1)
        bottom = 0 if dtype == "bool" else bottom
        x = Array(dtype, (4, 2), [top, bottom, 0, 1, top, bottom, top, top])
        yield case("extremes", "largest, smallest and least numbers", x)
        yield case("largest only", "Σ of the largest number", Array(dtype, (300,), [top] * 300), axis=None)
        some = element(dtype, 0.1 if dtype in FLOATS else 1)
        yield case("constant", "the variance is exactly 0", Array(dtype, (6, 1), [some] * 6))
        yield case("one value", "n = 1: variance 0, NaN with ddof 1", Array(dtype, (1, 1), [some]))
        yield case("no rows", "empty features", Array(dtype, (0, 2), []))
    for dtype, (precision, exponent_bits) in FLOATS.items():
        sign, step = 1 << (width(dtype) - 1), 1 << (precision - 1)
        name = f"{dtype}, subnormals"
        rng = dice(name)
        bits = [rng.getrandbits(precision - 1) | (sign if i % 3 == 0 else 0) for i in range(20)]
        yield learn(name, "every value below the normal ones", Array(dtype, (10, 2), bits))
        name = f"{dtype}, every exponent"
        rng = dice(name)
        exponents = range(0, (1 << exponent_bits) - 1, {5: 1, 8: 3, 11: 19}[exponent_bits])
        bits = [e * step | rng.getrandbits(precision - 1) | rng.getrandbits(1) * sign for e in exponents]
        yield learn(name, "the whole range at once", Array(dtype, (len(bits),), bits), None)
        inf, nan, one, two = (element(dtype, v) for v in (INF, NAN, 1.0, 2.0))
        columns = [
            [one, two, nan, one],
            [one, inf, two, one],
            [inf | sign, one, two, two],
            [inf, one, inf | sign, two],
            [inf, nan, inf | sign, two],
            [inf + 1, nan | sign, inf + 5 | sign, nan + 3],  # NaN with and without payload, signalling too
            [inf, inf, inf, inf],
            [0, sign, 0, sign],
            [nan, nan, two, two],
        ]
        x = Array(dtype, (4, 9), [column[row] for row in range(4) for column in columns])
        yield learn(f"{dtype}, kinds", "NaN, infinities, zeros of both signs", x)
        valid = Array("bool", (4, 9), [(7 * i // 4) % 3 != 0 for i in range(36)])
        yield learn(f"{dtype}, kinds and nulls", "a null hides what is under it", x, valid=valid)


def column(name: str, why: str, values: Sequence[Number], dtype: str = "float64", **options: Any) -> Case:
    """One feature."""
    return learn(name, why, array(dtype, values), None, **options)


def scales() -> Iterator[Case]:
    offset = 2.0**52
    yield column("huge offset, small spread", "naive float64 gives nonsense", [1e15 - 1, 1e15, 1e15 + 1])
    yield column("huge offset, one ulp", "cancellation", [offset, offset + 1, offset + 2, offset + 3])
    stamps = [1.7e9 + (i * 37 % 21 - 10) * 1e-4 for i in range(21)]
    yield column("timestamps", "seconds since 1970, spread of a millisecond", stamps)
    values = [16777215.0, 16777216.0, 16777214.0]
    yield column("float32 offset", "a float32 mean loses the spread", values, "float32")
    yield column("1e300 and 1e-300", "exponents far apart", [1e300, 1e-300, -1e300, 1e-300] * 4)
    yield column("1e300 and 1e-300, same sign", "and a mean that shows it", [1e300, 1e-300] * 4)
    yield column("largest float64", "S2 and the variance are beyond float64", [LARGEST, -LARGEST])
    yield column("largest float64, constant", "variance 0 all the same", [LARGEST] * 3)
    values = [3e38, -3e38, 1e38, 0.0]
    yield column("3e38", "variance infinite at float32, finite at float64", values, "float32")
    yield column("1e200", "variance infinite at float64, std finite", [1e200, -1e200, 3e200])
    yield column("1e20", "variance infinite at float32, std finite there", [1e20, -1e20, 3e20])
    yield column("1e300", "the float32 mean overflows to inf", [1e300, 1e300, 1.1e300])
    yield column("-1e300", "the float32 mean overflows to -inf", [-1e300, -1e300, -1.1e300])
    yield column("1e-40", "a float32 mean that is subnormal, its variance 0", [1e-40, 3e-40, -2e-40])
    yield column("1e-160", "a float64 variance that is subnormal", [1e-160, 3e-160, -2e-160])
    yield column("1e-170", "a float64 variance underflows to 0 though values differ", [1e-170, 3e-170])
    yield column("mean underflows to -0", "what is too small keeps its sign", [-LEAST, 0.0, 0.0])
    yield column("mean underflows to +0", "what is too small keeps its sign", [LEAST, 0.0, 0.0])
    yield column("mean of -1 and 1", "an exact zero is +0", [-1.0, 1.0])
    yield column("mean of -0", "an exact zero is +0", [-0.0, -0.0])
    low, high = -(2**63), 2**63 - 1
    yield column("int64 extremes", "sums beyond 64 bits, squares of 126", [low, high, low, high, 0], "int64")
    yield column("int64 minimum only", "S2 = n * 2**126", [low] * 7, "int64")
    top = 2**64 - 1
    yield column("uint64 extremes", "squares of 128 bits", [top, top, 0, 2**63, top - 1], "uint64")
    yield column("uint64, one apart", "a variance that float64 cannot see", [top, top - 1], "uint64")
    ranges = [("float64", *r) for r in ((-1000, -980), (-60, -40), (40, 60), (900, 1000), (-1022, 1023))]
    ranges += [("float32", *r) for r in ((-126, -100), (-20, 20), (100, 127))]
    for dtype, lowest, highest in ranges:
        name = f"{dtype} between 2**{lowest} and 2**{highest}"
        yield learn(name, "data at a scale", random_array(name, dtype, (45, 2), lowest, highest))


def ties() -> Iterator[Case]:
    """Readings on, and a hair beside, the middle between two floats. No float64 shows a hair beside 1."""
    twice = "through float64 it would be rounded twice"
    for sign, s in ((1.0, ""), (-1.0, "-")):
        odd, even = sign * (1 + 2.0**-24), sign * (1 + 3 * 2.0**-24)  # the floats below are even and odd
        hair = sign * 2.0**-80
        yield column(f"mean {s}(1 + 2**-24)", "a tie at float32: towards 0", [odd, odd])
        yield column(f"mean {s}(1 + 3 * 2**-24)", "a tie at float32: away from 0", [even, even])
        yield column(f"mean a hair beyond {s}(1 + 2**-24)", twice, [2 * odd, odd, hair])
        yield column(f"mean a hair within {s}(1 + 3 * 2**-24)", twice, [3 * even, -hair, 0.0])
        a, b = sign * 2.0, sign * 2.0**-52
        yield column(f"mean {s}(1 + 2**-53)", "a tie at float64: towards 0", [a, b])
        yield column(f"mean {s}(1 + 3 * 2**-53)", "a tie at float64: away from 0", [a, 3 * b])
        least = sign * LEAST
        yield column(f"mean a hair beyond {s}(1 + 2**-53)", "the sums see it", [2 * a, 2 * b, least, 0.0])
        yield column(f"mean a hair within {s}(1 + 2**-53)", "the sums see it", [2 * a, 2 * b, -least, 0.0])

    def spread(reading: str, a: int, why: str) -> Iterator[Case]:
        """Values a and -a: variance a**2, std a. Weights add a hair of something larger or smaller."""
        yield column(f"{reading} of ±{a}", why, [a, -a], "int64")
        values = [a, -a, a + 1, -a - 1, a - 1, 1 - a]
        hair = 2.0**-90
        for what, above, below in (("above", hair, 0.0), ("below", 0.0, hair)):
            weights = array("float64", [1.0, 1.0, above, above, below, below])
            yield column(f"{reading} of ±{a}, a hair {what}", twice, values, "int64", weights=weights)

    yield from spread("variance", 4097, "a tie at float32: down")
    yield from spread("variance", 4099, "a tie at float32: up")
    yield from spread("variance", 94906267, "a tie at float64: down")
    yield from spread("variance", 94906269, "a tie at float64: up")
    yield from spread("std", 2**24 + 1, "a tie at float32: down")
    yield from spread("std", 2**24 + 3, "a tie at float32: up")
    yield from spread("std", 2**53 + 1, "a tie at float64: down")
    yield from spread("std", 2**53 + 3, "a tie at float64: up")

    middle = 2.0**128 - 2.0**103  # between the largest float32 and 2**128
    yield column("mean on float32's overflow threshold", "to even is infinity", [middle] * 2)
    values = [middle, middle, middle - 2.0**76, middle]
    yield column("mean a hair below float32's overflow threshold", "the largest float32", values)
    least = 2.0**-149
    yield column("mean of half the least float32", "to even is 0", [least, 0.0])
    yield column("mean of 1.5 times the least float32", "to even is twice the least", [least, 2 * least])
    yield column("mean a hair above half the least float32", "the least", [least, 2.0**-300])
    yield column("mean of half the least float64", "to even is 0", [LEAST, 0.0])
    yield column("mean of 1.5 times the least float64", "to even is twice the least", [LEAST, 2 * LEAST])
    yield column("mean of a quarter of the least float64", "below half: 0", [LEAST, 0.0, 0.0, 0.0])
    yield column("mean of 3/4 of the least float64", "above half: the least", [LEAST, LEAST, LEAST, 0.0])
    normal = 2.0**-126
    yield column("mean below the least normal float32", "to even is normal", [normal - least, normal])
    third = Fraction(1, 3)
    yield column("mean of thirds", "a quotient that never ends", [float(third), float(2 * third), 1.0])
