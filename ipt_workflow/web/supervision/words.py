"""Words that the pages of supervision share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ipt_workflow.course import triggers
from ipt_workflow.store.people import StoredPerson
from ipt_workflow.web.forms import Choice, SaidField, deed_label, said
from ipt_workflow.web.language import day, gettext, moment, noted

FORMATS = {"day": day, "moment": moment}
STATUSES = {
    "waiting": noted("Waits for a supervisor"),
    "returned": noted("Returned for revision"),
    "cosigned": noted("Agreed"),
    "declined": noted("Declined"),
    "lapsed": noted("Has lapsed"),
}
LAPSED = {
    "course_ended": noted("The course has ended."),
    "moved_on": noted("The course has moved on from where this was meant for."),
    "proposer": noted("Whoever asked may not do this any more."),
    "revised": noted("It was revised and sent again."),
}


def deed_titles(names: Iterable[str]) -> dict[str, str]:
    """What each of these triggers is called."""
    return {name: gettext(deed_label(name).title) for name in dict.fromkeys(names)}


def command_said(trigger: str, command: Mapping[str, Any]) -> tuple[SaidField, ...]:
    """The data of a command, as people read it."""
    row = triggers.row_of(trigger)
    return said(row.payload, command.get("data", {}), FORMATS, gettext) if row else ()


def staff_choices(people: Sequence[StoredPerson]) -> tuple[Choice, ...]:
    return tuple(Choice(each.id, each.name) for each in people)
