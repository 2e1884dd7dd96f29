"""Where a course is: its phases, and both of its limits, sessions and weeks."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.web.charts.svg import WIDTH, Row, SvgChart, box, drawing
from ipt_workflow.web.language import _, n_

SESSIONS_TOP, SESSIONS_TALL, WEEKS_TOP, WEEKS_TALL, EDGE = 4, 16, 28, 10, 2
SPACE = 4
BOXES_MAX = 60  # more would be too narrow to see
BOXES_OPEN = 12  # without a limit there is room for so many: a full strip would say that all is used


class PhasePart(msgspec.Struct, frozen=True):
    """A phase as people read it. `state` is done, now or ahead; `most` is None where nothing limits it yet."""

    title: str
    state: str
    sessions: int
    most: int | None


class StripLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What of a course is used, and what was agreed: None without a contract. `week` is 0 before the weeks begin."""

    used: int
    agreed: int | None
    week: int
    weeks: int | None


def phase_strip(limits: StripLimits, parts: Sequence[PhasePart], uid: str) -> SvgChart:
    """Boxes for sessions and, under them, for weeks. What is used is filled, what goes beyond the contract is marked."""
    title, sentence = _("Sessions and weeks"), _sentence(limits)
    sessions = _boxes(limits.used, limits.agreed, SESSIONS_TOP, SESSIONS_TALL)
    weeks = _boxes(limits.week, limits.weeks, WEEKS_TOP, WEEKS_TALL)
    return SvgChart(
        svg=drawing("strip", uid, (WIDTH, WEEKS_TOP + WEEKS_TALL + EDGE), title, sentence, [*sessions, *weeks]),
        title=title,
        sentence=sentence,
        headings=(_("Phase"), _("Status"), _("Sessions")),
        rows=tuple(_row(part) for part in parts),
    )


def _boxes(used: int, limit: int | None, top: float, tall: float) -> list[str]:
    number = min(BOXES_MAX, max(used, limit or 0))
    if not number:
        return []
    wide = (WIDTH - 2 * EDGE + SPACE) / (number if limit is not None else max(number, BOXES_OPEN))
    kinds = ["over" if limit is not None and index >= limit else "used" if index < used else "free" for index in range(number)]
    return [box(kind, EDGE + index * wide, top, wide - min(SPACE, wide / 3), tall) for index, kind in enumerate(kinds)]


def _sentence(limits: StripLimits) -> str:
    used, agreed, week, weeks = limits.used, limits.agreed, limits.week, limits.weeks
    sessions = (
        n_("%(num)s session is used.", "%(num)s sessions are used.", used)
        if agreed is None
        else _("%(used)s of %(agreed)s sessions are used.", used=used, agreed=agreed)
    )
    if not week:
        return _("%(sessions)s The weeks have not begun.", sessions=sessions)
    if weeks is None:
        return _("%(sessions)s This is week %(week)s.", sessions=sessions, week=week)
    if week > weeks:
        return _(
            "%(sessions)s This is week %(week)s: the %(weeks)s agreed weeks are over.", sessions=sessions, week=week, weeks=weeks
        )
    return _("%(sessions)s This is week %(week)s of %(weeks)s.", sessions=sessions, week=week, weeks=weeks)


def _row(part: PhasePart) -> Row:
    return part.title, status(part.state), sessions(part)


def status(state: str) -> str:
    return {"done": _("done"), "now": _("now"), "ahead": _("still to come")}[state]


def sessions(part: PhasePart) -> str:
    """How many of its sessions a phase has had."""
    if part.most is None:
        return n_("%(num)s session", "%(num)s sessions", part.sessions) if part.sessions else _("no number agreed yet")
    if part.state == "ahead" and not part.sessions:
        return n_("up to %(num)s session", "up to %(num)s sessions", part.most)
    return _("%(number)s of at most %(most)s", number=part.sessions, most=part.most)
