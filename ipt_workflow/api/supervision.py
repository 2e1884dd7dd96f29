"""Supervision: recording a meeting, its records, and the agenda."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromQuery

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import listed
from ipt_workflow.api.requests import ApiRequest, keyed, limit_of, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.supervision.agenda import AgendaView
from ipt_workflow.service.supervision.meetings import MeetingRecorded, NewMeeting
from ipt_workflow.service.supervision.records import SupervisionRecord
from ipt_workflow.store.supervision import RecordPlace


class SupervisionList(msgspec.Struct, frozen=True):
    items: list[SupervisionRecord]
    next: str | None


class MeetingAnswer(msgspec.Struct, frozen=True):
    meeting: str
    records: int


class Before(msgspec.Struct, frozen=True):
    """The position of a page: after this record. None is the first page."""

    place: RecordPlace | None = None


@post("/v1/supervision", summary="Record supervision", tags=["supervision"])
async def record(request: ApiRequest) -> Response[MeetingAnswer]:
    """Fires `record_supervision` on every course that a meeting discussed, all in one commit or none. No version is needed."""
    principal = principal_of(request)
    key, body = keyed(request, await read_body(request), principal)
    done: MeetingRecorded = await services_of(request).meetings.record(principal, lambda: body.shape(NewMeeting), key)
    headers = {"Idempotent-Replayed": "true"} if done.replayed else {}
    return Response(MeetingAnswer(done.meeting, done.records), status_code=201, headers=headers)


@get("/v1/supervision", summary="Records of supervision", tags=["supervision"])
async def records(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[SupervisionList]:
    """Records on courses that the caller may see, the last recorded first. What was taken back is left out."""
    size, before = limit_of(request, limit), requests.cursor(cursor, Before, Before())
    found = await services_of(request).supervision_records.page(principal_of(request), before.place, size)
    after = requests.cursor_text(Before(found.last)) if found.last else None
    return listed(request, SupervisionList(list(found.items), after))


@get("/v1/supervision/agenda", summary="The agenda of supervision", tags=["supervision"])
async def agenda(request: ApiRequest, limit: FromQuery[int | None] = None) -> AgendaView:
    """The open courses of a supervisor's supervisees, or of a therapist: first those that nobody has discussed for four weeks."""
    view: AgendaView = await services_of(request).agenda.view(principal_of(request), limit_of(request, limit))
    return view


HANDLERS = (record, records, agenda)
