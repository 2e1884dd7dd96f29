"""The note of a session: one page, one form, one commit. It may wait as a draft until it is signed."""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.payloads import AssessRisk, RecordSession, SignSession
from ipt_workflow.errors import NotFound
from ipt_workflow.service.drafts import DraftView
from ipt_workflow.service.session_notes import NO_SESSION, SessionBasis
from ipt_workflow.web.course import sent, unwritten
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.scale_sheets import ScaleSheet, sheet, sheet_fields
from ipt_workflow.web.course.sent import SentForm, ShownForm, sent_form
from ipt_workflow.web.course.session_form import LATE, RECORD, REVIEW, RISK, SIGN, appointments, first_note, owes_review, read_note
from ipt_workflow.web.course.unwritten import since_in_words
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.forms import Choice, FieldFault, FormContext, FormField, describe, errors, option_text
from ipt_workflow.web.forms.labels import codes_of
from ipt_workflow.web.language import _, gettext, noted, reader
from ipt_workflow.web.pages import PageRequest, page, redirect, root

DO, DRAFT, SCORES = "_do", "draft", "scores"
REVIEWED = "risk_reviewed"
ATTENDANCES = ("5", "6", "3", LATE, "2", "7", "4")  # the usual ones first
LATE_TEXT, NO_AREA = noted("Late cancellation"), noted("Not on a problem area")
MORE = ("participants", "kind", "day_only", "excused", "comment")  # what is seldom asked of a session


@get("/courses/{course_id:str}/session", include_in_schema=False)
async def new_note(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The note of a session that is not recorded yet."""
    return await _opened(request, course_id, None)


@get("/courses/{course_id:str}/session/{number:str}", include_in_schema=False)
async def note(request: PageRequest, course_id: FromPath[str], number: FromPath[str]) -> Response[bytes]:
    """The note of a session that is recorded and not signed."""
    return await _opened(request, course_id, _number(number))


@post("/courses/{course_id:str}/session", include_in_schema=False, status_code=303, request_max_body_size=sent.BYTES_MAX)
async def write_new_note(request: PageRequest, course_id: FromPath[str]) -> Response[Any]:
    """Signs the note, keeps it as a draft, or works out its scores."""
    return await _sent(request, course_id, None)


@post(
    "/courses/{course_id:str}/session/{number:str}", include_in_schema=False, status_code=303, request_max_body_size=sent.BYTES_MAX
)
async def write_note(request: PageRequest, course_id: FromPath[str], number: FromPath[str]) -> Response[Any]:
    """The same of a session that is recorded."""
    return await _sent(request, course_id, _number(number))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise NotFound(NO_SESSION)
    return int(text)


def _name(seq: int | None) -> str:
    """The note's address below that of the course, by which its draft is known too."""
    return "session" if seq is None else f"session/{seq}"


async def _opened(request: PageRequest, course_id: str, seq: int | None) -> Response[bytes]:
    services, principal = services_of(request), principal_of(request)
    basis = await services.session_notes.basis(principal, course_id, seq)
    if basis.session and (basis.session.signed or not basis.session.attended):
        return redirect(request, f"/courses/{course_id}")  # type: ignore[return-value]
    draft = await services.drafts.find(principal, course_id, _name(seq))
    if draft is None:
        return await _shown(request, basis, ShownForm(pairs=first_note(basis, reader().zone), key=sent.new_key()))
    return await _shown(request, basis, sent.kept(draft).shown(), draft)


async def _sent(request: PageRequest, course_id: str, seq: int | None) -> Response[Any]:
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    basis = await services.session_notes.basis(principal, course_id, seq)
    here, wanted = f"/courses/{course_id}/{_name(seq)}", form.one(DO)
    if wanted == DRAFT:
        await _keep(request, course_id, seq, form)
        return redirect(request, here)
    if form.one(sent.DISCARD):
        await services.drafts.drop(principal, course_id, _name(seq))
        return redirect(request, here)
    if wanted == SCORES:
        return await _shown(request, basis, form.shown())
    read = read_note(basis, form, reader().zone)
    if read.faults:
        return await _shown(request, basis, form.shown(faults=read.faults))
    answer = await unwritten.write(request, course_id, form, read.commands)
    if answer is None:
        await services.drafts.drop(principal, course_id, _name(seq))
        return redirect(request, f"/courses/{course_id}")
    await _keep(request, course_id, seq, form)  # a way out leads to another page
    if answer.overtaken:
        basis = await services.session_notes.basis(principal, course_id, seq)
    return await _shown(request, basis, _reviewing(answer))


def _reviewing(answer: ShownForm) -> ShownForm:
    """A risk that is not reviewed is reviewed in the note itself: a fault of its field, and no way out."""
    others = [each for each in answer.refusals if each.rule != REVIEWED]
    if len(others) == len(answer.refusals):
        return answer
    return msgspec.structs.replace(answer, faults=[FieldFault(f"{RISK}level", REVIEW)], refusals=others)


async def _keep(request: PageRequest, course_id: str, seq: int | None, form: SentForm) -> None:
    await services_of(request).drafts.save(principal_of(request), course_id, _name(seq), form.to_keep())


async def _shown(request: PageRequest, basis: SessionBasis, form: ShownForm, draft: DraftView | None = None) -> Response[bytes]:
    course, measures, name = basis.course, basis.course.measures, _name(basis.session.seq if basis.session else None)
    fields = {each.name: each for each in _fields(basis, form)}
    sheets = [sheet(each, measures.get(each.instrument.key), form.pairs, form.faults) for each in basis.scales]
    first, further, others = _asked(sheets)
    doer = Doer(principal_of(request).role, course.id, root(request.app.state.settings))
    return page(
        request,
        "course/session.html",
        form.status,
        basis=basis,
        course=course,
        called=basis.label,
        draft=draft,
        label={"title": _("Session note"), "button": _("Sign"), "intro": ""},
        action=f"/courses/{course.id}/{name}",
        cancel=f"/courses/{course.id}",
        back=_("Back to the course"),
        appointments=appointments(basis),
        fields=fields,
        more=[fields[f"{RECORD}{each}"] for each in MORE if f"{RECORD}{each}" in fields],
        risk=[each for name, each in fields.items() if name.startswith(RISK)],
        first=first,
        further=further,
        others=others,
        owed=owes_review(basis, form.pairs),
        errors=errors([*fields.values(), *sheet_fields(sheets)], form.faults, gettext),
        blocked=doer.blocking(form.refusals),
        since=await since_in_words(request, course.id, form.since),
        version=course.version if form.status in {200, 412} else form.pairs.get(sent.VERSION, [""])[0],
        **form.context(),
    )


def _asked(sheets: Sequence[ScaleSheet]) -> tuple[Sequence[ScaleSheet], Sequence[ScaleSheet], Sequence[ScaleSheet]]:
    """The sheet that is open, those that can be opened, and those that are asked for their total alone."""
    first = next((each for each in sheets if each.questions), None)
    further = [each for each in sheets if each is not first and (each.used or each.has_words)]
    others = [each for each in sheets if each is not first and each not in further]
    return ([first] if first else []), further, others


def _fields(basis: SessionBasis, form: ShownForm) -> tuple[FormField, ...]:
    """The fields about the session and when it was, about the risk, and those that are signed."""
    context = FormContext(
        pairs=form.pairs,
        faults=form.faults,
        choices={
            "attendance": tuple(Choice(each, _attendance(each)) for each in ATTENDANCES),
            "focus": (*_choices("area", basis.areas), Choice("", gettext(NO_AREA))),
            "medium": _choices("medium", basis.media),
            "techniques": _choices("technique", codes_of("technique")),
        },
        without=frozenset({"session", "scheduled_for", "ref", "late_notice"}),
        translate=gettext,
    )
    recorded = (*describe(CommandFrame, context), *describe(RecordSession, context, RECORD)) if basis.session is None else ()
    return (*recorded, *describe(AssessRisk, context, RISK), *describe(SignSession, context, SIGN))


def _attendance(code: str) -> str:
    return gettext(LATE_TEXT if code == LATE else option_text("attendance", code))


def _choices(options: str, codes: Sequence[str]) -> tuple[Choice, ...]:
    return tuple(Choice(each, gettext(option_text(options, each))) for each in codes)


HANDLERS = (new_note, note, write_new_note, write_note)
