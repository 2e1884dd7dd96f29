"""The page of one trigger on one course: its form, and what becomes of it when it is sent.

A good form is written and leads back to the course. A faulty one is shown again with every fault (422), a refused one with what refuses it
and the ways out (409), and one that somebody else overtook with what they wrote (412). What was typed is kept each time.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Nothing
from ipt_workflow.course.triggers import Command, Trigger
from ipt_workflow.errors import NotFound, Refusal
from ipt_workflow.service.deeds import NO_DEED, DeedView
from ipt_workflow.service.drafts import DraftView
from ipt_workflow.service.views import EntryView
from ipt_workflow.web import language
from ipt_workflow.web.course import choices, sent
from ipt_workflow.web.course.first_phase import beside, prepared
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.progress import scores, standing
from ipt_workflow.web.course.sent import ADD, DISCARD, PROPOSE, SentForm, ShownForm, attempted, sent_form, write_of
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import (
    FieldFault,
    Formats,
    FormContext,
    FormField,
    deed_label,
    describe,
    errors,
    first_pairs,
    option_text,
    read,
    said,
)
from ipt_workflow.web.forms.posted import FILL_IN
from ipt_workflow.web.language import _, gettext, reader
from ipt_workflow.web.pages import PageRequest, page, redirect, root

ELSEWHERE = frozenset({"amend", "move_entries"})  # on the page that puts things right
SELDOM_WITH_REASON = frozenset({"record_session"})
WITH_REASON = SELDOM_WITH_REASON | {"record_measure", "review_risk"}  # it is needed in some cases
WHEN_FIRST = frozenset({"record_session", "record_contact"})  # the time is the first question, not one more
NO_TIME = triggers.ABOUT_RECORD | {"book_session", "book_series"}
# The pages made by hand, by trigger. Every other trigger has the generated page.
TEMPLATES = {
    "start": "course/start.html",
    "assign_sick_role": "course/sick_role.html",
    "select_focus": "course/problem_area.html",
    "change_focus": "course/problem_area.html",
    "agree_contract": "course/contract.html",
    "amend_contract": "course/contract.html",
    "pause": "course/break.html",
    "resume": "course/break.html",
    "record_absence": "course/break.html",
    "announce_ending": "course/ending.html",
    "end_early": "course/ending.html",
    "complete": "course/complete.html",
    "transfer": "course/transfer.html",
    "review_risk": "course/risk.html",
    "record_inventory": "course/inventory.html",
    "record_formulation": "course/formulation.html",
}
FORMATS: Formats = {"day": language.day, "moment": language.moment}
BEGIN_TEMPLATE, TEMPLATE = "course/begin_phase.html", "course/deed.html"


@get("/courses/{course_id:str}/do/{trigger:str}", include_in_schema=False)
async def deed(request: PageRequest, course_id: FromPath[str], trigger: FromPath[str]) -> Response[bytes]:
    """The form of a trigger, with what it would meet now."""
    if trigger in ELSEWHERE:
        return redirect(request, f"/courses/{course_id}/history")  # type: ignore[return-value]
    services, principal = services_of(request), principal_of(request)
    view = await services.deeds.one(principal, course_id, trigger)
    draft = await services.drafts.find(principal, course_id, _draft(trigger))
    if draft:
        return _shown(request, trigger, view, sent.kept(draft).shown(), draft)
    begun = {"data": choices.first_data(trigger, view), **await _returned(request, course_id, trigger)}
    pairs = first_pairs(_row(trigger).payload, begun["data"], reader().zone) | first_pairs(CommandFrame, begun, reader().zone)
    return _shown(request, trigger, view, ShownForm(pairs=pairs, key=sent.new_key()))


async def _returned(request: PageRequest, course_id: str, trigger: str) -> dict[str, Any]:
    """The command that the visitor asked for and that was returned, where they revise it; nothing elsewhere."""
    asked = request.query_params.get("revises")
    if not asked:
        return {}
    proposal = (await services_of(request).proposals.one(principal_of(request), asked)).proposal
    own = (proposal.proposed_by, proposal.course, proposal.trigger) == (principal_of(request).person, course_id, trigger)
    return proposal.command or {} if own and proposal.status == "returned" else {}


@post("/courses/{course_id:str}/do/{trigger:str}", include_in_schema=False, status_code=303, request_max_body_size=sent.BYTES_MAX)
async def do(request: PageRequest, course_id: FromPath[str], trigger: FromPath[str]) -> Response[Any]:
    """Fires the trigger with what was typed."""
    if triggers.row_of(trigger) is None or trigger in triggers.OPENINGS | ELSEWHERE:
        raise NotFound(NO_DEED)
    form = SentForm(prepared(trigger, (await sent_form(request)).pairs))
    if form.one(DISCARD):
        await services_of(request).drafts.drop(principal_of(request), course_id, _draft(trigger))
        return redirect(request, f"/courses/{course_id}/do/{trigger}")
    found = _read(trigger, form)
    if form.one(ADD):
        shown = form.shown()
    elif isinstance(found, tuple):
        shown = form.shown(faults=found)
    else:
        refused = await _written(request, course_id, found, form)
        if refused is None:
            seen = await services_of(request).deeds.sees(principal_of(request), course_id)  # a transfer gives it away
            return redirect(request, f"/courses/{course_id}" if seen else "/courses")
        shown = refused
    return _shown(request, trigger, await services_of(request).deeds.one(principal_of(request), course_id, trigger), shown)


async def _written(request: PageRequest, course_id: str, command: Command, form: SentForm) -> ShownForm | None:
    """Writes the command, or proposes it. Returns the form as it is shown again, or None."""
    services, principal = services_of(request), principal_of(request)
    write = write_of(request, principal, form, command)
    made = (services.proposals.propose if form.one(PROPOSE) else services.courses.fire)(principal, course_id, write)
    shown = await attempted(request, course_id, form, made, lambda invalid: field_faults(invalid.faults, form.pairs))
    if shown is None:
        await services.drafts.drop(principal, course_id, _draft(command.trigger))
    elif shown.refusals:
        await services.drafts.save(principal, course_id, _draft(command.trigger), form.to_keep())  # a way out leads away
    return shown


def _read(trigger: str, form: SentForm) -> Command | tuple[FieldFault, ...]:
    """The command that was typed, or everything that is wrong with it."""
    row, zone = _row(trigger), reader().zone
    data, frame = read(row.payload, form.pairs, zone), read(CommandFrame, form.pairs, zone)
    faults = [*data.faults, *frame.faults]
    if row.reason_required and not form.one("reason"):
        faults.append(FieldFault("reason", FILL_IN))
    override, unexplained = form.override()
    if found := (*faults, *unexplained):
        return found
    beside = msgspec.convert(frame.data, CommandFrame)
    return Command(trigger, data.data, beside.occurred_at, beside.reason, override)


def _draft(trigger: str) -> str:
    """The name of a form's draft: its address below that of the course."""
    return f"do/{trigger}"


def _row(trigger: str) -> Trigger:
    row = triggers.row_of(trigger)
    assert row is not None  # the verb has found it
    return row


def _shown(request: PageRequest, trigger: str, view: DeedView, form: ShownForm, draft: DraftView | None = None) -> Response[bytes]:
    fields = _fields(trigger, view, form)
    label = deed_label(trigger)
    leaves = view.course.next == trigger
    who = Doer(principal_of(request).role, view.course.id, root(request.app.state.settings))
    return page(
        request,
        BEGIN_TEMPLATE if trigger.startswith(triggers.BEGIN_PREFIX) else TEMPLATES.get(trigger, TEMPLATE),
        form.status,
        trigger=trigger,
        view=view,
        course=view.course,
        called=view.label,
        label={name: gettext(text) if text else "" for name, text in msgspec.structs.asdict(label).items()},
        fields=fields,
        draft=draft,
        by_name={each.name: each for each in fields},
        errors=errors(fields, form.faults, gettext),
        action=f"/courses/{view.course.id}/do/{trigger}",
        cancel=f"/courses/{view.course.id}",
        back=_("Back to the course"),
        blocked=who.blocking(_blocked(view, form, leaves=leaves)),
        needs=who.needs(view.course.requirements, (*view.option.refusals, *view.option.warnings))
        if leaves and not form.refusals
        else [],
        standing=standing(view.course),
        scores=scores(view),
        words={"indication": gettext(option_text("indication", view.course.indication)) if view.course.indication else ""},
        since=[said_since(view, each) for each in form.since],
        version=view.course.version if form.status in {200, 412} else form.pairs.get(sent.VERSION, [""])[0],
        **form.context(),
        **beside(trigger, view, form.pairs),
    )


def _blocked(view: DeedView, form: ShownForm, *, leaves: bool) -> Sequence[Refusal]:
    """What refuses the trigger: as it was sent, or before it is sent as a complete example would meet it.

    Of a trigger that leaves the phase, the checklist says that.
    """
    if form.refusals:
        return form.refusals
    return view.option.refusals if form.status == 200 and not leaves else ()


def _fields(trigger: str, view: DeedView, form: ShownForm) -> tuple[FormField, ...]:
    """The fields of the page: when it happened, the trigger's own, and the reason."""
    row = _row(trigger)
    context = FormContext(
        pairs=form.pairs, faults=form.faults, choices=choices.choices_of(trigger, view), add=form.add, translate=gettext
    )
    own = describe(row.payload, context) if row.payload is not Nothing else ()
    frame = {each.name: each for each in describe(CommandFrame, context)}
    when, reason = frame["occurred_at"], frame["reason"]
    asked = deed_label(trigger).reason
    reason = msgspec.structs.replace(
        reason,
        required=row.reason_required,
        label=gettext(asked) if asked else reason.label,
        rare=trigger in SELDOM_WITH_REASON,
    )
    shown = row.reason_required or trigger in WITH_REASON
    if trigger in NO_TIME:
        return (*own, reason) if shown else own
    first = trigger in WHEN_FIRST
    when = msgspec.structs.replace(when, rare=not first)
    return (*((when,) if first else ()), *own, *((reason,) if shown else ()), *(() if first else (when,)))


def said_since(view: DeedView, entry: EntryView) -> dict[str, Any]:
    """What somebody else recorded meanwhile, in words."""
    row = triggers.row_of(entry.trigger)
    return {
        "what": gettext(deed_label(entry.trigger).done),
        "who": view.name_of(entry.actor.person),
        "when": entry.recorded_at,
        "fields": said(row.payload, entry.data, FORMATS, gettext) if row else (),
    }


HANDLERS = (deed, do)
