"""Visits of groups that an EHR reports: each member gets a session of their own, before or after the facilitator's record."""

import datetime as dt
import json

import pytest
from support import databases, group_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices.fhir_hooks import Hook, RestHooks
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.sources import NewSource, VerifiedSender
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store import sources as stored_sources

ADMIN = Principal(person="operator", role="admin", via="cli")
REFS = ("EHR-1", "EHR-2")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, server):
    made = group_walk.settings(tmp_path_factory.mktemp("groups"), server)

    async def fill(walk):
        return [await walk.prepared(ref) for ref in REFS]

    return made, group_walk.run(made, fill)


@pytest.fixture
def met(prepared, tmp_path):
    """Runs an async test on a copy: `met(test)` with `test(walk, send, group, a, b)`, a week after the members joined."""
    made, ids = prepared
    settings = made.model_copy(update={"database_url": databases.copy(made, tmp_path).database_url})

    def run(test):
        async def inside(walk):
            walk.clock.advance(dt.timedelta(days=1))
            group = await walk.group(*ids)
            walk.clock.advance(group_walk.WEEK)
            notices = Notices(walk.clinic)
            await notices.sources.add(ADMIN, lambda: NewSource(id="north", kind="bearer", all_visits=True))
            source = await walk.clinic.read(stored_sources.find, "north")

            async def send(resource):
                hook = Hook(method="PUT", name=None, headers={}, body=json.dumps(resource).encode())
                return await RestHooks(notices).receive(VerifiedSender(source, "bearer"), hook)

            return await test(walk, send, group, *ids)

        return group_walk.run(settings, inside)

    return run


def encounter(at: dt.datetime, reference: str = "Group/G-1") -> dict:
    period = {"start": at.isoformat(), "end": (at + dt.timedelta(minutes=90)).isoformat()}
    return {
        "resourceType": "Encounter",
        "id": "V1",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": reference},
        "period": period,
    }


async def sessions(walk, *courses: str) -> list[tuple]:
    folds = [await walk.fold(course) for course in courses]
    return [[(each.attendance, bool(each.group_session), each.refs) for each in fold.sessions] for fold in folds]


def test_a_visit_of_our_group_is_a_session_of_each_member_and_the_groups_record_links_them(met):
    async def test(walk, send, group, a, b):
        at = walk.clock.now()
        walk.clock.advance(dt.timedelta(hours=2))
        receipt = await send(encounter(at))
        assert [each.status for each in receipt.things] == ["applied", "applied"]
        assert await sessions(walk, a, b) == [[("5", False, ("Encounter/V1",))]] * 2
        again = await send(encounter(at))
        assert {each.status for each in again.things} == {"applied"}
        recorded = await walk.record(group, {a: "5", b: "5"}, occurred_at=at + dt.timedelta(minutes=5))
        assert [each.seq for each in recorded.recorded.session.attendance.values()] != [None, None]
        assert await sessions(walk, a, b) == [[("5", True, ("Encounter/V1",))]] * 2

    met(test)


def test_a_visit_of_our_group_that_was_recorded_before_is_linked(met):
    async def test(walk, send, group, a, b):
        at = walk.clock.now()
        await walk.record(group, {a: "5", b: "5"})
        walk.clock.advance(dt.timedelta(hours=2))
        receipt = await send(encounter(at + dt.timedelta(minutes=10)))
        assert [each.status for each in receipt.things] == ["applied", "applied"]
        assert await sessions(walk, a, b) == [[("5", True, ("Encounter/V1",))]] * 2

    met(test)


def test_a_group_that_nobody_knows_waits(met):
    async def test(walk, send, group, a, b):
        receipt = await send(encounter(walk.clock.now(), "Group/unknown"))
        assert (receipt.status, await sessions(walk, a, b)) == ("waiting", [[], []])

    met(test)


def test_a_reference_that_is_no_name_is_not_looked_up(met, monkeypatch):
    async def test(walk, send, group, a, b):
        looked_up = []
        monkeypatch.setattr(stored_groups, "labelled", lambda *sent: looked_up.append(sent) or [])
        for wrong in ("Group/\x00", "Group/", "Group/a b", f"Group/{'x' * 65}"):
            await send(encounter(walk.clock.now(), wrong))
        assert looked_up == []

    met(test)
