"""A page of HTML about one state, or about how two differ."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from exactnorm._compare import compare
from exactnorm._html import feature_labels
from exactnorm._report.flags import FLAGS
from exactnorm._report.states import State, drift_facts, facts_of, moments_of

_FILES = ("style.css", "page.html", "columns.js", "summary.js", "table.js")


def report(
    a: State, b: State | None = None, *, title: str | None = None, labels: Sequence[str] | None = None
) -> str:
    """Return a page of HTML that shows what was learned; with b, what has changed since a.

    The page is complete in itself: it loads nothing, from nowhere. It can be searched and sorted, with
    thousands of features, too. What it marks, and from where on, is said on the page.

    Parameters
    ----------
    a, b : Moments, GroupedMoments or Normalization
        Two states of the same features: the same shape, and the same names, if both have names. Of groups,
        the total is shown; of a layer, what it has learned.
    title : str, optional
        The page's title. The default is made of the labels.
    labels : sequence of str, optional
        What to call the states, one for each, such as the names of their files. The default is A and B.

    Returns
    -------
    str
        The same for the same states, to the last character. Write it as UTF-8.

    Raises
    ------
    ValueError
        If shapes or names differ, and for labels that are not one for each state.
    RuntimeError
        For a layer that has learned nothing: it is not built, or was given mean and variance.
    TypeError
        For anything but such states.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import exactnorm as en
    >>> may = en.Moments.from_data({"delay": [1.0, 2.0, 3.0], "distance": [100, 200, 300]})
    >>> june = en.Moments.from_data({"delay": [3.0, 4.0, 5.0], "distance": [100, 200, 300]})
    >>> page = en.report(may, june, title="Flights in June", labels=["May", "June"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "june.html").write_text(page, encoding="utf-8")
    """
    given = [a] if b is None else [a, b]
    called = list("AB"[: len(given)] if labels is None else labels)
    if len(called) != len(given):
        raise ValueError(f"expected a label for each of {len(given)} states, got {len(called)}")
    states = [moments_of(state, label) for state, label in zip(given, called, strict=True)]
    moments = [learned for learned, _ in states]
    drift = None
    if len(moments) == 2:
        try:
            drift = compare(*moments)
        except ValueError as error:
            raise ValueError(f"{called[0]} and {called[1]}: {error}") from error
    if title is None:
        title = " → ".join(called) if labels is not None else "Drift" if drift else "Moments"
    data = {
        "title": title,
        "flags": [flag._asdict() for flag in FLAGS],
        "features": feature_labels(next((m for m in moments if m.names is not None), moments[0])),
        "states": [
            {"label": None if labels is None else label, "kind": kind, **facts_of(learned)}
            for label, (learned, kind) in zip(called, states, strict=True)
        ],
        "drift": None if drift is None else drift_facts(drift),
    }
    tables = [learned._repr_html_() for learned in moments]
    if drift is not None:
        tables.append(drift.sort("shift")._repr_html_())
    return _fill(title, data, "".join(tables))


def _fill(title: str, data: Mapping[str, object], tables: str) -> str:
    """Put the parts together. Only the style and the script that stand here may work in the page."""
    folder = files("exactnorm._report")
    style, page, *scripts = (folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES)
    script = "\n".join(scripts)
    text = json.dumps(data, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Template(page).substitute(
        title=html.escape(title),
        style_hash=_hash(style),
        script_hash=_hash(script),
        style=style,
        script=script,
        data=text.replace("<", "\\u003c"),  # so that no name can end the element
        tables=tables,
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
