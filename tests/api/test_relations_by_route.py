"""Every route that does not exist for a stranger: as a colleague before, during and after cover, and with emergency access.

The routes are those of the table in `test_access`. Who covers is answered as the course's therapist. So is who has emergency access, but for what
that does not allow: a supervisor with it changes nothing but by a transition. Lists hold the course just as long.
"""

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api.test_access import TABLE, call, prepared, status, waiting, with_foreigner
from support import group_walk
from support.http_client import START, Api

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings

HIDDEN = {key: row for key, row in TABLE.items() if status(row, "foreign") == 404}
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
OF_NAMED = ("{group_id}", "{cover_id}", "{access_id}")  # they exist for the people whom they name, whatever courses these see
OF_COURSES = [key for key in HIDDEN if not any(each in key[1] for each in (*OF_NAMED, "{session_id}"))]
LISTS = (
    *("/v1/courses", "/v1/proposals", "/v1/notices"),
    *("/fhir/R4/EpisodeOfCare", "/fhir/R4/EpisodeOfCare/_history", "/fhir/R4/Patient", "/fhir/R4/Provenance"),
)
TRANSITIONS = "/v1/courses/{course_id}/transitions"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


def as_therapist(key: tuple[str, str]) -> int:
    return 404 if any(each in key[1] for each in OF_NAMED) else status(TABLE[key], "therapist")


def is_allowed_in_an_emergency(key: tuple[str, str]) -> bool:
    return key[0] == "GET" or key[1].startswith(TRANSITIONS)


def in_an_emergency(key: tuple[str, str]) -> int:
    """As a therapist, but what changes anything without a transition is refused."""
    ordinary = as_therapist(key)
    return ordinary if ordinary >= 400 or is_allowed_in_an_emergency(key) else 403


async def cover(api: Api) -> None:
    """Therapist-2 covers for therapist-1, from tomorrow for a day."""
    supervisor, tomorrow = Principal(person="supervisor-1", role="supervisor"), api.clinic.clock.now() + DAY
    new: dict[str, Any] = {"therapist": "therapist-1", "colleague": "therapist-2", "client_told": True, "reason": "Leave."}
    dates = {"from": tomorrow, "until": tomorrow + DAY}
    await api.services.covers.arrange(supervisor, lambda: msgspec.convert({**new, **dates}, NewCover))


async def emergency(api: Api, ref: str, person: str = "therapist-2", role: Any = "therapist") -> None:
    """Somebody takes emergency access for an hour."""
    duty = Principal(person=person, role=role, session="0123456789abcdef", authenticated_at=api.clinic.clock.now())
    new = NewEmergencyAccess(client_ref=ref, code="ETREAT", reason="She called.")
    await api.services.emergencies.start(duty, lambda: new)


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", HIDDEN, ids=" ".join)
def test_cover_holds_during_its_dates_and_not_before_or_after(api, key):
    clock = VirtualClock(START)

    async def test(api: Api) -> None:
        await with_foreigner(api)
        names = await prepared(api, TABLE[key])
        await cover(api)
        statuses = []
        for _ in range(3):
            answer = await call(api, key, TABLE[key], names, **api.headers("foreign"))
            statuses.append(answer.status_code)
            clock.advance(DAY)
        during = 404 if TABLE[key].needs == "restriction" else as_therapist(key)  # a restriction that does not name the colleague
        assert statuses == [404, during, 404], answer.text

    api(test, clock)


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", HIDDEN, ids=" ".join)
def test_emergency_access_opens_what_can_be_read_for_an_hour(api, key):
    clock = VirtualClock(START)

    async def test(api: Api) -> None:
        await with_foreigner(api)
        names = await prepared(api, TABLE[key])
        statuses = [(await call(api, key, TABLE[key], names, **api.headers("foreign"))).status_code]
        await emergency(api, "EHR-1")
        for _ in range(2):
            answer = await call(api, key, TABLE[key], names, **api.headers("foreign"))
            statuses.append(answer.status_code)
            clock.advance(HOUR)
        assert statuses == [404, in_an_emergency(key), 404], answer.text

    api(test, clock)


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", OF_COURSES, ids=" ".join)
def test_a_supervisor_with_emergency_access_reads_and_changes_nothing_but_by_a_transition(api, key):
    async def test(api: Api) -> None:
        names = await prepared(api, TABLE[key])
        api.clinic.access_rules = AccessRules(supervision="supervisees")
        await emergency(api, "EHR-1", "supervisor-1", "supervisor")
        answer = await call(api, key, TABLE[key], names, **api.headers("supervisor"))
        assert answer.status_code == (status(TABLE[key], "supervisor") if is_allowed_in_an_emergency(key) else 403), answer.text

    api(test)


def test_lists_hold_a_course_during_cover_or_emergency_access_and_not_before_or_after(api):
    clock = VirtualClock(START)

    async def test(api: Api) -> None:
        await with_foreigner(api)
        await prepared(api, TABLE["GET", "/v1/proposals/{proposal_id}"])
        await waiting(api, "EHR-1")
        await cover(api)

        async def holding() -> set[str]:
            """The lists that hold anything."""
            found = {path: (await api.get(path, "foreign")).json() for path in LISTS}
            return {path for path, body in found.items() if body.get("items") or body.get("entry")}

        assert await holding() == set()
        clock.advance(DAY)
        assert await holding() == set(LISTS)
        clock.advance(DAY)
        assert await holding() == set()
        await emergency(api, "EHR-1")
        assert await holding() == set(LISTS)
        clock.advance(HOUR)
        assert await holding() == set()

    api(test, clock)
