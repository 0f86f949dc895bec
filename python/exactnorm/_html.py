"""What objects look like: text for terminals, HTML for notebooks.

The HTML is a table that a screen reader can read, in the colours of the page: it has none of its own, so that
it suits light and dark ones.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from exactnorm._grouped import GroupedMoments
    from exactnorm._moments import Moments

MOST_ROWS = 30
_FEW = 5
_KINDS = ("null", "NaN", "infinite")
_LEFT, _QUIET, _STRONG = "text-align:left", "opacity:.7", "font-weight:bold"
_TABLE = "margin:0;font-variant-numeric:tabular-nums"
_CAPTION = "caption-side:top;text-align:left;white-space:nowrap"


def feature_labels(moments: Moments) -> list[str]:
    """Return the features' names, else their indices."""
    return list(_labels(moments.names, moments.shape))


def _labels(names: Sequence[str] | None, shape: Sequence[int]) -> Iterator[str]:
    if names is not None:
        return iter(names)
    if len(shape) == 1:
        return map(str, range(shape[0]))
    return map(str, itertools.product(*map(range, shape)))


def layer_labels(mean: npt.NDArray[Any], moments: Moments | None) -> Iterator[str]:
    """Return the features' names, else their indices, for a layer that has this mean and these moments."""
    if moments is not None:
        return _labels(moments.names, moments.shape)
    return _labels(None, [length for length in mean.shape if length != 1] or [mean.size])


def table_html(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    *,
    more: int = 0,
    notes: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a table whose first column is text and the others numbers.

    Parameters
    ----------
    header : sequence of str
        A column named "" is text, too; counts in columns named null, NaN and infinite stand out, unless 0.
    rows : sequence of sequence of str
        They are cut short after `MOST_ROWS`.
    caption : str
        What stands above; its first word stands out.
    more : int
        How many rows there are besides these.
    notes : sequence of (str, str)
        What it is about, and what it is: these stand below.
    """
    text = [i == 0 or name == "" for i, name in enumerate(header)]
    kinds = [name in _KINDS for name in header]

    def cell(i: int, value: str) -> str:
        if i == 0:
            return _tag("th", value, _LEFT, "font-weight:normal", scope="row")
        marked = kinds[i] and value != "0"
        return _tag("td", value, *([_LEFT] if text[i] else []), *([_STRONG] if marked else []))

    more += max(0, len(rows) - MOST_ROWS)
    body = ["".join(itertools.starmap(cell, enumerate(row))) for row in rows[:MOST_ROWS]]
    if more > 0:
        body.append(_tag("td", f"… {more:,} more", _LEFT, _QUIET, colspan=str(len(header))))
    head = "".join(
        _tag("th", name, *([_LEFT] if text[i] else []), scope="col") for i, name in enumerate(header)
    )
    what, _, rest = caption.partition(" ")
    return (
        f'<div style="overflow-x:auto"><table style="{_TABLE}">'
        f'<caption style="{_CAPTION}"><strong>{html.escape(what)}</strong> {html.escape(rest)}'
        "</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>"
        f"{_notes_html(notes)}</div>"
    )


def _tag(name: str, text: str, *style: str, **attributes: str) -> str:
    if style:
        attributes["style"] = ";".join(style)
    given = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{given}>{html.escape(text)}</{name}>"


def _notes_html(notes: Sequence[tuple[str, str]]) -> str:
    if not notes:
        return ""
    lines = (
        f'<span style="white-space:nowrap">{html.escape(about)} <code>{html.escape(what)}</code></span>'
        for about, what in notes
    )
    return f'<p style="{_QUIET}">{" · ".join(lines)}</p>'


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the same in aligned columns."""
    shown = [header, *rows[:MOST_ROWS]]
    widths = [max(len(row[i]) for row in shown) for i in range(len(header))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in shown]
    if len(rows) > MOST_ROWS:
        lines.append(f"… {len(rows) - MOST_ROWS:,} more")
    return "\n".join(line.rstrip() for line in lines)


def moments_summary(moments: Moments) -> str:
    count = moments.count
    features = "1 feature" if count.size == 1 else f"{count.size:,} features"
    if count.size == 0:
        return features
    low, high = int(count.min()), int(count.max())
    values = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    noun = "value" if high == low == 1 else "values"
    parts = [features, f"{values} {noun}{' each' if count.size > 1 else ''}"]
    for what, counts in (
        ("NaN", moments.nan_count),
        ("null", moments.null_count),
        ("infinite", moments.posinf_count + moments.neginf_count),
    ):
        if counts.any():
            parts.append(f"{int(counts.sum()):,} {what}")
    return ", ".join(parts)


def moments_text(moments: Moments) -> str:
    """Return the repr of Moments."""
    weighted = "weighted, " if moments.weighted else ""
    return f"<Moments of shape {moments.shape}: {weighted}{moments_summary(moments)}>"


def moments_html(moments: Moments) -> str:
    """Return the state as a table: counts, mean and standard deviation over the finite values."""
    core = _head(moments)
    mean, std = (core.read(what, "float64", "omit", "omit", 0)[0] for what in ("mean", "std"))
    constant = core.constant_features()
    counts = core.counts().reshape(5, -1)
    states = ["constant" if c else "" if n else "no values" for c, n in zip(constant, counts[0], strict=True)]
    weighted = ", weighted" if moments.weighted else ""
    return _features_html(
        f"Moments of {moments_summary(moments)}{weighted}",
        _labels(moments.names, moments.shape),
        counts,
        mean,
        std,
        states,
        more=moments.count.size - counts.shape[1],
        notes=[("digest", moments.digest)],
    )


def grouped_summary(grouped: GroupedMoments) -> str:
    size, features = len(grouped), math.prod(grouped.shape)
    groups = "1 group" if size == 1 else f"{size:,} groups"
    return f"{groups} of {'1 feature' if features == 1 else f'{features:,} features'}"


def grouped_text(grouped: GroupedMoments) -> str:
    """Return the repr of GroupedMoments."""
    weighted = "weighted, " if grouped.weighted else ""
    keys = ", ".join(map(repr, grouped.keys()[:_FEW]))
    more = f": {keys}{', …' if len(grouped) > _FEW else ''}" if keys else ""
    return f"<GroupedMoments of shape {grouped.shape}: {weighted}{grouped_summary(grouped)}{more}>"


def grouped_rows(grouped: GroupedMoments) -> tuple[list[str], Iterator[list[str]]]:
    """Return a header, and a row a group: how many finite values, and the means of the first features."""
    labels = list(itertools.islice(_labels(grouped.names, grouped.shape), _FEW))

    def row(key: int | str, moments: Moments) -> list[str]:
        core = moments._impl
        finite = core.counts()[0].ravel()
        low, high = int(finite.min()), int(finite.max())
        mean = core.read("mean", "float64", "omit", "omit", 0)[0].ravel()[:_FEW]
        return [
            str(key),
            f"{low:,}" if low == high else f"{low:,} to {high:,}",
            *(f"{value:.6g}".replace("nan", "NaN") for value in mean.tolist()),
        ]

    return ["key", "count", *(f"mean of {label}" for label in labels)], itertools.starmap(
        row, grouped.items()
    )


def grouped_html(grouped: GroupedMoments) -> str:
    """Return the groups as a table; see `grouped_rows`."""
    header, every_row = grouped_rows(grouped)
    rows = list(itertools.islice(every_row, MOST_ROWS))
    caption = f"GroupedMoments of {grouped_summary(grouped)}{', weighted' if grouped.weighted else ''}"
    notes = [("digest", grouped.digest)]
    if math.prod(grouped.shape) > _FEW:
        notes.insert(0, ("features", f"{_FEW} of {math.prod(grouped.shape):,} shown"))
    return table_html(header, rows, caption, more=max(0, len(grouped) - MOST_ROWS), notes=notes)


def layer_html(
    summary: str,
    settings: Mapping[str, object],
    statistics: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
    moments: Moments | None = None,
) -> str:
    """Return what any adapter's layer is and knows as a table.

    Parameters
    ----------
    summary : str
        Such as "Normalization: adapted, 3 features".
    settings : mapping
        What it was made with, as axis and policies.
    statistics : (mean, variance), optional
        As calls use them, if the layer is built; of the features' shape, but for axes of length 1.
    moments : Moments, optional
        What it has learned, if it knows.
    """
    notes = [(key, str(value)) for key, value in settings.items()]
    if statistics is None:
        return f'<p style="{_LEFT}">{html.escape(summary)}</p>{_notes_html(notes)}'
    mean, variance = statistics
    counts = None
    if moments is not None:
        counts = _head(moments).counts().reshape(5, -1)
        notes.append(("digest", moments.digest))
    with np.errstate(invalid="ignore"):
        std = np.sqrt(variance.ravel()[:MOST_ROWS])
    return _features_html(
        summary,
        layer_labels(mean, moments),
        counts,
        mean.ravel()[:MOST_ROWS],
        std,
        ["constant" if value == 0 else "" for value in std],
        more=max(0, mean.size - MOST_ROWS),
        notes=notes,
    )


def _head(moments: Moments) -> Any:
    """Return what there is to show, without reading a million features."""
    core = moments._impl
    return core.select(list(range(MOST_ROWS))) if math.prod(moments.shape) > MOST_ROWS else core


def _features_html(
    caption: str,
    labels: Iterator[str],
    counts: npt.NDArray[Any] | None,
    mean: npt.NDArray[Any],
    std: npt.NDArray[Any],
    states: Sequence[str],
    *,
    more: int,
    notes: Sequence[tuple[str, str]],
) -> str:
    header = ["feature"]
    columns: list[Sequence[str]] = [list(itertools.islice(labels, mean.size))]
    if counts is not None:
        finite, nan, null, posinf, neginf = counts
        shown = {"count": finite, "null": null, "NaN": nan}
        if posinf.any() or neginf.any():
            shown["infinite"] = posinf + neginf
        for name, values in shown.items():
            header.append(name)
            columns.append([f"{value:,}" for value in values.tolist()])
    header += ["mean", "sd"]
    columns += [
        [f"{value:.6g}".replace("nan", "NaN") for value in values.ravel().tolist()] for values in (mean, std)
    ]
    if any(states):
        header.append("")
        columns.append(states)
    return table_html(header, list(zip(*columns, strict=True)), caption, more=more, notes=notes)
