"""Whether an answer that takes long may go on: asked again before every chunk.

Access that was taken away ends it. Access that merely ran out does not, for GRACE: a large export outlives a short token.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.sessions import is_over
from ipt_workflow.errors import SessionOver, Unauthenticated
from ipt_workflow.service.access.credentials import SUSPENDED
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import access, organisations

GRACE = dt.timedelta(hours=1)
ENDED = "The token has been revoked, or it expired an hour ago. Ask an administrator for a new one."


class RunningStream:
    """An answer that goes out in chunks. `courses` are those that it is about, if the reader must be related to them."""

    def __init__(self, clinic: Clinic, principal: Principal, courses: Sequence[str] = ()) -> None:
        self.clinic = clinic
        self.principal = principal
        self.courses = tuple(courses)

    async def check(self) -> None:
        """Raises the IptError of the first thing that has ended."""
        for each in ENDINGS:
            await each(self)


async def token_ended(stream: RunningStream) -> None:
    """Raises Unauthenticated if the token was revoked, or expired long ago."""
    if stream.principal.token is None:
        return
    row = await stream.clinic.tokens.get(stream.principal.token)
    if row is None or row.revoked_at is not None or row.expires_at + GRACE <= stream.clinic.clock.now():
        raise Unauthenticated(ENDED)


async def session_ended(stream: RunningStream) -> None:
    """Raises Unauthenticated if the session was ended, or ran out long ago."""
    if stream.principal.session is None:
        return
    clinic = stream.clinic
    session = await clinic.read(access.find, stream.principal.session)
    if session is None or is_over(session, clinic.clock.now() - GRACE, clinic.settings.session_idle):
        raise SessionOver


async def organisation_suspended(stream: RunningStream) -> None:
    """Raises Unauthenticated if the organisation was suspended. At the command line its data can be exported all the same."""
    if stream.principal.token or stream.principal.session:
        clinic = stream.clinic
        record = await clinic.installation.database.read(organisations.find, clinic.organisation)
        if record is None or record.status != "active":
            raise Unauthenticated(SUSPENDED)


async def relation_ended(stream: RunningStream) -> None:
    """Raises NotFound if a course does not exist for the reader any more: cover or emergency access ended, or it was transferred."""
    for each in stream.courses:
        await stream.clinic.visible_course(stream.principal, each)


ENDINGS: tuple[Callable[[RunningStream], Awaitable[None]], ...] = (
    token_ended,
    session_ended,
    organisation_suspended,
    relation_ended,
)  # each raises an IptError
