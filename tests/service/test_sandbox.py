"""What makes a database a sandbox, and what keeps it one, on both databases."""

import asyncio

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.runtime.clock import SandboxClock, VirtualClock
from ipt_workflow.service import sandbox
from ipt_workflow.service.clinic import new_organisation, open_clinic
from ipt_workflow.store import organisations
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import revision


@pytest.fixture
def empty(server, tmp_path):
    return databases.settings_of(databases.create(server) if server else f"sqlite:///{tmp_path / 'new' / 'ipt.db'}")


def execute(settings, statement: str) -> None:
    async def inside() -> None:
        database = open_database(settings.database_url)
        try:
            await database.write(lambda connection: connection.exec_driver_sql(statement))
        finally:
            await database.close()

    asyncio.run(inside())


def clock_of(settings):
    """The clock of a clinic on this database."""

    async def inside():
        clinic = await open_clinic(settings)
        try:
            return clinic.clock
        finally:
            await clinic.installation.close()

    return asyncio.run(inside())


def test_an_empty_database_becomes_a_sandbox_with_this_versions_tables_and_stays_one(empty):
    for _ in range(2):
        asyncio.run(sandbox.make(empty))
    assert isinstance(clock_of(empty), SandboxClock)
    assert databases.select(empty, "SELECT version_num FROM alembic_version") == [(revision.HEAD,)]
    assert databases.select(empty, "SELECT nth, ahead FROM sandbox_move") == [(1, 0)]


def test_a_migrated_database_without_a_course_does_not_become_a_sandbox(server, tmp_path):
    real = service_walk.database(tmp_path, server=server)
    with pytest.raises(DatabaseNotReady, match="IPT_SANDBOX_DATABASE_URL"):
        asyncio.run(sandbox.make(real))
    assert not isinstance(clock_of(real), SandboxClock)


def test_a_database_of_somebody_else_does_not_become_a_sandbox(empty, tmp_path):
    (tmp_path / "new").mkdir(exist_ok=True)
    execute(empty, "CREATE TABLE patients (id integer)")
    with pytest.raises(DatabaseNotReady, match="was not made as a sandbox"):
        asyncio.run(sandbox.make(empty))
    with pytest.raises(DatabaseNotReady, match="db upgrade"):
        clock_of(empty)


@pytest.mark.parametrize(
    "statement", ("DELETE FROM sandbox_move", "UPDATE sandbox_move SET ahead = 0", "UPDATE sandbox_move SET nth = 2")
)
def test_neither_the_mark_nor_a_move_can_be_taken_back(empty, statement):
    asyncio.run(sandbox.make(empty))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        execute(empty, statement)


def test_the_mark_holds_for_every_organisation_of_the_database(empty):
    asyncio.run(sandbox.make(empty))

    async def create(clinic):
        await clinic.database.write(organisations.insert, new_organisation("another", clinic.clock.now()))

    service_walk.with_clinic(empty, create)
    assert isinstance(clock_of(empty.model_copy(update={"organisation": "another"})), SandboxClock)


def test_a_caller_that_brings_its_own_clock_has_it_in_a_sandbox_too(empty):
    asyncio.run(sandbox.make(empty))
    assert isinstance(service_walk.with_clinic(empty, _clock), VirtualClock)


async def _clock(clinic):
    return clinic.clock


def test_the_log_of_a_sandbox_is_not_signed_with_the_keys_of_the_real_one(tmp_path):
    real = databases.settings_of(f"sqlite:///{tmp_path / 'real.db'}").model_copy(
        update={"log_key_file": "log.keys", "log_policy_file": "policy"}
    )
    rehearsed = sandbox.settings_of(real)
    assert (rehearsed.log_key_file, rehearsed.log_policy_file) == ("", "")
