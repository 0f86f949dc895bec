"""What objects look like: text for terminals, HTML for notebooks."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exactnorm._layer import Layer
    from exactnorm._moments import Moments

MOST_ROWS = 60


def feature_labels(moments: Moments) -> list[str]:
    """Return the features' names, else their indices."""
    if moments.names is not None:
        return list(moments.names)
    if len(moments.shape) == 1:
        return [str(i) for i in range(moments.shape[0])]
    return [str(index) for index in itertools.product(*map(range, moments.shape))]


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return a table whose first column is text and the others numbers; long ones are cut short."""

    def line(tag: str, cells: Sequence[str]) -> str:
        first = f'<{tag} style="text-align:left">{html.escape(cells[0])}</{tag}>'
        return "<tr>" + first + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells[1:]) + "</tr>"

    body = "".join(line("td", row) for row in rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        body += f'<tr><td colspan="{len(header)}">… {len(rows) - MOST_ROWS:,} more</td></tr>'
    top = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{top}<thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"


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
    core = moments._impl
    columns = [
        [f"{value:,}" for value in counts.ravel()[:MOST_ROWS].tolist()]
        for counts in (
            moments.count,
            moments.null_count,
            moments.nan_count,
            moments.posinf_count + moments.neginf_count,
        )
    ]
    for what in ("mean", "std"):
        values, _ = core.read(what, "float64", "omit", "omit", 0)
        columns.append([f"{value:.6g}" for value in values.ravel()[:MOST_ROWS].tolist()])
    labels = feature_labels(moments)
    rows = [list(row) for row in zip(labels[:MOST_ROWS], *columns, strict=True)]
    rows += [[""]] * (len(labels) - len(rows))
    header = ["feature", "count", "null", "NaN", "infinite", "mean", "std"]
    return table_html(header, rows, f"Moments: {moments_summary(moments)}")


def layer_html(layer: Layer, summary: str) -> str:
    """Return what the layer knows as a table: mean and variance as calls use them."""
    if not layer.built:
        return f"<p>{html.escape(summary)}</p>"
    means, variances = (values.ravel().tolist() for values in (layer.mean, layer.variance))
    names = layer.names or [str(i) for i in range(len(means))]
    numbers = zip(means, variances, strict=True)
    rows = [[name, f"{mean:.6g}", f"{var:.6g}"] for name, (mean, var) in zip(names, numbers, strict=True)]
    return table_html(["feature", "mean", "variance"], rows, summary)
