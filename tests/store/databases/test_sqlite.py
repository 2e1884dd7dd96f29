"""SQLite: one writer at a time, which waits for another process without blocking anybody else."""

import asyncio
import sqlite3
import time
from contextlib import closing, contextmanager

import pytest
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.databases import sqlite
from ipt_workflow.store.lookups import VERSIONS

NOTE = Command("note", {"text": "She called."})


@pytest.fixture
def settings(tmp_path):
    return databases.empty(tmp_path)


@contextmanager
def written_by_another(settings):
    """Holds the write lock as another process would."""
    with closing(sqlite3.connect(databases.path_of(settings), timeout=0, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.rollback()


def test_a_write_waits_for_another_process_while_this_one_goes_on(settings):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        with written_by_another(settings):
            writing = asyncio.create_task(service_walk.fire(clinic, course, NOTE))
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert await clinic.database.find(VERSIONS, clinic.organisation, [course]) == {course: 1}
            assert not writing.done()
        await writing
        assert await clinic.database.find(VERSIONS, clinic.organisation, [course]) == {course: 2}

    service_walk.with_clinic(settings, test)


def test_a_write_that_waits_too_long_is_busy_and_leaves_nothing_behind(settings, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)

    async def test(clinic):
        course = await service_walk.open_course(clinic)
        clinic.committer = Committer(clinic.database, queue_max=10, batch_max=10, patience=0.1)
        with written_by_another(settings), pytest.raises(Busy, match="Another process is writing"):
            await service_walk.fire(clinic, course, NOTE)
        assert await clinic.database.find(VERSIONS, clinic.organisation, [course]) == {course: 1}
        await service_walk.fire(clinic, course, NOTE)
        assert await clinic.database.find(VERSIONS, clinic.organisation, [course]) == {course: 2}

    service_walk.with_clinic(settings, test)


def test_a_write_that_nobody_waits_for_any_more_leaves_nothing_open(settings):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        for write in (lambda: clinic.database.put([], []), lambda: clinic.database.write(lambda _: time.sleep(0.05))):
            with written_by_another(settings):
                writing = asyncio.create_task(write())
                await asyncio.sleep(0.05)
                writing.cancel()
                await asyncio.sleep(0.05)
            with pytest.raises(asyncio.CancelledError):
                await writing
            await asyncio.sleep(0.3)  # long enough for a thread that still waits to get the lock
            with written_by_another(settings):
                pass
        await service_walk.fire(clinic, course, NOTE)

    service_walk.with_clinic(settings, test)


def test_those_who_write_in_one_process_take_turns(settings, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.0)  # so two writers that met in SQLite would fail

    async def test(clinic):
        write, put = clinic.database.write, clinic.database.put
        await asyncio.gather(write(lambda _: time.sleep(0.05)), put([], []), write(lambda _: None), put([], []))

    service_walk.with_clinic(settings, test)
