"""The course of a training as a picture: losses and development figures over tokens, from log.jsonl to an SVG file.

python -m training.plot RUN/bert/log.jsonl curve.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

Curve = list[tuple[float, float]]  # million tokens, value
COLOURS = ("#1b6ca8", "#c2571a", "#2f7d4f", "#8a3d8f", "#b3902a", "#4a4a4a", "#c23b5a", "#3a9fa5")
WIDTH, HEIGHT, LEFT, TOP, KEY = 640, 240, 48, 34, 200
ASIDE = ("tokens", "rate", "tokens_per_second")


def curves(lines: Sequence[Mapping[str, float]]) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """The losses, and the areas under the ROC curve, by name."""
    losses: dict[str, Curve] = {}
    areas: dict[str, Curve] = {}
    for line in lines:
        for name, value in line.items():
            if name.endswith(" AUC"):
                areas.setdefault(name.removesuffix(" AUC"), []).append((line["tokens"] / 1e6, value))
            elif "rate" in line and name not in ASIDE:
                losses.setdefault(name, []).append((line["tokens"] / 1e6, value))
    return losses, areas


def panel(title: str, named: Mapping[str, Curve], top: int) -> str:
    """One diagram, `top` pixels down: axes with their ends written out, a line for each curve, a key."""
    points = [point for curve in named.values() for point in curve]
    if not points:
        return ""
    last = max(x for x, _ in points) or 1.0
    low, high = min(y for _, y in points), max(y for _, y in points)
    span = high - low or 1.0

    def at(x: float, y: float) -> str:
        return f"{LEFT + x / last * WIDTH:.1f},{top + TOP + (high - y) / span * HEIGHT:.1f}"

    bottom, right = top + TOP + HEIGHT, LEFT + WIDTH
    parts = [
        f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{escape(title)}</text>',
        f'<path d="M{LEFT},{top + TOP} V{bottom} H{right}" fill="none" stroke="#888"/>',
        f'<text x="{LEFT - 6}" y="{top + TOP + 8}" text-anchor="end">{high:.2f}</text>',
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">{low:.2f}</text>',
        f'<text x="{right}" y="{bottom + 16}" text-anchor="end">{last:.1f} million tokens</text>',
    ]
    for number, (name, curve) in enumerate(named.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(at(x, y) for x, y in curve)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        key = top + TOP + 14 + 18 * number
        parts.append(f'<text x="{right + 12}" y="{key}" fill="{colour}">{escape(name)} {curve[-1][1]:.3f}</text>')
    return "\n".join(parts)


def picture(log: Path) -> str:
    """The SVG text of one log."""
    losses, areas = curves([json.loads(line) for line in log.read_text().splitlines()])
    below = TOP + HEIGHT + 40
    height = 2 * below if areas else below
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + KEY}" height="{height}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + panel("Loss", losses, 0)
        + "\n"
        + panel("Area under the ROC curve, development data", areas, below)
        + "\n</svg>\n"
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(Path(sys.argv[1])), encoding="utf-8")
