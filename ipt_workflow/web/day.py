"""A therapist's start page: today's appointments with the buttons that record their outcome, and everything that is unfinished."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from litestar import Response, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, KeyReused, StaleVersion, TransitionRefused
from ipt_workflow.service.day import BlockedCourse, DayView
from ipt_workflow.service.drafts import DraftLine
from ipt_workflow.web.course.sent import SentForm, new_key, sent_form, write_of
from ipt_workflow.web.course.ways import Blocking, Doer
from ipt_workflow.web.faults import sentences
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, gettext, n_, noted
from ipt_workflow.web.lines import client
from ipt_workflow.web.pages import PageRequest, page, redirect, root

# What each button records of the appointment.
OUTCOMES: dict[str, dict[str, Any]] = {
    "attended": {"attendance": "5"},
    "dna": {"attendance": "3"},
    "late": {"attendance": "2", "late_notice": True},
}
RECORDED = {
    "attended": noted("The session is recorded. It waits for you to write it up."),
    "dna": noted("Recorded: the client did not attend."),
    "late": noted("Recorded: the client cancelled late."),
}
ANSWERS = {
    "cosigned": noted("Agreed"),
    "declined": noted("Declined"),
    "returned": noted("Returned for revision"),
    "lapsed": noted("Lapsed: the course has moved on"),
}
OVERTAKEN = noted(
    "Somebody wrote to this course since this page was loaded. Look at it, and record the outcome again if it is still missing."
)
UNREADABLE = noted("This form is incomplete. Record the outcome again.")
# What is unfinished, by its place on the page, and how many there are in words.
COUNTED: dict[str, Callable[[int], str]] = {
    "unsigned": lambda number: n_("%(num)s session to write up", "%(num)s sessions to write up", number),
    "risks": lambda number: n_("%(num)s risk to review", "%(num)s risks to review", number),
    "drafts": lambda number: n_("%(num)s draft", "%(num)s drafts", number),
    "overdue": lambda number: n_("%(num)s appointment without outcome", "%(num)s appointments without outcome", number),
    "blocked": lambda number: n_("%(num)s course blocked", "%(num)s courses blocked", number),
    "proposals": lambda number: n_("%(num)s answer", "%(num)s answers", number),
    "inbox": lambda number: n_("%(num)s course with messages", "%(num)s courses with messages", number),
    "emergencies": lambda number: n_("%(num)s emergency access", "%(num)s emergency accesses", number),
}
NOTHING = Command("record_session", {})


class OutcomeProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Why an outcome was not recorded, and what can be done about it."""

    status: int
    title: str
    client: str
    course: str
    lines: tuple[Blocking, ...]


class ShownDraft(msgspec.Struct, frozen=True, kw_only=True):
    """A draft with what it is of, and where its writer goes on."""

    draft: DraftLine
    title: str
    href: str


async def my_day(request: PageRequest) -> Response[bytes]:
    """The day of the therapist who looks at it."""
    said = RECORDED.get(request.query_params.get("recorded", ""))
    return await _shown(request, recorded=gettext(said) if said else "")


@post("/courses/{course_id:str}/outcome", include_in_schema=False, status_code=303)
async def outcome(request: PageRequest, course_id: FromPath[str]) -> Response[Any]:
    """Records what became of an appointment, by one of the buttons beside it."""
    form, services, principal = await sent_form(request), services_of(request), principal_of(request)
    name, command = form.one("outcome"), _command(form, services.clinic.clock.now())
    write = write_of(request, principal, form, command or NOTHING)
    if command is None:
        write = msgspec.structs.replace(write, decode=_incomplete, version=None, version_required=False)
    try:
        await services.courses.fire(principal, course_id, write)
    except TransitionRefused as refused:
        found = _doer(request, course_id).blocking(refused.refusals)
        return await _shown(request, problem=await _problem(request, course_id, 409, found))
    except CommandInvalid as invalid:
        why = sentences(invalid.faults) if command else [gettext(UNREADABLE)]
        lines = [Blocking(each, None, ()) for each in why]
        return await _shown(request, problem=await _problem(request, course_id, 422, lines))
    except (StaleVersion, KeyReused):
        return await _shown(request, problem=await _problem(request, course_id, 412, [Blocking(gettext(OVERTAKEN), None, ())]))
    return redirect(request, f"/?recorded={name}")


def _incomplete() -> tuple[Command, ...]:
    """What a form that lacks something decodes to, once it is known that its sender may write the course."""
    raise CommandInvalid([Fault("outcome", "is required")])


def _command(form: SentForm, now: dt.datetime) -> Command | None:
    """The session that a button records: at the time of its appointment, or now if that is still to come. None if the form is incomplete."""
    data = OUTCOMES.get(form.one("outcome"))
    try:
        planned = dt.datetime.fromisoformat(form.one("at"))
    except ValueError:
        return None
    if data is None or planned.tzinfo is None:
        return None
    return Command("record_session", {**data, "scheduled_for": planned.isoformat()}, min(planned, now))


async def _problem(request: PageRequest, course_id: str, status: int, lines: Sequence[Blocking]) -> OutcomeProblem:
    services, principal = services_of(request), principal_of(request)
    course = await services.clinic.visible_course(principal, course_id)
    line = (await services.registry.lines(principal, [course]))[course_id]
    title = _("The outcome is not recorded")
    return OutcomeProblem(status=status, title=title, client=client(line), course=course_id, lines=tuple(lines))


async def _shown(request: PageRequest, *, problem: OutcomeProblem | None = None, recorded: str = "") -> Response[bytes]:
    day = await services_of(request).day.of(principal_of(request))
    overdue = [each for each in day.appointments if each.overdue]
    today = [each for each in day.appointments if not each.overdue]
    return page(
        request,
        "day/day.html",
        problem.status if problem else 200,
        day=day,
        today=today,
        overdue=overdue,
        keys=[new_key() for _each in day.appointments],
        counts=_counts(day, len(overdue)),
        blocked=[_blocked(request, day, each) for each in day.blocked],
        steps={each.trigger: gettext(deed_label(each.trigger).title) for each in day.proposals},
        answers={status: gettext(text) for status, text in ANSWERS.items()},
        drafts=[_draft(each) for each in day.drafts],
        problem=problem,
        recorded=recorded,
    )


def _draft(draft: DraftLine) -> ShownDraft:
    """A draft is known by the address of its form below that of the course."""
    kind, _slash, trigger = draft.form.partition("/")
    titles = {"session": _("Session note"), "history": _("Put right")}
    title = titles.get(kind) or gettext(deed_label(trigger).title)
    return ShownDraft(draft=draft, title=title, href=f"/courses/{draft.course}/{draft.form}")


def _counts(day: DayView, overdue: int) -> list[dict[str, str]]:
    """How many there are of each list that is not empty, with its place on the page."""
    numbers = {
        "unsigned": len(day.unsigned),
        "risks": len(day.risks),
        "drafts": len(day.drafts),
        "overdue": overdue,
        "blocked": len(day.blocked),
        "proposals": len(day.proposals),
        "inbox": len(day.notices),
        "emergencies": len(day.emergencies),
    }
    return [{"id": place, "text": COUNTED[place](number)} for place, number in numbers.items() if number]


def _blocked(request: PageRequest, day: DayView, blocked: BlockedCourse) -> dict[str, Any]:
    """A blocked course with what it waits for, and where that is done."""
    why = _doer(request, blocked.course).blocking(blocked.refusals)
    return {"line": day.courses[blocked.course], "step": gettext(deed_label(blocked.trigger).title), "why": why}


def _doer(request: PageRequest, course_id: str) -> Doer:
    return Doer(principal_of(request).role, course_id, root(request.app.state.settings))


HANDLERS = (outcome,)
