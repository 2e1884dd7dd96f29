"""Sessions of people: listed and ended. They begin on the pages, where somebody signs in."""

import msgspec
from litestar import delete, get
from litestar.params import FromPath, FromQuery

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, FilterText
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.sessions import SignInSessionView


class SessionList(msgspec.Struct, frozen=True):
    items: list[SignInSessionView]


@get("/v1/sessions", summary="Sessions of a person", tags=["sessions"])
async def sessions(request: ApiRequest, person: FromQuery[FilterText | None] = None) -> SessionList:
    """The caller's own open sessions, the newest first; for an administrator with `person` those of anybody."""
    return SessionList(await services_of(request).sessions.list(principal_of(request), person))


@delete("/v1/sessions/{session_id:str}", summary="End a session", tags=["sessions"])
async def end(request: ApiRequest, session_id: FromPath[str]) -> None:
    """Ends one of the caller's own sessions; for an administrator anybody's. What is sent in it from now on is refused."""
    await services_of(request).sessions.end(principal_of(request), session_id)


HANDLERS = (sessions, end)
