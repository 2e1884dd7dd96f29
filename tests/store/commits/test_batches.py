"""A batch writes every column of a course that its unit changes."""

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.service.audit import verification
from ipt_workflow.store.commits import batches
from ipt_workflow.store.schema import tables


@pytest.fixture
def store(tmp_path, server):
    """Runs an async test with an open clinic on an empty database."""
    settings = databases.empty(tmp_path, server)
    return lambda test: service_walk.with_clinic(settings, test)


async def row(clinic, course):
    statement = sa.select(tables.course).where(tables.course.c.id == course)
    return (await clinic.database.read(lambda c: c.execute(statement).one()))._asdict()


def test_no_index_is_on_what_every_unit_writes():
    indexed = {column.name for index in tables.course.indexes for column in index.columns}
    assert not indexed & set(batches.EVERY_TIME)


def test_what_changes_seldom_is_written_when_it_changes(store):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        before = await row(clinic, course)
        await service_walk.walk(clinic, course, "record_consent", "start")
        moved = await row(clinic, course)
        await service_walk.fire(clinic, course, Command("note", {"text": "She called."}))
        noted = await row(clinic, course)
        assert before["state"] != moved["state"] == noted["state"]
        assert [each["version"] for each in (before, moved, noted)] == [1, 3, 4]
        assert {name for name in moved if moved[name] != noted[name]} <= set(batches.EVERY_TIME)
        assert (await verification.verify(clinic)).ok

    store(test)
