"""Text cut into blocks of whole records, so that several threads can parse it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from exactnorm.files._locations import Location

BLOCK_BYTES = 4 << 20
_LONGEST_RECORD = 64 << 20

Cut = Callable[[bytes], int]
"""Gets text that starts with a record; returns where its last whole record ends, 0 if there is none."""


class Block(NamedTuple):
    """Whole records."""

    text: bytes
    end: int
    """Where they end, in bytes of text from its beginning."""
    is_first: bool
    done: float
    """Which part of the file has been read."""


def blocks(location: Location, cut: Cut, start: int = 0, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Read blocks of about that size, from the offset of a block's end.

    Raises
    ------
    ValueError
        For a record of more than 64 MiB.
    """
    raw = location.open()
    first = start == 0
    total = raw.size() if raw.seekable() else 0
    text = pa.CompressedInputStream(raw, location.compression) if location.compression else raw
    if start:
        raw.seek(start)
    rest = b""
    while new := text.read(size):
        data = rest + new
        end = cut(data)
        if end == 0 and len(data) > _LONGEST_RECORD:
            raise ValueError(
                f"a record of more than {_LONGEST_RECORD >> 20} MiB, or a quote that does not end"
            )
        rest = data[end:]
        if end > 0:
            start += end
            yield Block(data[:end], start, first, raw.tell() / total if total else 0.0)
            first = False
    if rest:
        yield Block(rest, start + len(rest), first, 1.0)


def cut_lines(text: bytes) -> int:
    """Cut where a line ends: each is a record."""
    return text.rfind(b"\n") + 1


def cut_csv(text: bytes) -> int:
    """Cut where a line ends, but not within quotes.

    A quote opens a cell only where the cell starts, and closes it unless another quote follows. So of a run
    of quotes an even number changes nothing, and an odd one opens or closes. If these runs take turns in
    standing behind the start of a cell and before the end of one, they are pairs, and all else is outside.
    """
    end = text.rfind(b"\n") + 1
    if b'"' not in text or end == 0:
        return end
    data = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(data == ord('"'))
    is_first = np.diff(quotes, prepend=-2) != 1
    firsts = quotes[is_first]
    lengths = np.diff(np.flatnonzero(is_first), append=len(quotes))
    is_odd = lengths % 2 == 1
    firsts, lasts = firsts[is_odd], (firsts + lengths)[is_odd]  # where runs begin, and what follows them
    opening = _is_edge(data, firsts - 1)
    closing = _is_edge(data, lasts)
    opening[firsts == 0] = True
    closing[lasts == len(data)] = True
    if not (opening[0::2].all() and closing[1::2].all()):
        firsts = _toggles(firsts, opening)
    # Newlines with an even number of toggles before them are outside of quotes.
    while end > 0:
        before = int(np.searchsorted(firsts, end))
        if before % 2 == 0:
            break
        end = text.rfind(b"\n", 0, int(firsts[before - 1])) + 1
    return end


def _is_edge(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether there is, at these places, what cells end with."""
    found = data[np.clip(at, 0, len(data) - 1)]
    return np.isin(found, np.frombuffer(b",\n\r", np.uint8))


def _toggles(firsts: npt.NDArray[np.int64], opening: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return those of the odd runs that open or close a cell: others stand within text without quotes."""
    kept, is_inside = [], False
    for first, opens in zip(firsts.tolist(), opening.tolist(), strict=True):
        if is_inside or opens:
            kept.append(first)
            is_inside = not is_inside
    return np.array(kept, np.int64)
