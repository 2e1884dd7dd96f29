"""What a failure of the database means: 503 with Retry-After for everything in the table, and never 500."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest
import sqlalchemy as sa
from support import databases
from support.http_client import running

from ipt_workflow.errors import Busy, DatabaseNotReady, Locked, ReadOnly, Unreachable
from ipt_workflow.store.databases import meanings
from ipt_workflow.store.databases.factory import open_database

OF_A_CLASS = {"08": "08006", "28": "28P01", "53": "53100", "58": "58030", "XX": "XX001"}
CODES = [OF_A_CLASS.get(code, code) for code in meanings.POSTGRESQL]
NAMED = {
    "25006": ReadOnly,
    "42501": ReadOnly,
    "53100": DatabaseNotReady,
    "53300": Unreachable,
    "57P03": Unreachable,
    "57014": Busy,
    "57P05": Unreachable,
    "25P03": Unreachable,
    "55P03": Locked,
}


def raising(code: str) -> str:
    return f"DO $$ BEGIN RAISE EXCEPTION 'as the server says' USING ERRCODE = '{code}'; END $$"


@asynccontextmanager
async def opened(url: str):
    database = open_database(url, statement_seconds=5, connections=2)
    try:
        yield database
    finally:
        await database.close()


async def raised(call) -> type[Exception]:
    try:
        await call
    except Exception as error:  # noqa: BLE001 - which it is, is asked
        return type(error)
    raise AssertionError("nothing was raised")


def test_every_code_of_the_table_means_the_same_on_both_ways_to_the_server(postgres):
    """Raised by the server itself: in a statement of the bare driver, and in a transaction of SQLAlchemy."""

    async def test():
        async with opened(postgres) as database:
            for code in CODES:
                wanted = meanings.of_sqlstate(code).error
                assert NAMED.get(code, wanted) is wanted
                assert await raised(database.fetch({"postgresql": raising(code)})) is wanted, code
                assert await raised(database.write(lambda c, code=code: c.exec_driver_sql(raising(code)))) is wanted, code
            assert [row[0] for row in await database.fetch({"postgresql": "SELECT 1"})] == [1]

    asyncio.run(test())


def test_an_error_of_a_statement_stays_the_drivers_own(postgres):
    async def test():
        async with opened(postgres) as database:
            found = await raised(database.write(lambda c: c.exec_driver_sql("SELECT 1 / 0")))
            assert issubclass(found, sa.exc.DBAPIError)

    asyncio.run(test())


@pytest.fixture
def on_postgres(postgres, tmp_path):
    """Settings of a database of the test's own."""
    return databases.empty(tmp_path, postgres)


def hurry(committer) -> None:
    """Makes a committer give up soon."""
    for lane in (committer, committer._records):
        lane._patience = 0.05


async def failing_with(clinic, table: str, code: str) -> None:
    """From now on, the server refuses every insert into a table with this code."""

    def change(connection):
        body = f"BEGIN RAISE EXCEPTION 'as the server says' USING ERRCODE = '{code}'; END"
        connection.exec_driver_sql(f"CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        connection.exec_driver_sql(f"CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON {table} EXECUTE FUNCTION fail()")

    await clinic.database.write(change)


@pytest.mark.parametrize("code", sorted(NAMED))
def test_reads_and_writes_that_the_server_refuses_are_answered_with_503_and_when_to_retry(on_postgres, code):
    async def test():
        async with running(on_postgres) as api:
            course = (await api.open())["id"]
            for table in ("audit_event", "entry"):
                await failing_with(api.clinic, table, code)
            hurry(api.clinic.committer)
            read = await api.get(f"/v1/courses/{course}")
            write = await api.post(f"/v1/courses/{course}/transitions", {"trigger": "note", "data": {"text": "x"}}, If_Match='"1"')
            opening = await api.post("/v1/courses", {"client_ref": "EHR-2", "protocol": "ipt", "data": {"source": "x"}})
            for answer in (read, write, opening):
                assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy"), answer.text
                assert int(answer.headers["retry-after"]) >= 1
                assert "as the server says" not in answer.text

    asyncio.run(test())


def test_a_server_that_is_set_to_read_only_is_not_ready_until_it_writes_again(on_postgres, postgres):
    name = sa.make_url(on_postgres.database_url).database

    async def read_only(clinic, value: str) -> None:
        async with opened(postgres) as maintenance:
            await maintenance.fetch({"postgresql": f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"})
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            await maintenance.fetch({"postgresql": ended}, name)

    async def test():
        async with running(on_postgres) as api:
            course = (await api.open())["id"]
            await read_only(api.clinic, "on")
            for path in ("/health/ready", f"/v1/courses/{course}"):
                answer = await api.get(path)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
            assert "read-only" in (await api.get("/health/ready")).json()["detail"]
            assert (await api.client.get("/health/live")).status_code == 200
            await read_only(api.clinic, "off")
            api.clinic.installation._probe._began = float("-inf")  # a second later
            assert (await api.get("/health/ready")).status_code == 200
            assert (await api.get(f"/v1/courses/{course}")).status_code == 200

    asyncio.run(test())


def test_a_connection_that_is_lost_in_the_middle_of_something_means_the_same_on_both_ways(postgres, monkeypatch):
    """The server ends it while the driver sets it up or uses it: the driver then reports a fault of its own."""

    async def lost(*_args, **_named):
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")

    def other(connection):
        return connection.exec_driver_sql("SELECT 2").scalar()  # which is not prepared yet

    async def test():
        async with opened(postgres) as database:
            for spot in ("connect", "Connection.prepare", "Connection.fetch"):
                with monkeypatch.context() as patch:
                    patch.setattr(f"asyncpg.{spot}", lost)
                    if spot != "Connection.fetch":
                        assert await raised(database.read(other)) is Unreachable
                    if spot != "Connection.prepare":
                        assert await raised(database.fetch({"postgresql": "SELECT 1"})) is Unreachable
                assert await database.read(lambda connection: connection.exec_driver_sql("SELECT 1").scalar()) == 1
                assert len(await database.fetch({"postgresql": "SELECT 1"})) == 1

    asyncio.run(test())
