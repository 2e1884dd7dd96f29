"""The verifier in the background reads everything again within a week, a slice at a time, and says how far it is."""

import asyncio
import datetime as dt

import pytest
from cryptography.fernet import Fernet
from prometheus_client.parser import text_string_to_metric_families
from support import checkpoints, service_walk, tampering

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_verification, verifier
from ipt_workflow.service.audit.verifier import Verifier
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import verification_rounds as stored
from ipt_workflow.store.databases.factory import open_database

NOTE = Command("note", {"text": "She called."})
MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def scene(database_url, monkeypatch):
    """A clinic with three courses, whose slices are as small as they can be."""
    monkeypatch.setattr(verifier, "LEAVES_MIN", 3)
    monkeypatch.setattr(verifier, "COURSES_MIN", 1)

    def run(test):
        async def inside():
            settings = configuration.load({"IPT_DATABASE_URL": database_url})
            async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
                for number in range(3):
                    course = await service_walk.open_course(clinic, f"EHR-{number}")
                    await service_walk.fire(clinic, course, NOTE)
                    await CourseReads(clinic).course(service_walk.THERAPIST, course)
                await checkpoints.sign(clinic)
                await test(clinic)

        asyncio.run(inside())

    return run


async def read_on(clinic, times=1, reader=None) -> stored.RoundView:
    for _ in range(times):
        clinic.clock.advance(MINUTE)
        await (reader or Verifier(clinic)).read_on()
    return clinic.installation.rounds["default"]


async def whole_round(clinic) -> stored.RoundView:
    shown = await read_on(clinic)
    while (await clinic.read(stored.newest))[0].ended_at is None:
        before, shown = shown, await read_on(clinic)
        assert shown.share >= before.share
    return shown


async def metrics(clinic) -> dict[str, float]:
    text = (await Clinics(clinic).metrics([clinic])).decode()
    return {each.name: each.samples[0].value for each in text_string_to_metric_families(text) if each.name.startswith("ipt_verif")}


def test_a_round_reads_the_log_and_every_course_and_the_next_begins_after_a_pause(scene):
    async def test(clinic):
        shown = await whole_round(clinic)
        assert (shown.fault, shown.read_since) == (None, shown.started_at)
        (last,) = await clinic.read(stored.newest, 9)
        assert (last.leaves, last.courses, last.nth) == (last.size, 3, 1)
        assert last.ended_at - last.started_at >= 4 * MINUTE  # it took several slices
        await read_on(clinic, 3)
        assert len(await clinic.read(stored.newest, 9)) == 1
        clinic.clock.advance(verifier.PAUSE)
        again = await read_on(clinic)
        assert (again.share < 1, again.read_since) == (True, shown.read_since)
        assert [each.nth for each in await clinic.read(stored.newest, 9)] == [2, 1]

    scene(test)


def test_requests_go_on_between_the_parts_of_a_slice(scene, monkeypatch):
    """A part is one read: the event loop is free again after it."""
    parts = {"leaves": [], "courses": []}
    checks = {"leaves": verifier.log_checks.check_slice, "courses": verifier.check_courses}

    def slice_checked(connection, organisation, start, end, *, whole):
        parts["leaves"].append((start, end))
        return checks["leaves"](connection, organisation, start, end, whole=whole)

    def courses_checked(connection, organisation, ids, due):
        parts["courses"].append(len(ids))
        return checks["courses"](connection, organisation, ids, due)

    monkeypatch.setattr(verifier.log_checks, "check_slice", slice_checked)
    monkeypatch.setattr(verifier, "check_courses", courses_checked)
    for name, least in {"LEAVES_MIN": 5, "LEAVES_AT_ONCE": 2, "COURSES_MIN": 3, "COURSES_AT_ONCE": 2}.items():
        monkeypatch.setattr(verifier, name, least)

    async def test(clinic):
        shown = await whole_round(clinic)
        (last,) = await clinic.read(stored.newest, 9)
        assert (shown.fault, last.courses) == (None, 3)
        assert [start for start, _ in parts["leaves"]] == [0, *(end for _, end in parts["leaves"][:-1])]
        assert parts["leaves"][-1][1] == last.size
        assert {end - start for start, end in parts["leaves"]} <= {1, 2}
        assert parts["courses"] == [2, 1]

    scene(test)


def test_metrics_say_how_far_it_is_and_how_old_the_last_whole_round_is(scene):
    async def test(clinic):
        assert await metrics(clinic) == {
            "ipt_verification_share": 0, "ipt_verification_age_seconds": 0, "ipt_verification_faults": 0,
        }  # fmt: skip
        await whole_round(clinic)
        clinic.clock.advance(dt.timedelta(days=9))
        found = await metrics(clinic)
        assert (found["ipt_verification_share"], found["ipt_verification_faults"]) == (1, 0)
        assert found["ipt_verification_age_seconds"] > 9 * 86_400

    scene(test)


FAULTS = {
    "an entry's bytes": "UPDATE entry SET person = 'other' WHERE seq = 2",
    "a record": "DELETE FROM audit_subject",
    "a course's row": "UPDATE course SET version = 1",
    "a leaf": "DELETE FROM log_leaf WHERE kind = 'entry' AND seq = 2",
    "an end": "UPDATE log_head SET size = size - 1",
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_was_changed_is_found_within_a_round_and_the_round_goes_on(scene, what):
    async def test(clinic):
        if what == "an end":
            await read_on(clinic)
        await tampering.run(clinic, FAULTS[what])
        shown = await whole_round(clinic)
        assert shown.fault
        (last,) = await clinic.read(stored.newest)
        assert (last.leaves, last.ended_at is not None) == (last.size, True)
        assert (await metrics(clinic))["ipt_verification_faults"] == 1
        clinic.clock.advance(verifier.PAUSE)
        assert (await read_on(clinic)).fault  # also while the next round has found nothing yet

    scene(test)


def test_two_processes_share_a_round(scene):
    async def test(clinic):
        one, other = Verifier(clinic), Verifier(clinic)
        await read_on(clinic, 2, one)
        (before,) = await clinic.read(stored.newest)
        await other.read_on()  # in the same minute
        assert await clinic.read(stored.newest) == [before]
        await read_on(clinic, 1, other)
        (after,) = await clinic.read(stored.newest)
        assert after.leaves > before.leaves
        assert not await clinic.write(stored.advance, before, before)  # who has read what another had read already

    scene(test)


def test_texts_under_keys_of_clients_are_read_and_without_the_keys_that_is_a_fault(database_url):
    async def inside():
        settings = configuration.load({"IPT_DATABASE_URL": database_url, "IPT_SECRET_KEYS": Fernet.generate_key().decode()})
        async with service_walk.opened(settings, VirtualClock(service_walk.START)) as clinic:
            await service_walk.fire(clinic, await service_walk.open_course(clinic), NOTE)
            await fan_out.bring_up_to_date(clinic)
            assert (await log_verification.verify_log(clinic, whole=True)).fault is None
            for keys, holds in ((clinic.installation.keys, True), (KeyRing(()), False)):
                database = open_database(database_url, keys=keys)
                clinic.clock.advance(dt.timedelta(hours=2))
                reader = Verifier(clinic, database)
                await read_on(clinic, 1, reader)
                while (await clinic.read(stored.newest))[0].ended_at is None:
                    await read_on(clinic, 1, reader)
                await database.close()
                (last,) = await clinic.read(stored.newest)
                assert (last.fault is None) == holds, last

    asyncio.run(inside())


@pytest.mark.parametrize(("size", "total"), [(10**7, 500_000), (10**8, 10**6)])
def test_however_much_there_is_a_round_is_over_within_a_week(size, total):
    leaves, courses = (max(1, -(-count // verifier.SLICES)) for count in (size, total))
    assert -(-size // leaves) + -(-total // courses) + 1 < 7 * 24 * 60


def test_a_round_that_has_ended_cannot_be_changed(scene):
    async def test(clinic):
        await whole_round(clinic)
        (last,) = await clinic.read(stored.newest)
        with pytest.raises(Exception, match="has ended"):
            await clinic.database.write(lambda c: c.exec_driver_sql("UPDATE verification_round SET leaves = 0"))
        assert await clinic.read(stored.newest) == [last]

    scene(test)
