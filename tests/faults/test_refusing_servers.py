"""PostgreSQL answers, and refuses: it is read-only, full, has no connection to give, ends what is idle, cancels, or locks a row.

Every request that it refuses is answered with 503. The service goes on with the server when that is over.
"""

import asyncio
import json
from contextlib import asynccontextmanager

import asyncpg

from faults import after
from faults.histories import Load
from faults.rounds import PATIENCE, rounds

CONNECTIONS_MAX = 100  # of the server
LOCKED_SECONDS = 2.5


def no_errors(place) -> None:
    """No line of the service's log is an error."""
    lines = [json.loads(line) for line in (place.folder / "service.log").read_text().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in {"error", "critical"}] == []


def play(place, seeds, name, harm) -> None:
    asyncio.run(rounds(place, seeds, name, harm))
    after.verifies(place.url)
    no_errors(place)


@asynccontextmanager
async def set_to(place, change: str, back: str):
    """Changes the database, and makes all sessions begin anew, so that they have the change."""
    await place.server.run(f'ALTER DATABASE "{place.name}" {change}')
    await place.server.end_backends(place.name)
    try:
        yield
    finally:
        await place.server.run(f'ALTER DATABASE "{place.name}" {back}')
        await place.server.end_backends(place.name)


def play_set_to(place, seeds, name: str, change: str, back: str) -> None:
    """With the database changed for a while."""

    async def harm(chance):
        async with set_to(place, change, back):
            await asyncio.sleep(chance.uniform(0.3, 0.8))

    play(place, seeds, name, harm)


def test_the_database_may_be_read_only_for_a_while(on_postgres, seeds):
    setting = "default_transaction_read_only"
    play_set_to(on_postgres, seeds, "read-only", f"SET {setting} = on", f"RESET {setting}")


def test_the_server_may_end_what_is_idle(on_postgres, seeds):
    play_set_to(on_postgres, seeds, "idle", "SET idle_session_timeout = '5ms'", "RESET idle_session_timeout")


def test_the_database_may_take_no_connections_for_a_while(on_postgres, seeds):
    play_set_to(on_postgres, seeds, "closed", "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true")


def test_others_may_use_up_all_connections(on_postgres, seeds):
    place = on_postgres

    async def harm(_chance):
        held = [await asyncpg.connect(place.server.url("postgres")) for _ in range(CONNECTIONS_MAX // 2)]
        try:
            limit = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1"
            await held[0].fetch(limit, place.name)
            for _ in range(CONNECTIONS_MAX):
                try:
                    held.append(await asyncpg.connect(place.server.url("postgres"), timeout=5))
                except asyncpg.TooManyConnectionsError:
                    await held[0].fetch(limit, place.name)
                    await asyncio.sleep(0.02)
        finally:
            for each in held:
                each.terminate()

    play(place, seeds, "connections", harm)


def test_what_runs_may_be_cancelled_again_and_again(on_postgres, seeds):
    place = on_postgres

    async def harm(_chance):
        connection = await asyncpg.connect(place.server.url("postgres"))
        cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND state = 'active'"
        for _ in range(100):
            await connection.fetch(cancel, place.name)
            await asyncio.sleep(0.005)
        await connection.close()

    play(place, seeds, "cancelled", harm)


def test_the_disk_may_be_full_for_a_while(on_postgres, seeds):
    """The server says so by a trigger: to fill its disk would end the server itself."""
    place = on_postgres

    async def harm(chance):
        body = "BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END"
        await place.server.run(f"CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$", database=place.name)
        for table in ("entry", "audit_event"):
            made = f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()"
            await place.server.run(made, database=place.name)
        await asyncio.sleep(chance.uniform(0.3, 0.8))
        await place.server.run("DROP FUNCTION full_disk CASCADE", database=place.name)

    play(place, seeds, "full", harm)


def test_a_locked_row_makes_its_own_course_wait_and_nobody_else(on_postgres, seeds):
    """Clients of other courses see no 503 while the row is locked. Those of its course do, in time, and go on afterwards."""
    place = on_postgres

    async def round_of(service, seed):
        token = place.tokens["therapist"]
        async with Load([service.url], token, seed, name="locked") as own, Load([service.url], token, seed, name="free") as others:
            await own.open(1)
            await others.open()
            connection = await asyncpg.connect(place.url)
            transaction = connection.transaction()
            await transaction.start()
            await connection.fetch("SELECT 1 FROM course WHERE id = $1 FOR UPDATE", *own.versions)
            waiting = asyncio.create_task(own.run(clients=2, seconds=LOCKED_SECONDS))
            await others.run(clients=4, most=10_000, seconds=LOCKED_SECONDS)
            assert not own.acknowledged
            await transaction.rollback()
            await connection.close()
            await waiting
            assert {seen for each in others.sent for seen in each.seen if seen.startswith("5")} == set()
            assert len(others.acknowledged) > 20
            for load in (own, others):
                await after.holds(load, place)

    async def whole():
        async with place.service(**PATIENCE) as service:
            await service.start()
            for seed in seeds:
                await round_of(service, seed)

    asyncio.run(whole())
    after.verifies(place.url)
    no_errors(place)
