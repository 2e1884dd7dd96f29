"""What a correction would change on the course, in words."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.views.differences import ViewDifference, What
from ipt_workflow.web.forms import consent_text, option_text
from ipt_workflow.web.history.words import SaidChange
from ipt_workflow.web.language import _, gettext, moment, noted, number

LABELS: dict[What, str] = {
    "state": noted("Where the course is"),
    "progress": noted("Progress"),
    "attended": noted("Sessions held"),
    "missed": noted("Sessions missed or cancelled"),
    "sick_role": noted("Sick role"),
    "problem_area": noted("Problem area"),
    "formulation": noted("Formulation"),
    "contract": noted("Contract"),
    "risk": noted("Risk"),
    "risk_open": noted("Risk to review since"),
    "next_appointment": noted("Next appointment"),
    "score": noted("Last score"),
    "ending": noted("Ended on"),
    "attention": noted("What needs attention"),
    "consents": noted("Consent"),
    "therapist": noted("Therapist"),
    "deviations": noted("Sessions beyond the limit"),
}


def _coded(options: str) -> Callable[[Any], str]:
    return lambda value: gettext(option_text(options, value))


def _listed(options: str) -> Callable[[Any], str]:
    return lambda value: ", ".join(gettext(option_text(options, each)) for each in value)


WORDS: dict[What, Callable[[Any], str]] = {
    "state": _coded("state"),
    "sick_role": _coded("sick_role_status"),
    "problem_area": _coded("area"),
    "risk": _coded("risk"),
    "attention": _listed("attention"),
    "consents": lambda value: ", ".join(consent_text(each, gettext) for each in value),
    "contract": lambda value: _("%(sessions)s sessions in %(weeks)s weeks", sessions=value[0], weeks=value[1]),
    "formulation": lambda value: _("Formulation %(number)s", number=value),
    "progress": lambda value: _progress(*value),
}


def course_change(found: ViewDifference, protocol: Protocol) -> SaidChange:
    label = _(LABELS[found.what])
    if found.of and found.of in protocol.instruments:
        label = f"{label}, {gettext(protocol.instruments[found.of].title)}"
    return SaidChange(label, _text(found.what, found.before), _text(found.what, found.after))


def _text(what: What, value: Any) -> str:
    if value is None or value == ():
        return ""
    if what in WORDS:
        return WORDS[what](value)
    if isinstance(value, dt.datetime):
        return moment(value)
    return number(value) if isinstance(value, int | float) else str(value)


def _progress(session: int, sessions: int | None, week: int | None, weeks: int | None) -> str:
    """`session 5 of 12, week 6 of 16`."""
    values = {"session": session, "sessions": sessions, "week": week, "weeks": weeks}
    if sessions and week and weeks:
        return _("session %(session)s of %(sessions)s, week %(week)s of %(weeks)s", **values)
    if sessions:
        return _("session %(session)s of %(sessions)s", **values)
    return _("session %(session)s", **values)
