"""Cases of documents.json: documents to load, good and broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import cbor2

import reference as ref
from cases.elements import LEAST, Case, array, random_array
from reference import INF, MAX_COUNT, NAN, Feature, Moments

VALUES = array("float64", [[0.1, 2.0], [0.3, -7.0], [NAN, 7.0]])
PLAIN = Moments.from_data(VALUES, names=["age", "income"])
WEIGHTED = Moments.from_data(array("float32", [1.0, 2.5]), None, weights=array("float64", [0.1, 3.0]))
SAMPLE, TEXT, DATA = PLAIN.document(), ref.to_json(PLAIN), ref.to_cbor(PLAIN)


def load(document: str | bytes) -> Moments:
    return ref.from_json(document) if isinstance(document, str) else ref.from_cbor(document)


def case(name: str, why: str, document: str | bytes) -> Case:
    encoding, value = ("json", document) if isinstance(document, str) else ("cbor", document.hex())
    return {"name": name, "why": why, "encoding": encoding, "document": value}


def valid(name: str, why: str, m: Moments, document: str | bytes) -> Case:
    assert load(document) == m, name
    return case(name, why, document) | {"canonical": {"json": ref.to_json(m), "cbor": ref.to_cbor(m).hex()}}


def bad(error: str, name: str, why: str, document: str | bytes) -> Case:
    try:
        load(document)
    except ref.StateError:
        return case(name, why, document) | {"error": error}
    raise AssertionError(name)


def sealed(error: str, name: str, why: str, document: Case) -> Iterator[Case]:
    """In both encodings, with the digest and checksum it asks for, so that only what is meant is wrong."""
    document = ref.seal(document)
    yield bad(error, name, why, json.dumps(document, ensure_ascii=False))
    yield bad(error, f"{name}, CBOR", why, ref.cbor(document))


def changed(error: str, name: str, why: str, **change: Any) -> Iterator[Case]:
    """The sample with some keys changed."""
    yield from sealed(error, name, why, SAMPLE | change)


def income(error: str, name: str, why: str, **change: Any) -> Iterator[Case]:
    """The sample with some keys changed in its second feature: n = 3, S1 = 2, S2 = 102."""
    age, other = SAMPLE["features"]
    yield from changed(error, name, why, features=[age, other | change])


def edited(error: str, name: str, why: str, old: str, new: str) -> Case:
    """The sample's text with a piece of it replaced."""
    assert TEXT.count(old) == 1, old
    return bad(error, name, why, TEXT.replace(old, new))


def recoded(error: str, name: str, why: str, old: bytes, new: bytes) -> Case:
    assert DATA.count(old) == 1, old
    return bad(error, f"{name}, CBOR", why, DATA.replace(old, new))


def without(tree: Case, key: str) -> Case:
    return {k: v for k, v in tree.items() if k != key}


def good() -> Iterator[Case]:
    n = MAX_COUNT
    counts = Feature(count=n, nan=n, neginf=n, null=n, posinf=n, weight=Fraction(n))
    strange = ["", 'a"b\\c', "\x00\b\t\n\f\r\x1f", "\x7f\u2028\ufeff", "é", "🙂"]
    states = {
        "names and a NaN": PLAIN,
        "weighted, shape ()": WEIGHTED,
        "sums of 2000 bits": Moments.from_data(array("float64", [1e308, -LEAST, INF, -INF]), None),
        "shape (2, 2)": Moments.from_data(random_array("document", "int64", (3, 2, 2)), [1, 2]),
        "largest counts": Moments((), (counts,)),
        "no features": Moments.empty((0, 3)),
        "empty": Moments.empty((2,)),
        "strange names": Moments.empty((6,), strange),
        "a long name": Moments.empty((1,), ["x" * 300]),
    }
    for name, m in states.items():
        yield valid(name, "read and written again: the same bytes", m, ref.to_json(m))
        yield valid(f"{name}, CBOR", "read and written again: the same bytes", m, ref.to_cbor(m))
    backwards = dict(reversed(SAMPLE.items()))
    backwards["features"] = [dict(reversed(f.items())) for f in SAMPLE["features"]]
    yield valid("keys in another order", "order does not matter", PLAIN, json.dumps(backwards))
    compact = json.dumps(SAMPLE, separators=(",", ":"))
    yield valid("compact", "white space does not matter", PLAIN, compact)
    indented = "\n\t " + json.dumps(SAMPLE, indent="\t").replace("\n", "\r\n") + " "
    yield valid("indented", "white space does not matter", PLAIN, indented)
    escaped = TEXT.replace('"age"', '"\\u0061\\u0067\\u0065"').replace('"count"', '"co\\u0075nt"')
    yield valid("escaped", "\\u escapes are read, in keys as well", PLAIN, escaped)
    smile = Moments.empty((1,), ["🙂/é"])
    escaped = ref.to_json(smile).replace("🙂/é", "\\uD83D\\uDE42\\/\\u00E9")
    yield valid("surrogate pair", "two \\u escapes, one character", smile, escaped)


def broken() -> Iterator[Case]:
    yield from syntax()
    yield from structure()
    yield from not_canonical()
    yield from exact_numbers()
    yield from impossible()
    yield from checks()


def syntax() -> Iterator[Case]:
    error, why = "syntax", "truncated"
    for cut in (0, 1, 2, len(TEXT) // 2, len(TEXT) - 3):
        yield bad(error, f"JSON cut to {cut} bytes", why, TEXT[:cut])
    for cut in (0, 1, 2, len(DATA) // 2, len(DATA) - 1):
        yield bad(error, f"CBOR cut to {cut} bytes", why, DATA[:cut])
    yield bad(error, "JSON goes on", "two documents", TEXT + TEXT)
    yield bad(error, "JSON goes on with a comma", "trailing garbage", TEXT + ",")
    yield bad(error, "CBOR goes on", "trailing garbage", DATA + b"\x00")
    yield bad(error, "comment", "JSON has none", "/* no */" + TEXT)
    yield bad(error, "trailing comma", "JSON has none", TEXT.replace('"}\n', '",}\n'))
    yield bad(error, "single quotes", "not JSON", TEXT.replace('"', "'"))
    depth, why = 40_000, "must not exhaust the stack"
    yield bad(error, "deep lists", why, "[" * depth)
    yield bad(error, "deep objects", why, '{"a":' * depth)
    yield edited("type", "deep shape", why, '"shape": [2]', '"shape": ' + "[" * depth + "2" + "]" * depth)
    yield bad(error, "deep lists, CBOR", why, b"\x81" * depth)
    yield bad(error, "deep tags, CBOR", why, b"\xc1" * depth)
    why = "must not be allocated"
    yield bad(error, "a list of promised length, CBOR", why, b"\x9b\x7f" + b"\xff" * 7)
    yield bad(error, "a map of promised length, CBOR", why, b"\xbb\x7f" + b"\xff" * 7)
    yield bad(error, "a text of promised length, CBOR", why, b"\x7b\x7f" + b"\xff" * 7)
    yield edited(error, "lone surrogate", "no UTF-8 encoding", '"age"', '"\\ud83d"')
    yield edited(error, "control character", "must be escaped", '"age"', '"a\nge"')
    yield recoded(error, "name of broken UTF-8", "not UTF-8", b"cage", b"c\xff\xfe\xfd")
    yield recoded(error, "name of a surrogate", "not UTF-8", b"cage", b"c\xed\xa0\x80")
    yield recoded(error, "name of overlong UTF-8", "not UTF-8", b"cage", b"c\xe0\x80\x80")
    for number in ("Infinity", "01", "+1", "0x1", "1_0", "1e400"):
        yield edited(error, f"count {number}", "no integer of JSON", '"nan": 1', f'"nan": {number}')


def structure() -> Iterator[Case]:
    value: Any
    for document in ("null", "1", '"exactnorm"', f"[{TEXT}]"):
        yield bad("type", f"{document[:12].strip()} instead of a document", "an object", document)
    yield bad("key", "{} instead of a document", "everything is missing", "{}")
    why = "an integer"
    for value in ("1e0", "NaN", "-Infinity"):
        yield edited("version", f"version {value}", why, '"version": 1', f'"version": {value}')
        yield edited("type", f"count {value}", why, '"nan": 1', f'"nan": {value}')
    yield recoded("type", "version as a short float", why, b"gversion\x01", b"gversion\xf9\x3c\x00")
    yield recoded("type", "tagged version", "a bignum for 1", b"gversion\x01", b"gversion\xc2\x41\x01")
    yield recoded("type", "byte string", "names are text", b"cage", b"Cage")
    yield recoded("type", "key that is a number", "keys are text", b"gversion", b"\x07")
    twice = ("duplicate", "the same value twice")
    yield edited(twice[0], "duplicate key", twice[1], '"version": 1', '"version": 1, "version": 1')
    escaped = '"version": 1, "\\u0076ersion": 1'
    yield edited(twice[0], "duplicate key, escaped", twice[1], '"version": 1', escaped)
    yield edited(twice[0], "duplicate key in a feature", twice[1], '"nan": 1', '"nan": 1, "nan": 1')
    more = bytes([DATA[0] + 1]) + DATA[1:] + b"gversion\x01"
    yield bad(twice[0], "duplicate key, CBOR", twice[1], more)
    for key in ("format", "version", "shape", "features", "digest", "checksum"):
        yield bad("key", f"without {key}", "a key is missing", json.dumps(without(SAMPLE, key)))
    age, other = SAMPLE["features"]
    for key in other:
        features = [age, without(other, key)]
        yield from changed("key", f"feature without {key}", "a key is missing", features=features)
    yield from changed("key", "unknown key", "nothing is skipped", comment="hello")
    yield from changed("key", "unknown kind", "only normalization has one", kind="moments")
    yield from changed("key", "kind without its keys", "a config is missing", kind="normalization")
    yield from income("key", "unknown key in a feature", "nothing is skipped", median=3)
    yield from income("key", "one weight", "in every feature or in none", weight="0x3p+0")
    for value in ("exactnorm2", "", 1, None):
        yield from changed("format", f"format {value!r}", "not ours", format=value)
    for value in (0, 2, 2**63, -1, "1", 1.0, True, None):
        yield from changed("version", f"version {value!r}", "the error has the version needed", version=value)
    for value in (-1, -(2**63), 2**63, 2**64 - 1):
        yield from income("range", f"count {value}", "0 .. 2**63 - 1", null=value)
    yield edited("range", "count 2**64", "0 .. 2**63 - 1", '"nan": 1', f'"nan": {2**64}')
    for value in ("1", [1], {"n": 1}, True, False, 0.0, 1.0, None):
        yield from income("type", f"count {value!r}", "an integer", null=value)
    yield from changed("shape", "shape [3]", "3 for 2 features", shape=[3])
    yield from changed("shape", "shape [2, 2]", "4 for 2 features", shape=[2, 2])
    yield from changed("shape", "shape []", "1 for 2 features", shape=[])
    yield from changed(
        "shape", "shape [-1, -2]", "the product fits, the extents are negative", shape=[-1, -2]
    )
    for shape in ([2**32, 2**32], [2**63], [2**62, 2, 2], [2**64 - 1], [2**40]):
        nothing = SAMPLE | {"shape": shape, "features": []}
        why = "a product that overflows, or is huge"
        yield from sealed("shape", f"shape {shape} for no features", why, without(nothing, "names"))
    for value in (2, "2", ["2"], [[2]], {"0": 2}, None, [2, True], [2.0], [2, None]):
        yield from changed("type", f"shape {value!r}", "a list of integers", shape=value)
    lists: dict[str, Any] = {
        "{}": {},
        "''": "",
        "null": None,
        "with null": [age, None],
        "with a list": [age, [other]],
    }
    for what, value in lists.items():
        yield from changed("type", f"features {what}", "a list of objects", features=value)
    yield from changed("names", "one name too few", "one for each feature", names=["age"])
    yield from changed("names", "one name too many", "one for each feature", names=["age", "income", "x"])
    yield from changed("names", "the same name twice", "distinct", names=["age", "age"])
    for value in (["age", 1], ["age", None], "ab", {"age": 0, "income": 1}, None):
        yield from changed("type", f"names {value!r}", "a list of strings", names=value)


def not_canonical() -> Iterator[Case]:
    """CBOR that says the right thing in another way."""
    error, why = "canonical", "the same state has the same bytes"
    yield recoded(error, "version in two bytes", why, b"gversion\x01", b"gversion\x18\x01")
    yield recoded(error, "length in two bytes", why, b"cage", b"\x78\x03age")
    yield recoded(error, "list of indefinite length", why, b"eshape\x81\x02", b"eshape\x9f\x02\xff")
    yield recoded(error, "text of indefinite length", why, b"cage", b"\x7f\x63age\xff")
    yield recoded(error, "self-described", "no tags", DATA, b"\xd9\xd9\xf7" + DATA)
    yield bad(error, "keys in another order, CBOR", why, cbor2.dumps(SAMPLE))
    yield bad(
        error, "short keys first, CBOR", "not in the order of RFC 8949", cbor2.dumps(SAMPLE, canonical=True)
    )


def exact_numbers() -> Iterator[Case]:
    """Texts that are not the one form of a number. The sum is 2, 0x1p+1."""
    value: Any
    for name, value in {
        "even integer": "0x2p+0",
        "leading zero": "0x01p+1",
        "upper case digits": "0xAp+0",
        "upper case X": "0X1p+1",
        "upper case P": "0x1P+1",
        "no sign of the exponent": "0x1p1",
        "no exponent": "0x1",
        "no digits of the exponent": "0x1p+",
        "plus": "+0x1p+1",
        "two signs": "--0x1p+1",
        "space": " 0x1p+1",
        "newline at the end": "0x1p+1\n",
        "NUL at the end": "0x1p+1\x00",
        "zero with an exponent": "0x0p+1",
        "minus zero": "-0x0p+0",
        "exponent -0": "0x1p-0",
        "exponent with a leading zero": "0x1p+01",
        "decimal": "2",
        "fraction": "0x1.0p+1",
        "nothing": "",
        "no digits": "0xp+1",
        "digit g": "0xgp+1",
        "digits of another script": "0x1p+１",
        "nan": "nan",
        "inf": "inf",
    }.items():
        yield from income("number", f"sum: {name}", "the canonical form is the only one", sum=value)
    yield from income("number", "sumsq: even integer", "the canonical form is the only one", sumsq="0x66p+0")
    for value in (2, None, ["0x1p+1"], True):
        yield from income("type", f"sum is {value!r}", "a string", sum=value)
    why = "no data have it, and it must not be allocated"
    for exponent in (
        "+999999999",
        "-999999999",
        "+99999999999999999999",
        "+100000",
        "-100000",
        "+9999",
        "-9999",
    ):
        yield from income("range", f"sum 0x1p{exponent}", why, sum=f"0x1p{exponent}")
        yield from income("range", f"sumsq 0x1p{exponent}", why, sumsq=f"0x1p{exponent}")
    long = "0x1" + "0" * 5000 + "1p+0"
    yield from income("range", "sum of 5002 digits", why, sum=long)
    yield from income("range", "sumsq of 5002 digits", why, sumsq=long)


def impossible() -> Iterator[Case]:
    error, why = "sums", "no data have it"
    yield from income(error, "S2 < 0", why, sumsq="-0x1p+0")
    yield from income(error, "S2 = 0, S1 != 0", why, sumsq="0x0p+0")
    yield from income(error, "n * S2 < S1**2", "3 * 1 < 2**2", sumsq="0x1p+0")
    hair = "0x2" + "f" * 30 + "p-120"  # 3 - 2**-120
    yield from income(error, "n * S2 < S1**2 by a hair", "float64 could not tell", sum="0x3p+0", sumsq=hair)
    yield from income(error, "n = 0, S2 != 0", why, count=0, sum="0x0p+0")
    yield from income(error, "n = 0, S1 != 0", why, count=0, sumsq="0x0p+0")
    heavy = WEIGHTED.document()
    for name, change in {
        "W = 0, n = 2": {"weight": "0x0p+0"},
        "W < 0, n = 2": {"weight": "-0x3p+0"},
        "W != 0, n = 0": {"count": 0, "nan": 1, "sum": "0x0p+0", "sumsq": "0x0p+0"},
        "W * S2 < S1**2": {"weight": "0x1p-10"},
    }.items():
        yield from sealed(error, name, why, heavy | {"features": [heavy["features"][0] | change]})


def checks() -> Iterator[Case]:
    for key in ("digest", "checksum"):
        right = SAMPLE[key]
        for what, value in {
            "a digit changed": right[:-1] + ("1" if right[-1] == "0" else "0"),
            "upper case": right.upper(),
            "without algorithm": right[9:],
            "empty": "",
            "too long": right + "0",
            "a number": 1,
            "null": None,
        }.items():
            wrong = without(SAMPLE, "checksum") | {key: value}
            wrong = {"checksum": ref.xxh3_128(wrong)} | wrong
            yield bad(key, f"{key}: {what}", "a string of one form", json.dumps(wrong))
            yield bad(key, f"{key}: {what}, CBOR", "a string of one form", ref.cbor(wrong))
    stale = "the checks do not fit"
    yield edited("digest", "a digit of a sum changed", stale, '"sum": "0x1p+1"', '"sum": "0x1p+2"')
    yield edited("digest", "a count changed", stale, '"nan": 1', '"nan": 2')
    yield edited("checksum", "a letter of a name changed", stale, '"age"', '"aga"')
    yield edited("checksum", "names taken away", stale, ', "names": ["age", "income"]', "")
