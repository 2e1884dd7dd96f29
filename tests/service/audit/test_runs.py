"""Verifications and exports are kept: how far they are, and what became of them."""

import asyncio
import datetime as dt

import pytest
from support import databases, service_walk

from ipt_workflow.errors import Forbidden, LongRequestsFull, NotFound
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.exports import Exports
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.audit.runs import SILENT
from ipt_workflow.service.audit.verifications import Verifications
from ipt_workflow.store.audit import AuditFilters

AUDITOR, SUPERVISOR, THERAPIST = service_walk.AUDITOR, service_walk.SUPERVISOR, service_walk.THERAPIST


@pytest.fixture
def on_courses(database_url):
    """Runs `ask(clinic, courses)` on three courses."""

    def run(ask):
        async def work(clinic):
            courses = [await service_walk.open_course(clinic, f"EHR-{number}") for number in range(3)]
            return await ask(clinic, courses)

        return service_walk.with_clinic(databases.settings_of(database_url), work)

    return run


async def ended(clinic, run_id):
    while (found := await Verifications(clinic).one(AUDITOR, run_id)).status == "running":
        await asyncio.sleep(0.01)
    return found


def test_a_verification_goes_on_by_itself_and_its_result_is_kept(on_courses):
    async def ask(clinic, courses):
        begun = await Verifications(clinic).begin(AUDITOR)
        assert (begun.status, begun.total, begun.ok, begun.person) == ("running", 3, None, "auditor-1")
        found = await ended(clinic, begun.id)
        assert (found.status, found.ok, found.courses, found.entries, found.fault) == ("done", True, 3, 3, None)
        assert found == (await Verifications(clinic).newest(AUDITOR, 10))[0]

    on_courses(ask)


def test_every_way_of_verifying_keeps_its_result(on_courses):
    async def ask(clinic, courses):
        log = AuditLog(clinic)
        assert (await log.verify(SUPERVISOR, courses[1])).ok
        assert (await log.verify(AUDITOR, chains_only=True)).ok
        chains, one = await Verifications(clinic).newest(AUDITOR, 10)
        assert (one.course, one.person, one.total, one.chains_only) == (courses[1], "supervisor-1", 1, False)
        assert (chains.course, chains.total, chains.chains_only, chains.ok) == (None, 3, True, True)

    on_courses(ask)


def test_how_far_a_verification_is_can_be_seen_while_it_runs(on_courses, monkeypatch):
    async def ask(clinic, courses):
        seen, check = [], verification._check_whole

        async def slowly(clinic, part):
            seen.extend((await Verifications(clinic).newest(AUDITOR, 1))[:1])
            clinic.clock.advance(dt.timedelta(seconds=2))
            return await check(clinic, part)

        monkeypatch.setattr(verification, "_check_whole", slowly)
        monkeypatch.setattr(verification, "BATCH_COURSES", 1)
        monkeypatch.setattr(verification, "READ_AHEAD_BATCHES", 0)
        assert (await AuditLog(clinic).verify(AUDITOR)).ok
        assert [(each.status, each.courses, each.total) for each in seen] == [("running", done, 3) for done in range(3)]

    on_courses(ask)


def test_a_verification_whose_process_ended_has_stopped(on_courses, monkeypatch):
    async def ask(clinic, courses):
        waiting = asyncio.Event()

        async def never(clinic, part):
            waiting.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(verification, "_check_whole", never)
        begun = await Verifications(clinic).begin(AUDITOR)
        await waiting.wait()
        clinic.clock.advance(SILENT)
        assert (await Verifications(clinic).one(AUDITOR, begun.id)).status == "stopped"
        for each in clinic.installation._tasks:
            each.cancel()
        await asyncio.gather(*clinic.installation._tasks, return_exceptions=True)
        found = await Verifications(clinic).one(AUDITOR, begun.id)
        assert (found.status, found.ok, found.ended_at) == ("stopped", None, clinic.clock.now())

    on_courses(ask)


def test_no_more_verifications_run_than_may(on_courses):
    async def ask(clinic, courses):
        clinic.installation.long_requests.most = 1
        begun = await Verifications(clinic).begin(AUDITOR)
        with pytest.raises(LongRequestsFull):
            await Verifications(clinic).begin(AUDITOR)
        await ended(clinic, begun.id)
        while clinic.installation.long_requests.running:
            await asyncio.sleep(0)
        assert (await ended(clinic, (await Verifications(clinic).begin(AUDITOR)).id)).ok

    on_courses(ask)


def test_who_may_not_verify_neither_begins_nor_reads_a_verification(on_courses):
    async def ask(clinic, courses):
        runs = Verifications(clinic)
        for refused in (runs.begin(THERAPIST), runs.newest(THERAPIST, 1), runs.one(THERAPIST, "x")):
            with pytest.raises(Forbidden):
                await refused
        for missing in (runs.begin(AUDITOR, "unknown"), runs.one(AUDITOR, "unknown")):
            with pytest.raises(NotFound):
                await missing
        assert await runs.newest(AUDITOR, 10) == []

    on_courses(ask)


def test_an_export_notes_how_far_it_is_and_that_it_is_whole(on_courses):
    async def ask(clinic, courses):
        clinic.settings = clinic.settings.model_copy(update={"export_chunk": 2})
        clinic.clock.advance(dt.timedelta(minutes=1))
        chunks = await AuditLog(clinic).export(AUDITOR, AuditFilters(kind="transition"), export_format="csv")
        assert len(await anext(chunks)) == 2
        clinic.clock.advance(dt.timedelta(seconds=2))
        assert len(await anext(chunks)) == 1
        (running,) = await Exports(clinic).newest(AUDITOR, 10)
        assert (running.status, running.records, running.format) == ("running", 2, "csv")
        assert running.filters == AuditFilters(kind="transition")
        assert [each async for each in chunks] == []
        (whole,) = await Exports(clinic).newest(AUDITOR, 10)
        assert (whole.status, whole.records, whole.reached_at) == ("done", 3, running.reached_at)

    on_courses(ask)


def test_an_export_that_breaks_off_has_stopped(on_courses):
    async def ask(clinic, courses):
        clinic.clock.advance(dt.timedelta(minutes=1))
        chunks = await AuditLog(clinic).export(AUDITOR, AuditFilters())
        await anext(chunks)
        await chunks.aclose()
        (stopped,) = await Exports(clinic).newest(AUDITOR, 10)
        assert (stopped.status, stopped.ended_at) == ("stopped", clinic.clock.now())
        with pytest.raises(Forbidden):
            await Exports(clinic).newest(SUPERVISOR, 10)

    on_courses(ask)
