"""The service under a role that does not own its tables: everything works, and what was recorded cannot be changed."""

import asyncio
import datetime as dt
import re

import asyncpg
import pytest
from support import databases
from support.ehr_sender import Ehr
from support.fhir_bodies import START, encounter
from support.http_client import running
from support.receivers import other_side

from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.errors import ReadOnly
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import verification
from ipt_workflow.store.sandbox import ClockMove, record
from ipt_workflow.store.schema import grants, guards, tables


@pytest.fixture
def owned(postgres, tmp_path):
    return databases.empty(tmp_path, postgres).model_copy(update={"development": True})


async def a_busy_day(settings) -> None:
    """A course with a proposal, an EHR's message, a delivery, old rows to remove: what writes to the most tables."""
    clock = VirtualClock(START)
    async with running(settings, clock) as api, other_side(clock) as other:
        ehr = await Ehr.register(api, kind="bearer", all_visits=True)
        made = await api.post("/v1/subscriptions", {"url": other.url}, "admin")
        assert made.status_code == 201, made.text
        other.trusts(made.json()["secret"])
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session", "sign_session")
        body = {"trigger": "extend_phase", "data": {}, "reason": "One more session is needed."}
        proposal = await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"5"')
        assert proposal.status_code == 201, proposal.text
        cosigned = await api.post(f"/v1/proposals/{proposal.json()['id']}/cosign", {}, "supervisor")
        assert cosigned.status_code in {201, 409}, cosigned.text
        assert (await ehr.fhir(encounter())).status_code < 300
        rotated = await api.post(f"/v1/subscriptions/{made.json()['subscription']['id']}/rotate", {}, "admin")
        assert rotated.status_code == 201, rotated.text
        assert (await api.post("/v1/sources/north/rotate", {"kind": "bearer"}, "admin")).status_code < 300
        relay = Relay(api.clinic)
        await relay.drain()
        clock.advance(dt.timedelta(days=60))
        await relay._prune()
        await relay.close()
        assert other.sequences(course)
        assert (await api.get("/health/ready")).status_code == 200
        assert (await verification.verify(api.clinic)).ok


def test_the_role_that_db_grants_prints_for_serves_everything(owned):
    asyncio.run(a_busy_day(databases.as_role(owned, grants.of_service)))


def test_it_may_neither_change_what_was_recorded_nor_take_the_guards_away(owned):
    role = databases.as_role(owned, grants.of_service)

    async def attempt() -> None:
        connection = await asyncpg.connect(role.database_url)
        for table in (*guards.APPEND_ONLY, "entry_data"):
            for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"DROP TRIGGER guard_{table}_rows ON {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
        for table in guards.APPEND_ONLY:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"UPDATE {table} SET organisation = 'x'")
        for statement in ("ALTER TABLE entry DISABLE TRIGGER ALL", "SET session_replication_role = replica", "DROP TABLE course"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        await connection.close()

    asyncio.run(attempt())


def test_a_role_without_grants_is_refused_in_a_sentence(owned):
    role = databases.as_role(owned, grants.of_reader)

    async def attempt() -> None:
        database = databases.open_database(role.database_url)
        try:
            with pytest.raises(ReadOnly, match="db grants"):
                await database.write(lambda c: record(c, "default", ClockMove(dt.timedelta(), START)))
        finally:
            await database.close()

    asyncio.run(attempt())


def test_every_table_is_granted_and_no_append_only_one_for_changes():
    granted = list(grants.of_service("ipt"))
    statements = [each for each in granted if " ON FUNCTION " not in each]
    assert [each for each in granted if each not in statements] == ['GRANT EXECUTE ON FUNCTION public.token_by_digest(text[]) TO "ipt";']
    named = {match[1]: match[0] for each in statements if (match := re.search(r"public\.(\w+)", each))}
    assert set(named) == {*tables.METADATA.tables, "alembic_version"}
    assert all(statement.endswith('TO "ipt";') for statement in statements)
    by_table = {re.search(r"public\.(\w+)", each)[1]: each for each in statements if "public." in each}
    assert all("UPDATE" not in by_table[table] and "DELETE" not in by_table[table] for table in guards.APPEND_ONLY)
