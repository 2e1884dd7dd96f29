"""A course in a line, in words: its client, where it stands, its last score, and what it asks for."""

from ipt_workflow.service.views.caseload import CourseLine, ScoreLine
from ipt_workflow.web.forms import option_text
from ipt_workflow.web.language import _, gettext, noted, number

ATTENTION = {
    "risk": noted("Risk to review"),
    "deteriorating": noted("Getting worse"),
    "consent": noted("Consent withdrawn"),
    "not_attending": noted("Not attending"),
    "overdue": noted("Overdue"),
    "not_improving": noted("Not improving"),
    "blocked": noted("Blocked"),
    "unassigned": noted("No therapist"),
    "outcome_missing": noted("Appointment without outcome"),
    "unsigned": noted("Unsigned session"),
    "deviation": noted("Session beyond the limit"),
    "owed": noted("Ending incomplete"),
    "contradicted": noted("Contradicted record"),
    "transfer_open": noted("Transfer not taken up"),
    "ending": noted("Ending near"),
    "notices": noted("Message in the inbox"),
    "emergency": noted("Emergency access"),
    "emergency_overdue": noted("Emergency access without review"),
}
LEVELS = {
    "none": noted("No risk recorded"),
    "monitored": noted("Risk monitored"),
    "elevated": noted("Risk elevated"),
    "acute": noted("Risk acute"),
}


def attention(kind: str) -> str:
    """A kind of attention in a few words."""
    return _(ATTENTION[kind])


def risk(line: CourseLine) -> str:
    """The mark of risk of a course; empty if there is none."""
    if line.risk_since is not None:
        return _("Risk to review")
    return _(LEVELS[line.risk]) if line.risk in {"elevated", "acute", "monitored"} else ""


def client(line: CourseLine) -> str:
    """The client as the clinic calls them: by the label, if they have one, and the reference."""
    name = line.client_ref or _("A client whose record was erased")
    return f"{line.label} ({name})" if line.label else name


def progress(line: CourseLine) -> str:
    """`session 5 of 12, week 6 of 16`."""
    if line.week is None:
        return (
            _("session %(session)s of %(sessions)s", session=line.session, sessions=line.sessions)
            if line.sessions
            else _("session %(session)s", session=line.session)
        )
    named = {"session": line.session, "sessions": line.sessions, "week": line.week, "weeks": line.weeks}
    if line.sessions and line.weeks:
        return _("session %(session)s of %(sessions)s, week %(week)s of %(weeks)s", **named)
    return _("session %(session)s, week %(week)s", **named)


def state(line: CourseLine) -> str:
    """The phase or the state of a course."""
    return gettext(option_text("state", line.state))


def score(score: ScoreLine) -> str:
    """`PHQ-9 9, was 18: reliably better`."""
    last, first = number(score.last), number(score.first)
    if score.direction is None:
        return _("%(scale)s %(last)s", scale=gettext(score.title), last=last)
    named = {"scale": gettext(score.title), "last": last, "first": first}
    if score.direction == "same":
        return _("%(scale)s %(last)s, unchanged", **named)
    if score.direction == "better":
        return (
            _("%(scale)s %(last)s, was %(first)s: reliably better", **named)
            if score.reliable
            else _("%(scale)s %(last)s, was %(first)s: better", **named)
        )
    return (
        _("%(scale)s %(last)s, was %(first)s: reliably worse", **named)
        if score.reliable
        else _("%(scale)s %(last)s, was %(first)s: worse", **named)
    )


def arrow(score: ScoreLine) -> str:
    """Where the number has gone: an ornament beside the words."""
    if score.direction in {None, "same"}:
        return "→" if score.direction else ""
    return "↓" if score.last < score.first else "↑"


FILTERS = {
    "line_client": client,
    "line_progress": progress,
    "line_state": state,
    "line_score": score,
    "line_arrow": arrow,
    "line_risk": risk,
    "attention": attention,
}
