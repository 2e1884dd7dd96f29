"""A protocol's states and the ways between them as an SVG: drawn from the machine's own rows, with classes alone for its looks.

The way through the phases runs from left to right. Above it stand the break and "not suitable", below it the early ending.
"""

import textwrap
from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

from ipt_workflow.course import transitions_table
from ipt_workflow.protocols.definition import COMPLETED, ENDED_EARLY, NEW, NOT_SUITABLE, PAUSED, REFERRED, Protocol

WIDTH, HEIGHT, GAP, EDGE = 136, 64, 44, 12  # of a box, between boxes, around them all
BESIDE = 9  # how far a way and the way back stand from the middle between them
TOP, WAY, BELOW = EDGE, EDGE + HEIGHT + 56, EDGE + 2 * (HEIGHT + 56)  # where the three rows begin
LETTERS, LINES, LINE = 16, 3, 17  # of a box's text, and how far its lines stand apart
ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
    '<path class="ipt-diagram__head" d="M0 0 8 4 0 8z"/></marker></defs>'
)
BACK = "reopen"  # the trigger that takes an ending back


class Box(NamedTuple):
    """A state in the picture."""

    left: float
    top: float
    width: float

    @property
    def middle(self) -> float:
        return self.left + self.width / 2

    @property
    def right(self) -> float:
        return self.left + self.width


class Way(NamedTuple):
    """Every trigger that leads from one state to another."""

    source: str
    dest: str
    triggers: tuple[str, ...]


def ways(protocol: Protocol) -> list[Way]:
    """The ways between different states, in the order of the trigger table."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for row in transitions_table.rows(protocol):
        if row.dest is not None and row.dest != row.source:
            found.setdefault((row.source, row.dest), {})[row.trigger] = None
    return [Way(source, dest, tuple(triggers)) for (source, dest), triggers in found.items()]


def protocol_diagram(protocol: Protocol, words: Mapping[str, str], title: str, says: str) -> str:
    """The picture. `words` names each state, `says` is the picture in a sentence for those who do not see it."""
    boxes = _boxes(protocol)
    right, bottom = max(box.right for box in boxes.values()) + EDGE, BELOW + HEIGHT + EDGE
    parts = [
        f'<svg class="ipt-diagram" width="{right:g}" viewBox="0 0 {right:g} {bottom:g}" role="img" aria-labelledby="diagram-t diagram-d">',
        f'<title id="diagram-t">{escape(title)}</title><desc id="diagram-d">{escape(says)}</desc>',
        ARROW,
    ]
    parts += [_line(way, boxes) for way in ways(protocol) if way.source != NEW]
    parts += [_box(boxes[state], state, words[state], protocol) for state in boxes]
    return "".join(parts) + "</svg>"


def _boxes(protocol: Protocol) -> dict[str, Box]:
    on_the_way = [REFERRED, *protocol.phase_ids, COMPLETED]
    boxes = {state: Box(EDGE + place * (WIDTH + GAP), WAY, WIDTH) for place, state in enumerate(on_the_way)}
    first, last = boxes[protocol.first.id], boxes[protocol.last.id]
    third = first.left + WIDTH / 3
    boxes[NOT_SUITABLE] = Box(EDGE, TOP, third - EDGE)
    boxes[PAUSED] = Box(third + GAP / 3, TOP, last.right + GAP * 0.75 - third - GAP / 3)
    boxes[ENDED_EARLY] = Box(EDGE, BELOW, last.right + GAP * 0.75 - EDGE)
    return boxes


def _line(way: Way, boxes: Mapping[str, Box]) -> str:
    source, dest = boxes[way.source], boxes[way.dest]
    if source.top == dest.top and source.left < dest.left:
        path = f"M{source.right:g} {WAY + HEIGHT / 2:g}H{dest.left:g}"
    elif source.top == dest.top:
        path = f"M{source.middle:g} {WAY + HEIGHT:g}v18H{dest.right - 20:g}V{WAY + HEIGHT:g}"
    else:
        across = _across(way, source, dest)
        ends = (source.top + HEIGHT, dest.top) if source.top < dest.top else (source.top, dest.top + HEIGHT)
        path = f"M{across:g} {ends[0]:g}V{ends[1]:g}"
    back = " ipt-diagram__way--back" if way.triggers == (BACK,) else ""
    return f'<path class="ipt-diagram__way{back}" d="{path}" marker-end="url(#arrow)"/>'


def _across(way: Way, source: Box, dest: Box) -> float:
    """Where a way from one row to another stands: in the middle of the narrower box, with room for the way back."""
    goes_on = way.source == PAUSED and dest.top == WAY
    beside = BESIDE if goes_on or BACK in way.triggers else -BESIDE
    if {way.source, way.dest} == {PAUSED, ENDED_EARLY}:
        return min(source.right, dest.right) - GAP * 0.375 + beside
    narrow = source if source.top == WAY else dest
    if NOT_SUITABLE in {way.source, way.dest} and narrow.left > EDGE:
        return narrow.left + WIDTH / 6 + beside
    return narrow.middle + beside + (WIDTH / 6 if PAUSED in {way.source, way.dest} else 0)


def _box(box: Box, state: str, word: str, protocol: Protocol) -> str:
    kind = "phase" if state in protocol.phase_ids else "ended" if state in {COMPLETED, ENDED_EARLY, NOT_SUITABLE} else "plain"
    lines = [*_lines(word, box)]
    first = box.top + HEIGHT / 2 - (len(lines) - 1) * LINE / 2 + 5
    texts = "".join(
        f'<text class="ipt-diagram__text" x="{box.middle:g}" y="{first + number * LINE:g}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    rounded = 4 if kind == "phase" else 16
    return f'<rect class="ipt-diagram__box ipt-diagram__box--{kind}" x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" height="{HEIGHT}" rx="{rounded}"/>{texts}'


def _lines(word: str, box: Box) -> Iterator[str]:
    """A text in lines that fit the box."""
    letters = int(LETTERS * box.width / WIDTH)
    for paragraph in word.split("\n"):
        yield from textwrap.wrap(paragraph, letters, max_lines=LINES, placeholder=" …")
