"""The agenda of supervision, the records of its meetings, and the page on which one is recorded."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.api.supervision import Before
from ipt_workflow.course.payloads import RecordSupervision
from ipt_workflow.errors import CommandInvalid, Fault, KeyReused
from ipt_workflow.service.supervision.meetings import NewMeeting
from ipt_workflow.service.supervision.preparation import MeetingPreparation
from ipt_workflow.service.supervision.records import SupervisionRecord
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.sent import BYTES_MAX, SentForm, key_of, new_key, sent_form
from ipt_workflow.web.faults import field_faults
from ipt_workflow.web.forms import FieldFault, FormContext, describe, errors, first_pairs, option_text, read
from ipt_workflow.web.language import gettext, noted, reader
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.supervision.words import staff_choices

AGENDA_MAX, RECORDS_MAX = 50, 50
COURSE, SHOWN = "course", "_shown"  # the courses that are ticked, and those that the form shows
OF_COURSE = re.compile(r"courses(?:\[(\d+)\]\.(\w+).*)?")
OF_ONE_COURSE = frozenset({"meeting", "discussed", "actions"})
NO_COURSE = noted("Tick the courses that were discussed.")
USED = noted("This was sent before with other words. Look at the records, and send it again only if something is missing.")


class ShownMeeting(msgspec.Struct, frozen=True, kw_only=True):
    """The records of one meeting on this page."""

    first: SupervisionRecord
    records: tuple[SupervisionRecord, ...]
    kind: str


@get("/supervision/agenda", include_in_schema=False)
async def agenda(request: PageRequest) -> Response[bytes]:
    """The courses to discuss, those first that wait longest."""
    view = await services_of(request).agenda.view(principal_of(request), AGENDA_MAX)
    return page(request, "supervision/agenda.html", agenda=view)


@get("/supervision/records", include_in_schema=False)
async def records(request: PageRequest) -> Response[bytes]:
    """The records, by meeting, the last recorded first."""
    services, principal = services_of(request), principal_of(request)
    before = requests.cursor(request.query_params.get("cursor"), Before, Before())
    found = await services.supervision_records.page(principal, before.place, RECORDS_MAX)
    people = {name for each in found.items for name in (each.supervisor, *each.supervisees)}
    after = requests.cursor_text(Before(found.last)) if found.last else ""
    names = await services.registry.names(people)
    return page(request, "supervision/records.html", meetings=_meetings(found.items), names=names, after=after)


def _meetings(found: Sequence[SupervisionRecord]) -> list[ShownMeeting]:
    by_meeting: dict[str, list[SupervisionRecord]] = {}
    for each in found:
        by_meeting.setdefault(each.meeting or f"{each.course} {each.seq}", []).append(each)
    return [
        ShownMeeting(first=each[0], records=tuple(each), kind=gettext(option_text("supervision_kind", each[0].kind)))
        for each in by_meeting.values()
    ]


@get("/supervision/records/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form of a meeting, about the courses that were chosen or about those of the agenda."""
    chosen = request.query_params.getall(COURSE, [])
    principal = principal_of(request)
    known = await services_of(request).preparations.prepare(principal, chosen)
    therapists = {each.therapist for each in known.courses} if chosen else set()
    begun = {
        "supervisor": known.supervisor_of(principal),
        "supervisees": sorted(
            {each for each in therapists if each} or ({principal.person} & {each.id for each in known.therapists})
        ),
        "kind": "individual",
    }
    pairs = {**first_pairs(RecordSupervision, begun, reader().zone), COURSE: chosen}
    return _shown(request, known, SentForm({name: list(values) for name, values in pairs.items()}))


@post("/supervision/records/new", include_in_schema=False, status_code=303, request_max_body_size=BYTES_MAX)
async def record(request: PageRequest) -> Response[Any]:
    """Records the meeting on every course that was ticked."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    body, faults = _read(form)
    used = False
    if not faults:
        try:
            await services.meetings.record(principal, lambda: shaped(NewMeeting, body), key_of(request, principal, form))
        except CommandInvalid as invalid:
            faults = field_faults(_at_controls(form, invalid.faults), form.pairs)
        except KeyReused:
            used = True
        else:
            return redirect(request, "/supervision/records")
    known = await services.preparations.prepare(principal, form.pairs.get(SHOWN, []))
    return _shown(request, known, form, faults, used=used)


def _read(form: SentForm) -> tuple[dict[str, Any], list[FieldFault]]:
    """The meeting that was typed, and everything that is wrong with it."""
    zone = reader().zone
    shared, frame = read(RecordSupervision, form.pairs, zone), read(CommandFrame, form.pairs, zone)
    data = {name: value for name, value in shared.data.items() if name not in OF_ONE_COURSE}
    courses = [_course(form, each) for each in form.pairs.get(COURSE, [])]
    faults = [*shared.faults, *frame.faults]
    faults += [] if courses else [FieldFault(COURSE, NO_COURSE)]
    when = {"occurred_at": frame.data["occurred_at"]} if "occurred_at" in frame.data else {}
    return {**data, **when, "courses": courses}, faults


def _course(form: SentForm, course: str) -> dict[str, Any]:
    discussed = form.one(f"discussed.{course}").replace("\r\n", "\n")
    actions = [line.strip() for line in form.one(f"actions.{course}").splitlines() if line.strip()]
    return {"course": course, **({"discussed": discussed} if discussed else {}), **({"actions": actions} if actions else {})}


def _at_controls(form: SentForm, faults: Sequence[Fault]) -> list[Fault]:
    """The faults, those of single courses at their controls: `courses[0].actions` is `actions.` with the id of the course."""
    ticked = form.pairs.get(COURSE, [])
    return [
        msgspec.structs.replace(each, where=OF_COURSE.sub(lambda found: _control(found, ticked), each.where)) for each in faults
    ]


def _control(found: re.Match[str], ticked: Sequence[str]) -> str:
    place, field = int(found[1] or len(ticked)), found[2]
    return f"{field}.{ticked[place]}" if place < len(ticked) and field in {"discussed", "actions"} else COURSE


def _shown(
    request: PageRequest, known: MeetingPreparation, form: SentForm, faults: Sequence[FieldFault] = (), *, used: bool = False
) -> Response[bytes]:
    context = FormContext(
        pairs=form.pairs,
        faults=faults,
        choices={"supervisor": staff_choices(known.supervisors), "supervisees": staff_choices(known.therapists)},
        without=OF_ONE_COURSE,
        translate=gettext,
    )
    when = next(each for each in describe(CommandFrame, context) if each.name == "occurred_at")
    fields = (when, *describe(RecordSupervision, context))
    own = [each for each in faults if each.name.partition(".")[0] in {COURSE, "discussed", "actions"}]
    others = [each for each in faults if each not in own]
    targets = {each.name: "courses" if each.name == COURSE else each.name.replace(".", "-") for each in own}
    return page(
        request,
        "supervision/meeting.html",
        422 if faults else 409 if used else 200,
        fields=fields,
        errors=[*errors(fields, others, gettext), *((each.text(gettext), targets[each.name]) for each in own)],
        by_control={each.name: each.text(gettext) for each in own},
        courses=known.courses,
        names={each.id: each.name for each in known.therapists},
        ticked=form.pairs.get(COURSE, []),
        typed={name: values[0] for name, values in form.pairs.items() if name.startswith(("discussed.", "actions."))},
        key=new_key() if used else form.key,
        used=gettext(USED) if used else "",
    )


HANDLERS = (agenda, records, new, record)
