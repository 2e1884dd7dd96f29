"""What every chart is made of."""

from collections.abc import Iterable, Sequence

import msgspec
from markupsafe import Markup, escape

WIDTH = 640
Row = tuple[str, ...]


class SvgChart(msgspec.Struct, frozen=True, kw_only=True):
    """A drawing, the sentence that says the same, and the same as a table. `notes` explain the numbered marks in it, from 1."""

    svg: Markup
    title: str
    sentence: str
    headings: Row
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


class Axis(msgspec.Struct, frozen=True):
    """Maps values from `low` to `high` to places from `start` to `end`. A value beyond them lies at the nearer end."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        wide = self.high - self.low
        part = min(1.0, max(0.0, (value - self.low) / wide)) if wide else 0.5
        return self.start + (self.end - self.start) * part


def drawing(kind: str, uid: str, size: tuple[int, int], title: str, sentence: str, parts: Iterable[str]) -> Markup:
    """A drawing with its title and sentence. `uid` begins the ids in it, so that several stand on one page."""
    width, height = size
    return Markup(  # noqa: S704 - texts are escaped here and in `text`, and all else are numbers
        f'<svg class="ipt-chart ipt-chart--{kind}" viewBox="0 0 {width} {height}" role="img"'
        f' aria-labelledby="{escape(uid)}-title {escape(uid)}-sentence">'
        f'<title id="{escape(uid)}-title">{escape(title)}</title><desc id="{escape(uid)}-sentence">{escape(sentence)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def box(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(0.0, width):.1f}" height="{max(0.0, height):.1f}"/>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def dot(kind: str, x: float, y: float, radius: float = 4) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def path(kind: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<path class="{kind}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>' if points else ""
