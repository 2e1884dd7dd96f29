"""What is known of a course at a glance, line by line in the words of the forms."""

from collections.abc import Iterator

import msgspec

from ipt_workflow.protocols.definition import PAUSED
from ipt_workflow.service.overviews import Overview
from ipt_workflow.service.views import CourseDetails
from ipt_workflow.web.forms import consent_text, option_text
from ipt_workflow.web.language import _, day, gettext, moment, n_

SENTENCE_MAX = 300  # characters of the formulation


class Glance(msgspec.Struct, frozen=True):
    """A line: its name, and what is so, one below the other."""

    name: str
    texts: tuple[str, ...]


def word(options: str, code: str) -> str:
    """A code in the reader's language."""
    return gettext(option_text(options, code))


def glances(view: Overview) -> list[Glance]:
    """The lines. What is not known yet is left out, except where the course cannot go on without it."""
    course, protocol = view.course, view.protocol
    lines = [
        Glance(_("Therapist"), (_person(view, course.therapist),)),
        Glance(_("Supervisor"), (_person(view, course.supervisor),)),
        Glance(_("Indication"), (word("indication", course.indication),) if course.indication else ()),
        Glance(_("Problem area"), tuple(problem_areas(course)) or (_("not chosen yet"),)),
        Glance(_("Formulation"), (formulation(course),)),
        Glance(_("Goals"), course.goals),
        Glance(_("Sick role"), tuple(_sick_role(course)) if protocol.sick_role.mode != "not_used" else ()),
        Glance(_("Contract"), tuple(contract(course)) or (_("not agreed yet"),)),
        Glance(_("Break"), tuple(_break(course))),
        Glance(_("Next appointment"), (moment(course.next_appointment),) if course.next_appointment else (_("none booked"),)),
        Glance(_("Consent"), tuple(consent_text(each, gettext) for each in course.consents) or (_("none recorded"),)),
        Glance(_("Contacts"), tuple(_contacts(course))),
        Glance(_("Ending"), tuple(ending(course))),
    ]
    if course.ending:
        lines = [each for each in lines if each.name != _("Next appointment")]
    return [each for each in lines if any(each.texts)]


def _person(view: Overview, person: str | None) -> str:
    if person is None:
        return _("nobody yet")
    return view.names.get(person, person)


def problem_areas(course: CourseDetails) -> Iterator[str]:
    """The primary area first. Of a dispute its stage too."""
    focus = course.focus
    if focus is None:
        return
    for area in (focus.primary, focus.secondary, *focus.further):
        if area == "role_dispute" and focus.stage:
            yield _("%(area)s (%(stage)s)", area=word("area", area), stage=word("dispute_stage", focus.stage))
        elif area:
            yield word("area", area)


def formulation(course: CourseDetails) -> str:
    """The formulation that the client agreed with, in its own plain words."""
    agreed = course.formulation
    if agreed is None:
        return _("not agreed yet") if course.formulation_version is None else _("waits for the client's answer")
    words = " ".join((agreed.plain_words or agreed.crisis or "").split())
    if not words:
        return _("its text was erased")
    return words if len(words) <= SENTENCE_MAX else f"{words[:SENTENCE_MAX].rsplit(' ', 1)[0]} …"


def _sick_role(course: CourseDetails) -> Iterator[str]:
    role = course.sick_role
    yield word("sick_role_status", role.status)
    if role.response:
        yield _("The client: %(response)s", response=word("sick_role_response", role.response))
    for each in course.exemptions:
        if not each.over:
            yield _("%(duty)s until %(day)s", duty=each.obligation or _("A duty"), day=day(each.until))


def contract(course: CourseDetails) -> Iterator[str]:
    agreed = course.contract
    if agreed is None:
        return
    sessions = n_("%(num)s session", "%(num)s sessions", agreed.sessions)
    weeks = n_("%(num)s week", "%(num)s weeks", agreed.weeks)
    yield _("%(sessions)s in %(weeks)s", sessions=sessions, weeks=weeks)
    if course.clock and course.clock.planned_end:
        yield _("ends by %(day)s", day=day(course.clock.planned_end))
    if agreed.missed_count:
        yield _("missed sessions count")


def _break(course: CourseDetails) -> Iterator[str]:
    if course.state == PAUSED and course.interruptions:
        last = course.interruptions[-1]
        yield _("since %(day)s, until %(end)s", day=day(last.since), end=day(last.planned_return))


def _contacts(course: CourseDetails) -> Iterator[str]:
    for kind, each in course.contacts.items():
        name = word("contact_kind", kind)
        yield _("%(kind)s: %(times)s, last on %(day)s", kind=name, times=each.count, day=day(each.last_at))


def ending(course: CourseDetails) -> Iterator[str]:
    end = course.ending
    if end is None:
        return
    yield _("%(how)s on %(day)s", how=word("end_code", end.end_code), day=day(end.at))
    if end.outcome:
        yield word("outcome", end.outcome)
