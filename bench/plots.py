"""Bar charts as SVG, readable on light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

STYLE = """
    .t { font-size: 16px; font-weight: 600; fill: #1f2328 }
    .l { font-size: 13px; fill: #1f2328; text-anchor: end }
    .v { font-size: 12px; fill: #57606a }
    .ours { fill: #0969da } .theirs { fill: #afb8c1 }
    .axis { stroke: #8c959f; stroke-width: 1 } .wanted { stroke: #bc4c00; stroke-width: 2.5 }
    .wantedtext { font-size: 12px; fill: #bc4c00 }
    @media (prefers-color-scheme: dark) {
      .t, .l { fill: #e6edf3 } .v { fill: #9da7b3 }
      .ours { fill: #58a6ff } .theirs { fill: #57606a }
      .axis { stroke: #6e7681 } .wanted { stroke: #f0883e } .wantedtext { fill: #f0883e }
    }"""
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
WIDTH, LEFT, RIGHT, TOP, STEP = 960, 350, 130, 56, 22


@dataclass
class Bar:
    label: str
    value: float
    text: str  # what stands behind the bar
    ours: bool = True
    wanted: float = 0  # a mark; 0: none


def bars(title: str, subtitle: str, rows: list[Bar], line: tuple[float, str] | None = None) -> str:
    """Horizontal bars from 0; `line` is a vertical one with its name, for what nothing can exceed."""
    top = max([row.value for row in rows] + [row.wanted for row in rows] + ([line[0]] if line else []))
    scale = (WIDTH - LEFT - RIGHT) / top
    height = TOP + STEP * len(rows) + (28 if line else 10)
    bottom = TOP + STEP * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"',
        f'  role="img" aria-labelledby="t d" font-family="{FONT}">',
        f'  <title id="t">{escape(title)}</title>',
        f'  <desc id="d">{escape("; ".join(f"{row.label}: {row.text}" for row in rows))}</desc>',
        f"  <style>{STYLE}\n  </style>",
        f'  <text class="t" x="16" y="24">{escape(title)}</text>',
        f'  <text class="v" x="16" y="43">{escape(subtitle)}</text>',
    ]
    for index, row in enumerate(rows):
        y = TOP + STEP * index
        kind, width = "ours" if row.ours else "theirs", max(row.value * scale, 1)
        after = LEFT + max(width, row.wanted * scale) + 6
        parts += [
            f'  <text class="l" x="{LEFT - 10}" y="{y + 15}">{escape(row.label)}</text>',
            f'  <rect class="{kind}" x="{LEFT}" y="{y + 3}" width="{width:.1f}" height="{STEP - 6}" rx="2"/>',
            f'  <text class="v" x="{after:.1f}" y="{y + 15}">{escape(row.text)}</text>',
        ]
        if row.wanted:
            x = LEFT + row.wanted * scale
            parts.append(f'  <path class="wanted" d="M{x:.1f} {y + 1}V{y + STEP - 1}"/>')
    parts.append(f'  <path class="axis" d="M{LEFT} {TOP}V{bottom}"/>')
    if line:
        x = LEFT + line[0] * scale
        parts += [
            f'  <path class="axis" stroke-dasharray="4 3" d="M{x:.1f} {TOP}V{bottom + 4}"/>',
            f'  <text class="v" text-anchor="middle" x="{x:.1f}" y="{bottom + 18}">{escape(line[1])}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
