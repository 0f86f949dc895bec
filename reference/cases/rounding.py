"""Cases of rounding.json: one rounding of a quotient, and of its square root."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import reference as ref
from cases.elements import Case, dice, element, hexes
from reference import FLOATS, INF, decode, encode, width


def row(numerator: Fraction | int, denominator: Fraction | int = 1) -> Case:
    numerator, denominator = Fraction(numerator), Fraction(denominator)
    q = numerator / denominator
    result = {"numerator": ref.as_text(numerator), "denominator": ref.as_text(denominator)}
    result |= {t: hexes(t, [encode(t, q)])[0] for t in FLOATS}
    if q >= 0:
        result |= {f"sqrt_{t}": hexes(t, [ref.encode_sqrt(t, q)])[0] for t in FLOATS}
    return result


def around_ties(dtype: str) -> Iterator[Case]:
    """Floats, and the middles between them and their successors: at the edges of the format, and anywhere."""
    precision, exponent_bits = FLOATS[dtype]
    rng, hair = dice(dtype), Fraction(2) ** -300
    step, infinity = 1 << (precision - 1), element(dtype, INF)
    edges = [0, 1, 2, step - 2, step - 1, step, 2 * step - 1, infinity - 2, infinity - 1]
    anywhere = [rng.getrandbits(width(dtype)) % (infinity - 1) for _ in range(8)]
    middle = [(1 << (exponent_bits - 1)) * step + rng.getrandbits(precision - 1) for _ in range(4)]
    for bits in [*edges, *anywhere, *middle]:
        below, above = decode(dtype, bits), decode(dtype, bits + 1)
        if above == INF:  # what would come next if there were one exponent more
            above = Fraction(2) ** (1 << (exponent_bits - 1))
        assert isinstance(below, Fraction)
        assert isinstance(above, Fraction)
        tie = (below + above) / 2
        yield from (row(v) for v in (below, tie * (1 - hair), tie, tie * (1 + hair), -tie))
        yield row(3 * tie, 3)
        yield from (row(v) for v in (tie**2 * (1 - hair), tie**2, tie**2 * (1 + hair)))  # for the root
        yield row(7 * tie**2, 7)


def any_quotient() -> Iterator[Case]:
    rng = dice("quotients")
    for bits in (1, 8, 63, 64, 65, 128, 200, 1000, 2000):
        for _ in range(6):
            exponent = rng.getrandbits(8) - 128 - bits // 2
            numerator = (1 - 2 * rng.getrandbits(1)) * rng.getrandbits(bits) * Fraction(2) ** exponent
            yield row(numerator, rng.getrandbits(bits) | 1)


def readable() -> Iterator[Case]:
    yield from (row(n, d) for d in range(1, 12) for n in range(12))
    yield from (row(Fraction(2) ** k) for k in (-3222, -2149, -2148, -1076, 1023, 1024, 2047, 2048, 3134))
    yield row(2**64 - 1, 2**63 - 1)
    yield row(-1, 2**63 - 1)


def rounding() -> Iterator[Case]:
    for dtype in FLOATS:
        why = "edges and middles of this format, for the quotient and for the root"
        yield {"name": f"{dtype}, around ties", "why": why, "rows": list(around_ties(dtype))}
    why = "numerators and denominators of up to 2000 bits"
    yield {"name": "any quotient", "why": why, "rows": list(any_quotient())}
    why = "easy to check by hand; and far outside of every format"
    yield {"name": "small integers and powers of two", "why": why, "rows": list(readable())}
