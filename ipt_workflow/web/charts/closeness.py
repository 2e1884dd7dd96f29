"""The closeness circle: the client in the middle, and around them the people of the inventory, the nearer the closer."""

import math
from collections.abc import Sequence

import msgspec

from ipt_workflow.web.charts.svg import SvgChart, dot, drawing, text
from ipt_workflow.web.language import _, gettext, noted

RINGS = (noted("Inner circle"), noted("Middle circle"), noted("Outer circle"))  # also what the inventory keeps as `closeness`
SIZE, MIDDLE, RADII = 420, 210, (70, 125, 180)
TURN = 0.6  # how far each ring begins after the one within, in radians, so that names do not stand above each other


class CirclePerson(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody of the inventory. `ring` is the number of their circle, from the inside; None if they are in none."""

    name: str
    relationship: str = ""
    ring: int | None = None
    deceased: bool = False


def ring_of(closeness: str) -> int | None:
    """The circle that the words of an inventory name; None for other words."""
    said = closeness.strip().casefold()
    return next((number for number, ring in enumerate(RINGS) if ring.casefold() == said), None)


def closeness_circle(people: Sequence[CirclePerson], uid: str) -> SvgChart:
    """The circles, with everybody who is in one. Who has died is marked so in words."""
    parts = [dot("ring", MIDDLE, MIDDLE, radius) for radius in reversed(RADII)]
    parts += [dot("client", MIDDLE, MIDDLE, 6), text(MIDDLE, MIDDLE + 22, _("Client"), "middle")]
    for number, radius in enumerate(RADII):
        within = [each for each in people if each.ring == number]
        for index, person in enumerate(within):
            parts += _drawn(person, radius, TURN * number + 2 * math.pi * index / len(within))
    title, sentence = _("Closeness circle"), _sentence(people)
    return SvgChart(
        svg=drawing("circle", uid, (SIZE, SIZE), title, sentence, parts),
        title=title,
        sentence=sentence,
        headings=(_("Name"), _("Who they are to the client"), _("How close")),
        rows=tuple((_named(each), each.relationship, _circle(each)) for each in sorted(people, key=_order)),
    )


def _drawn(person: CirclePerson, radius: float, angle: float) -> list[str]:
    x, y = MIDDLE + radius * math.sin(angle), MIDDLE - radius * math.cos(angle)
    return [dot("died" if person.deceased else "person", x, y, 5), text(x, y - 10, _named(person), "middle")]


def _named(person: CirclePerson) -> str:
    return _("%(name)s (died)", name=person.name) if person.deceased else person.name


def _circle(person: CirclePerson) -> str:
    return _("In no circle") if person.ring is None else gettext(RINGS[person.ring])


def _order(person: CirclePerson) -> int:
    return len(RINGS) if person.ring is None else person.ring


def _sentence(people: Sequence[CirclePerson]) -> str:
    """Who is in which circle, from the inside."""
    if not people:
        return _("Nobody is named yet.")
    found = []
    for number in (*range(len(RINGS)), None):
        names = ", ".join(_named(each) for each in people if each.ring == number)
        if names:
            found.append(_("%(circle)s: %(names)s.", circle=_circle(CirclePerson(name="", ring=number)), names=names))
    return " ".join(found)
