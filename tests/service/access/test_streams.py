"""Whether a stream may go on: it ends with what its reader has it for, and not merely because a credential runs out."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from support.http_client import START, Api

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import NotFound, Unauthenticated
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.people import PersonChange
from ipt_workflow.service.access.sessions import acting
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.store.access import StoredSession

HOUR = dt.timedelta(hours=1)
SUPERVISOR = Principal(person="supervisor-1", role="supervisor")


def colleague(api: Api) -> Principal:
    """Therapist-2, who has just signed in."""
    return Principal(person="therapist-2", role="therapist", session="s-1", authenticated_at=api.clinic.clock.now())


async def cover(api: Api) -> str:
    now = api.clinic.clock.now()
    new: dict[str, Any] = {"therapist": "therapist-1", "colleague": "therapist-2", "client_told": True, "reason": "Leave."}
    made = await api.services.covers.arrange(SUPERVISOR, lambda: msgspec.convert({**new, "until": now + HOUR}, NewCover))
    return made.id


async def emergency(api: Api) -> str:
    new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
    return (await api.services.emergencies.start(colleague(api), lambda: new)).id


async def session(api: Api) -> StoredSession:
    begun = await api.services.sessions.begin("auditor-1", ("auditor",), "oidc", authenticated_at=api.clinic.clock.now())
    return begun.session


def test_a_stream_ends_when_the_session_is_ended(api):
    async def test(api: Api) -> None:
        reader = acting(await session(api), "pages")
        stream = RunningStream(api.clinic, reader)
        await stream.check()
        await api.services.sessions.end(reader, reader.session or "")
        with pytest.raises(Unauthenticated):
            await stream.check()

    api(test)


def test_a_session_that_nobody_uses_meanwhile_ends_no_stream_for_an_hour(api):
    clock = VirtualClock(START)

    async def test(api: Api) -> None:
        stream = RunningStream(api.clinic, acting(await session(api), "pages"))
        clock.advance(api.clinic.settings.session_idle + HOUR - dt.timedelta(seconds=1))
        await stream.check()
        clock.advance(dt.timedelta(seconds=1))
        with pytest.raises(Unauthenticated):
            await stream.check()

    api(test, clock)


@pytest.mark.parametrize("how", ("left", "another role"))
def test_a_stream_ends_when_its_reader_leaves_or_loses_the_role(api, how):
    async def test(api: Api) -> None:
        admin = Principal(person="admin-1", role="admin")
        streams = [
            RunningStream(api.clinic, acting(await session(api), "pages")),
            RunningStream(api.clinic, await by_token(api)),
        ]
        for each in streams:
            await each.check()
        if how == "left":
            await api.services.people.leave(admin, "auditor-1")
        else:
            await api.services.people.change(admin, "auditor-1", lambda: PersonChange(roles=("admin",)))
        for each in streams:
            with pytest.raises(Unauthenticated):
                await each.check()

    api(test)


async def by_token(api: Api) -> Principal:
    _, principal = await api.front_desk.credentials.identify(api.tokens["auditor"])
    return principal


@pytest.mark.parametrize("what", ("cover", "emergency"))
@pytest.mark.parametrize("how", ("by itself", "by somebody"))
def test_a_stream_about_a_course_ends_with_cover_or_emergency_access(api, what, how):
    clock = VirtualClock(START)

    async def test(api: Api) -> None:
        course = (await api.open("EHR-1"))["id"]
        given = await (cover(api) if what == "cover" else emergency(api))
        reader = msgspec.structs.replace(colleague(api), session=None, authenticated_at=None)
        stream = RunningStream(api.clinic, reader, [course])
        clock.advance(HOUR - dt.timedelta(seconds=1))
        await stream.check()
        if how == "by itself":
            clock.advance(dt.timedelta(seconds=1))
        elif what == "cover":
            await api.services.covers.end(SUPERVISOR, given)
        else:
            await api.services.emergencies.end(SUPERVISOR, given)
        with pytest.raises(NotFound):
            await stream.check()

    api(test, clock)
