"""Documents that are damaged, files that cannot be had."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cbor2
import exactnorm as en
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference as ref


def state() -> en.Moments:
    return en.Moments.from_data({"a": [0.1, 2.0, float("nan")], "b": [1, 2, 3]})


def layer() -> en.Normalization:
    layer = en.Normalization(name="scale")
    layer.adapt({"a": [0.1, 2.0, 4.0], "b": [1, 2, 3]})
    return layer


DOCUMENTS: dict[str, bytes] = {}


def setup_module() -> None:
    for name, thing in (("moments", state()), ("layer", layer())):
        DOCUMENTS[f"{name}.cbor"] = thing.to_bytes()
        path = Path(os.environ.get("TMPDIR", "/tmp")) / f"exactnorm-{os.getpid()}.json"  # noqa: S108
        thing.save(path)
        DOCUMENTS[f"{name}.json"] = path.read_bytes()
        path.unlink()


NAMES = ["moments.cbor", "moments.json", "layer.cbor", "layer.json"]


@pytest.mark.parametrize("name", NAMES)
def test_truncated_anywhere(name: str) -> None:
    document = DOCUMENTS[name]
    whole = en.from_bytes(document)
    for length in range(len(document)):
        if document[:length] == document.rstrip():
            assert en.from_bytes(document[:length]).to_bytes() == whole.to_bytes()
            continue
        with pytest.raises(en.StateError, match=r"."):
            en.from_bytes(document[:length])


@pytest.mark.parametrize("name", NAMES)
def test_flipped_bits(name: str) -> None:
    """Whatever still loads is the same state: white space, or a layout that JSON allows."""
    document = DOCUMENTS[name]
    whole = en.from_bytes(document).to_bytes()
    for i in range(len(document)):
        for bit in range(8):
            damaged = document[:i] + bytes([document[i] ^ 1 << bit]) + document[i + 1 :]
            try:
                loaded = en.from_bytes(damaged)
            except en.StateError as error:
                assert str(error)  # noqa: PT017
            else:
                assert loaded.to_bytes() == whole


@given(st.binary(max_size=200))
def test_any_bytes(document: bytes) -> None:
    with pytest.raises(en.StateError, match=r"."):
        en.from_bytes(document)


@pytest.mark.parametrize("name", NAMES)
def test_spliced(name: str) -> None:
    """Pieces cut out, doubled and moved."""
    document, rng = DOCUMENTS[name], np.random.default_rng(0)
    whole = en.from_bytes(document).to_bytes()
    for _ in range(500):
        i, j, k = sorted(rng.integers(len(document), size=3))
        damages = (document[:i] + document[j:], document[:j] + document[i:], document[:i] + document[j:k])
        damaged = damages[rng.integers(3)]
        try:
            loaded = en.from_bytes(damaged)
        except en.StateError:
            continue
        assert loaded.to_bytes() == whole


def test_key_order_and_white_space_do_not_matter() -> None:
    m = state()
    tree = json.loads(DOCUMENTS["moments.json"])
    shuffled = dict(reversed(tree.items()))
    assert en.from_bytes(json.dumps(shuffled).encode()) == m
    assert en.from_bytes(json.dumps(tree, indent=7).encode()) == m
    assert en.from_bytes(b" \n" + json.dumps(tree, separators=(",", ":")).encode()) == m


ABSURD: dict[str, Any] = {
    "version": lambda tree: tree.update(version=2),
    "shape": lambda tree: tree.update(shape=[2**62, 2]),
    "many axes": lambda tree: tree.update(shape=[1] * 1000),
    "negative": lambda tree: tree["features"][0].update(count=-1),
    "huge count": lambda tree: tree["features"][0].update(count=2**63),
    "a float": lambda tree: tree["features"][0].update(count=3.0),
    "NaN": lambda tree: tree["features"][0].update(sum=float("nan")),
    "impossible sums": lambda tree: tree["features"][0].update(sumsq="0x1p+0", sum="0x1p+40"),
    "huge exponent": lambda tree: tree["features"][0].update(sum="0x1p+999999999"),
    "long number": lambda tree: tree["features"][0].update(sum="0x1" + "0" * 10**6 + "1p+0"),
    "format": lambda tree: tree.update(format="else"),
    "unknown key": lambda tree: tree.update(more=1),
    "names": lambda tree: tree.update(names=["a", "a"]),
}


@pytest.mark.parametrize("what", ABSURD)
def test_sealed_nonsense(what: str) -> None:
    """The digest and the checksum are right; the content is not."""
    tree = json.loads(DOCUMENTS["moments.json"])
    ABSURD[what](tree)
    sealed = ref.seal(tree)
    with pytest.raises(en.StateError, match=r"."):
        en.from_bytes(json.dumps(sealed).encode())
    with pytest.raises(en.StateError, match=r"."):
        en.from_bytes(cbor2.dumps(sealed))


def test_an_unknown_version_is_named() -> None:
    tree = json.loads(DOCUMENTS["moments.json"]) | {"version": 7}
    with pytest.raises(en.StateError, match="7"):
        en.from_bytes(json.dumps(ref.seal(tree)).encode())


def test_duplicate_keys() -> None:
    document = DOCUMENTS["moments.json"].replace(b'"version": 1', b'"version": 1, "version": 1')
    with pytest.raises(en.StateError, match="version"):
        en.from_bytes(document)


def test_deep_nesting() -> None:
    for text in (b"[" * 10**6, b'{"a":' * 10**5, b"\x81" * 10**6):
        with pytest.raises(en.StateError, match=r"."):
            en.from_bytes(text)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with pytest.raises(FileNotFoundError):
        en.load(path)
    with pytest.raises(OSError, match=r"."):
        en.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        state().save(tmp_path / "missing" / "state.json")
    state().save(path)
    before = path.read_bytes()
    layer().save(path)
    assert isinstance(en.load(path), en.Normalization)
    state().save(os.fsencode(path).decode())
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]  # nothing left beside it
    path.write_bytes(before[:-30])
    with pytest.raises(en.StateError, match=r"state\.json"):
        en.load(path)
    odd = tmp_path / os.fsdecode(b"\xff name")
    state().save(odd)
    assert en.load(odd) == state()


def test_other_arguments() -> None:
    assert issubclass(en.StateError, ValueError)
    assert en.StateError.__module__ == "exactnorm"
    m = state()
    for document in (bytearray(m.to_bytes()), memoryview(m.to_bytes())):
        assert en.from_bytes(document) == m
    for wrong in ("text", None, 3):
        with pytest.raises(TypeError):
            en.from_bytes(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        en.load(None)  # type: ignore[arg-type]


def test_weighted_states_round_trip(tmp_path: Path) -> None:
    m = en.Moments.from_data(np.array([[0.1, 1e300]]), weights=[0.3])
    m.save(tmp_path / "weighted.json")
    assert en.load(tmp_path / "weighted.json") == m
