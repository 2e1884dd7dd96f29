"""The page that puts a step right: what can be done with it, what that would change, and who must agree.

Nothing is written before it was shown what would change: only the page that shows it has the button.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Nothing, Payload
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, KeyReused, StaleVersion, TransitionRefused
from ipt_workflow.service.corrections import CorrectableStep, CorrectionPreview
from ipt_workflow.service.deeds import DeedView
from ipt_workflow.service.drafts import DraftView
from ipt_workflow.service.views.steps import StepVersion
from ipt_workflow.values.merge_patch import difference, merge_patch
from ipt_workflow.web.course import choices, sent
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.sent import ADD, DISCARD, PROPOSE, SentForm, ShownForm, sent_form, write_of
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import (
    Choice,
    FieldFault,
    FormContext,
    FormField,
    Pairs,
    deed_label,
    describe,
    errors,
    first_pairs,
    read,
)
from ipt_workflow.web.forms.posted import CHOOSE, FILL_IN
from ipt_workflow.web.history.course_changes import course_change
from ipt_workflow.web.history.words import changes, fields_of, scale_title, step_line, who
from ipt_workflow.web.language import _, gettext, noted, reader
from ipt_workflow.web.pages import PageRequest, page, redirect, root

STEP = "step."  # what the names of the step's own fields begin with
HOW, CLIENT, DO, LATEST = "_how", "_client", "_do", "_latest"
NOTHING_CHANGED = noted("Nothing is changed. Change what was wrong, or choose what else is to happen.")
NO_COURSE = noted("No other client of this reference has a course that you may see.")
WAYS = {
    "correct": noted("It happened, but not so"),
    "undo": noted("Take back the last correction"),
    "void": noted("It never happened: take it back"),
    "move": noted("It was about another client"),
}


class PutRightForm(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's form is made for: the step, the course around it, and what may be done with the step."""

    found: CorrectableStep
    view: DeedView
    latest: int  # the entry of the step that the form was shown with

    @property
    def shown(self) -> StepVersion:
        """The step as the form was shown with it."""
        return next(each for each in self.found.step.versions if each.entry.seq == self.latest)

    @property
    def trigger(self) -> str:
        return self.found.step.trigger

    @property
    def payload(self) -> type[Payload]:
        row = triggers.row_of(self.trigger)
        return row.payload if row and not self.found.time_alone else Nothing

    @property
    def data(self) -> Mapping[str, Any]:
        """What the step said then; if it was taken back, what it said last."""
        return self.shown.data or self.found.step.data or {}

    @property
    def closed(self) -> bool:
        """Whether nobody can put the step right."""
        unfit = any(each.rule == "entry_amendable" for each in self.found.refusals)
        return unfit and not self.found.time_alone

    @property
    def ways(self) -> tuple[str, ...]:
        step = self.found.step
        if self.closed:
            return ()
        if step.status == "taken_back":
            return ("undo",)
        found = ["correct"] + (["undo"] if len(step.versions) > 1 else [])
        found += [] if self.found.time_alone or self.trigger in triggers.OPENINGS else ["void"]
        return (*found, "move") if self.trigger in triggers.MOVABLE else tuple(found)

    @property
    def first_pairs(self) -> dict[str, list[str]]:
        """The pairs with which the form begins: the step as it is."""
        zone = reader().zone
        when = first_pairs(CommandFrame, {"occurred_at": self.shown.occurred_at or self.found.step.occurred_at}, zone)
        own = first_pairs(self.payload, self.data, zone, STEP) if self.payload is not Nothing else {}
        return {**when, **own, HOW: [next(iter(self.ways), "")]}


@get("/courses/{course_id:str}/history/{seq:int}/put-right", include_in_schema=False)
async def put_right(request: PageRequest, course_id: FromPath[str], seq: FromPath[int]) -> Response[bytes]:
    """The form, as the step is."""
    draft = await services_of(request).drafts.find(principal_of(request), course_id, _draft(seq))
    if draft:
        kept = sent.kept(draft)
        return _shown(request, await _form(request, course_id, seq, kept.one(LATEST)), kept.shown(), draft=draft)
    form = await _form(request, course_id, seq)
    return _shown(request, form, ShownForm(pairs=form.first_pairs, key=sent.new_key()))


def _draft(seq: int) -> str:
    """The name of what is kept of the form where a session ended: its address below that of the course."""
    return f"history/{seq}/put-right"


@post(
    "/courses/{course_id:str}/history/{seq:int}/put-right",
    include_in_schema=False,
    status_code=303,
    request_max_body_size=sent.BYTES_MAX,
)
async def correct(request: PageRequest, course_id: FromPath[str], seq: FromPath[int]) -> Response[Any]:
    """Shows what the correction would change, or makes it."""
    posted = await sent_form(request)
    if posted.one(DISCARD):
        await services_of(request).drafts.drop(principal_of(request), course_id, _draft(seq))
        return redirect(request, f"/courses/{course_id}/history/{seq}/put-right")
    form = await _form(request, course_id, seq, posted.one(LATEST))
    if posted.one(ADD):
        return _shown(request, form, posted.shown())
    command = await _command(request, form, posted)
    if not isinstance(command, Command):
        return _shown(request, form, posted.shown(faults=command))
    return await _answered(request, form, posted, command)


async def _form(request: PageRequest, course_id: str, seq: int, latest: str = "") -> PutRightForm:
    services, principal = services_of(request), principal_of(request)
    found = await services.corrections.of(principal, course_id, seq)
    known = next((each.entry.seq for each in found.step.versions if str(each.entry.seq) == latest), found.step.latest)
    return PutRightForm(found=found, view=await services.deeds.one(principal, course_id, "amend"), latest=known)


async def _answered(request: PageRequest, form: PutRightForm, posted: SentForm, command: Command) -> Response[Any]:
    services, principal, course = services_of(request), principal_of(request), form.view.course.id
    write, preview = write_of(request, principal, posted, command), None
    try:
        if posted.one(PROPOSE):
            await services.proposals.propose(principal, course, write)
        elif posted.one(DO):
            await services.courses.fire(principal, course, write)
        else:
            preview = await services.corrections.preview(principal, course, write)
    except CommandInvalid as invalid:
        shown = posted.shown(faults=field_faults([_placed(each) for each in invalid.faults], posted.pairs))
    except TransitionRefused as refused:
        shown = posted.shown(refusals=refused.refusals)
    except StaleVersion:
        since = await services.deeds.since(principal, course, posted.version or 0)
        shown = posted.shown(overtaken=True, since=since, key=sent.new_key())
        form = await _form(request, course, form.found.step.seq)
    except KeyReused:
        shown = posted.shown(used=True, key=sent.new_key())
    else:
        if preview is None:
            await services.drafts.drop(principal, course, _draft(form.found.step.seq))
            return redirect(request, f"/courses/{course}/history/{form.found.step.seq}")
        shown = posted.shown(refusals=(*preview.refusals, *preview.warnings))
    return _shown(request, form, shown, preview, command)


async def _command(request: PageRequest, form: PutRightForm, posted: SentForm) -> Command | Sequence[FieldFault]:
    """The command that was typed, or everything that is wrong with it."""
    how, overtaken = (
        posted.one(HOW),
        posted.version != form.view.course.version,
    )  # then the write itself says so, or was made before
    faults = [] if how in (WAYS if overtaken else form.ways) else [FieldFault(HOW, CHOOSE)]
    if not posted.one("reason"):
        faults.append(FieldFault("reason", FILL_IN))
    override, unexplained = posted.override()
    faults += unexplained
    frame = read(CommandFrame, posted.pairs, reader().zone)
    name, data = "amend", dict[str, Any](supersedes=form.latest)
    if how == "correct":
        own, wrong = _corrected(form, posted.pairs)
        data |= own
        faults += [*wrong, *frame.faults]
        if not own and not faults:
            faults.append(FieldFault(HOW, NOTHING_CHANGED))
    elif how in {"void", "undo"}:
        data |= {"void": True, **({"whole": True} if how == "void" and form.latest != form.found.step.seq else {})}
    elif how == "move":
        client = posted.one(CLIENT)
        found = (
            await services_of(request).corrections.course_of(principal_of(request), client, form.view.course.id) if client else None
        )
        name, data = "move_entries", {"course": found, "entries": [form.found.step.seq]}
        faults += [] if found else [FieldFault(CLIENT, NO_COURSE if client else FILL_IN)]
    if faults:
        return faults
    return Command(name, data, None, msgspec.convert(frame.data, CommandFrame).reason, override)


def _corrected(form: PutRightForm, pairs: Pairs) -> tuple[dict[str, Any], Sequence[FieldFault]]:
    """What the form changes: a patch of the data and another time, as far as they differ from what the form began with."""
    zone, first = reader().zone, form.first_pairs
    found: dict[str, Any] = {}
    faults: Sequence[FieldFault] = ()
    if form.payload is not Nothing:
        now, before = read(form.payload, pairs, zone, STEP), read(form.payload, first, zone, STEP)
        shown = {each.name.removeprefix(STEP) for each in _own_fields(form, ShownForm(pairs=pairs, key=""))}
        patch = {name: value for name, value in difference(before.data, now.data).items() if name in shown}
        found |= {"data": patch} if patch else {}
        faults = now.faults
    when = [read(CommandFrame, each, zone).data.get("occurred_at") for each in (first, pairs)]
    found |= {"occurred_at": when[1]} if when[1] and when[0] != when[1] else {}
    return found, faults


def _placed(fault: Fault) -> Fault:
    """A fault of the corrected data at the step's own field."""
    where = fault.where.removeprefix("data.data.")
    return fault if where == fault.where else Fault(STEP + where, fault.message)


def _own_fields(form: PutRightForm, shown: ShownForm) -> tuple[FormField, ...]:
    """The step's own fields. What it says now can be chosen again, also where it could not be chosen today."""
    if form.payload is Nothing:
        return ()
    offered = choices.choices_of(form.trigger, form.view)
    if "session" in offered:
        offered = {**offered, "session": choices.sessions(form.view.course.sessions)}
    known = {name: _with_present(form, options, form.data.get(name)) for name, options in offered.items()}
    context = FormContext(pairs=shown.pairs, faults=shown.faults, choices=known, add=shown.add, translate=gettext)
    return describe(form.payload, context, STEP)


def _with_present(form: PutRightForm, options: Sequence[Choice], present: Any) -> Sequence[Choice]:
    values = present if isinstance(present, list | tuple) else [present]
    known = {each.value for each in options}
    more = [str(each) for each in values if isinstance(each, str | int) and str(each) not in known]
    return (*options, *(Choice(each, scale_title(form.view.protocol, each)) for each in more))


def _frame_fields(form: PutRightForm, shown: ShownForm) -> dict[str, FormField]:
    """The fields beside the step's own: what is to happen, when it happened, whose it was, and why."""
    context = FormContext(pairs=shown.pairs, faults=shown.faults, translate=gettext)
    found = {each.name: each for each in describe(CommandFrame, context)}
    how = FormField(
        name=HOW,
        kind="radios",
        label=_("What is to happen?"),
        required=True,
        values=tuple(shown.pairs.get(HOW, ())),
        options=tuple(Choice(each, _(WAYS[each])) for each in form.ways),
        error=context.error(HOW),
    )
    client = FormField(
        name=CLIENT,
        kind="text",
        label=_("If it was about another client: the reference of that client"),
        values=tuple(shown.pairs.get(CLIENT, ())),
        error=context.error(CLIENT),
    )
    asked = gettext(deed_label("amend").reason)
    return {
        HOW: how,
        CLIENT: client,
        "occurred_at": msgspec.structs.replace(found["occurred_at"], hint="", rare=False),
        "reason": msgspec.structs.replace(found["reason"], required=True, label=asked),
    }


def _shown(
    request: PageRequest,
    form: PutRightForm,
    shown: ShownForm,
    preview: CorrectionPreview | None = None,
    command: Command | None = None,
    draft: DraftView | None = None,
) -> Response[bytes]:
    own, frame = _own_fields(form, shown), _frame_fields(form, shown)
    course, history = form.view.course, form.found.history
    doer = Doer(principal_of(request).role, course.id, root(request.app.state.settings))
    here = f"/courses/{course.id}/history/{form.found.step.seq}"
    status = 200 if preview else shown.status
    agreed = [each for each in form.found.refusals if each.rule == "amendment_agreed"]
    return page(
        request,
        "history/put_right.html",
        status,
        course=course,
        called=history.label,
        label={"title": gettext(deed_label("amend").title), "intro": "", "button": _("Show what would change")},
        line=step_line(history, form.found.step),
        closed=form.closed,
        own=own,
        frame=frame,
        ways=form.ways,
        draft=draft,
        latest=form.latest,
        errors=errors((*own, *frame.values()), shown.faults, gettext),
        action=f"{here}/put-right",
        cancel=here,
        back=_("Back to the step"),
        blocked=doer.blocking(shown.refusals) if status != 200 else [],
        stands=doer.blocking(form.found.refusals) if form.closed else [],
        agreed=doer.blocking(agreed) if not form.closed else [],
        previewed=_previewed(form, doer, preview, command) if preview and command else None,
        since=[{"what": gettext(deed_label(each.trigger).done), "who": who(history, each), "when": each.recorded_at,
                "fields": fields_of(history, each.trigger, each.data)} for each in shown.since],
        version=course.version if status in {200, 412} and not shown.refusals else shown.pairs.get(sent.VERSION, [str(course.version)])[0],
        **shown.context(),
    )  # fmt: skip


def _previewed(form: PutRightForm, doer: Doer, preview: CorrectionPreview, command: Command) -> dict[str, Any]:
    """What the correction would change, and what stands against it."""
    patch = command.data.get("data")
    after = merge_patch(dict(form.data), patch) if patch else form.data
    own = list(changes(fields_of(form.found.history, form.trigger, form.data), fields_of(form.found.history, form.trigger, after)))
    broken = [each for refusal in preview.refusals if refusal.breaks for each in refusal.breaks]
    return {
        "own": own,
        "course": [course_change(each, form.view.protocol) for each in preview.changes],
        "blocking": doer.blocking((*preview.refusals, *preview.warnings)),
        "broken": [{"seq": each.seq, "title": gettext(deed_label(each.trigger).done)} for each in broken],
        "free": not preview.refusals,
    }


HANDLERS = (put_right, correct)
