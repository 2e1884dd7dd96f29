"""The page of a score: a scale filled in question by question, or its total, outside the note of a session."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.triggers import Command
from ipt_workflow.service.drafts import DraftView
from ipt_workflow.service.session_notes import Scale, ScoreBasis
from ipt_workflow.web.course import sent, unwritten
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.scale_sheets import prefix, read_sheet, sheet, sheet_fields, shows_risk
from ipt_workflow.web.course.sent import SentForm, ShownForm, sent_form
from ipt_workflow.web.course.unwritten import FormCommand, since_in_words
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.forms import Choice, FieldFault, FormContext, deed_label, describe, errors, first_pairs, read
from ipt_workflow.web.forms.posted import FILL_IN
from ipt_workflow.web.language import _, gettext, reader
from ipt_workflow.web.pages import PageRequest, page, redirect, root

TRIGGER = "record_measure"
NAME = f"do/{TRIGGER}"
SCALE, SHOWN, DO, SHOW, SCORES = "scale", "_scale", "_do", "show", "scores"
NOT_OBTAINED = "not_obtained"


@get("/courses/{course_id:str}/do/record_measure", include_in_schema=False)
async def new_score(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The sheet of the scale that the course uses."""
    basis = await services_of(request).session_notes.scales(principal_of(request), course_id)
    pairs = {SCALE: [basis.scales[0].instrument.id], **first_pairs(CommandFrame, {}, reader().zone)}
    draft = await services_of(request).drafts.find(principal_of(request), course_id, NAME)
    form = sent.kept(draft).shown() if draft else ShownForm(pairs=pairs, key=sent.new_key())
    return await _shown(request, basis, form, draft)


@post(
    "/courses/{course_id:str}/do/record_measure",
    include_in_schema=False,
    status_code=303,
    request_max_body_size=sent.BYTES_MAX,
)
async def record_score(request: PageRequest, course_id: FromPath[str]) -> Response[Any]:
    """Records the score, shows another scale, or works out the total."""
    form = await sent_form(request)
    basis = await services_of(request).session_notes.scales(principal_of(request), course_id)
    if form.one(sent.DISCARD):
        await services_of(request).drafts.drop(principal_of(request), course_id, NAME)
        return redirect(request, f"/courses/{course_id}/{NAME}")
    if form.one(DO) in {SHOW, SCORES}:
        return await _shown(request, basis, form.shown())
    scale = _chosen(basis.scales, form.one(SHOWN))
    command, faults = _read(scale, form)
    if command is None:
        return await _shown(request, basis, form.shown(faults=faults))
    answer = await unwritten.write(request, course_id, form, [FormCommand(command, prefix(scale.instrument))])
    if answer is not None:
        return await _shown(request, basis, answer)
    await services_of(request).drafts.drop(principal_of(request), course_id, NAME)
    risk = shows_risk(scale.instrument, form.pairs)
    return redirect(request, f"/courses/{course_id}/do/review_risk" if risk else f"/courses/{course_id}")


def _chosen(scales: tuple[Scale, ...], scale: str) -> Scale:
    return next((each for each in scales if each.instrument.id == scale), scales[0])


def _read(scale: Scale, form: SentForm) -> tuple[Command | None, list[FieldFault]]:
    """The command that was typed, or everything that is wrong with it."""
    found, frame = read_sheet(scale.instrument, form.pairs), read(CommandFrame, form.pairs, reader().zone)
    data, faults = found.data, [*found.faults, *frame.faults]
    if form.one(NOT_OBTAINED) and data is None and not found.faults:
        data = {"instrument": scale.instrument.key, "not_obtained": True}
        faults += [] if form.one("reason") else [FieldFault("reason", FILL_IN)]
    if data is None and not faults:
        faults.append(FieldFault(f"{prefix(scale.instrument)}total", FILL_IN))
    if faults or data is None:
        return None, faults
    beside = msgspec.convert(frame.data, CommandFrame)
    return Command(TRIGGER, data, beside.occurred_at, beside.reason), []


async def _shown(request: PageRequest, basis: ScoreBasis, form: ShownForm, draft: DraftView | None = None) -> Response[bytes]:
    view = basis.course
    chosen = next(iter(form.pairs.get(SCALE, ())), "") if not (form.faults or form.refusals) else _sheet_of(form)
    scale = _chosen(basis.scales, chosen)
    filled = sheet(scale, view.measures.get(scale.instrument.key), form.pairs, form.faults)
    frame = {
        each.name: each for each in describe(CommandFrame, FormContext(pairs=form.pairs, faults=form.faults, translate=gettext))
    }
    doer = Doer(principal_of(request).role, view.id, root(request.app.state.settings))
    return page(
        request,
        "course/score.html",
        form.status,
        course=view,
        called=basis.label,
        draft=draft,
        label={"title": gettext(deed_label(TRIGGER).title), "button": gettext(deed_label(TRIGGER).button), "intro": ""},
        action=f"/courses/{view.id}/{NAME}",
        cancel=f"/courses/{view.id}",
        back=_("Back to the course"),
        scales=[Choice(each.instrument.id, gettext(each.instrument.title)) for each in basis.scales],
        filled=filled,
        frame=frame,
        not_obtained=bool(form.pairs.get(NOT_OBTAINED)),
        errors=errors([*frame.values(), *sheet_fields([filled])], form.faults, gettext),
        blocked=doer.blocking(form.refusals),
        since=await since_in_words(request, view.id, form.since),
        version=view.version if form.status in {200, 412} else form.pairs.get(sent.VERSION, [""])[0],
        **form.context(),
    )


def _sheet_of(form: ShownForm) -> str:
    """The scale whose sheet was filled in."""
    return next(iter(form.pairs.get(SHOWN, ())), "")


HANDLERS = (new_score, record_score)
