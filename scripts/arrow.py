"""Draw docs/arrow.svg from docs/arrow.txt: one box a room, one row a line, an arrow from what is
used to its users.

python3 scripts/arrow.py
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: Pixels: the width and height of a box, and the gap between two.
WIDTH, HEIGHT, GAP = 150, 30, 24


def rows(text: str) -> list[list[str]]:
    """Return the names of each line that is no comment."""
    return [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def picture(lines: list[list[str]]) -> str:
    """Return the SVG of the rows."""
    across = max(map(len, lines)) * (WIDTH + GAP) + GAP
    down = len(lines) * (HEIGHT + GAP) + GAP
    style = 'font-family="sans-serif" font-size="14" text-anchor="middle"'
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{across}" height="{down}" {style}>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555555"/></marker></defs>',
    ]
    for number, names in enumerate(lines):
        top = GAP + number * (HEIGHT + GAP)
        if number:
            ends = f'x1="{across / 2:g}" y1="{top - GAP + 2}" x2="{across / 2:g}" y2="{top - 3}"'
            drawn.append(f'<line {ends} stroke="#555555" marker-end="url(#head)"/>')
        left = (across - len(names) * (WIDTH + GAP) + GAP) / 2
        for position, name in enumerate(names):
            x = left + position * (WIDTH + GAP)
            box = f'x="{x:g}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="4"'
            drawn.append(f'<rect {box} fill="#eef3f8" stroke="#335577"/>')
            drawn.append(f'<text x="{x + WIDTH / 2:g}" y="{top + 20}">{escape(name)}</text>')
    return "\n".join([*drawn, "</svg>", ""])


if __name__ == "__main__":
    text = (DOCS / "arrow.txt").read_text(encoding="utf-8")
    (DOCS / "arrow.svg").write_text(picture(rows(text)), encoding="utf-8")
