"""Connections of the bare driver: as few as possible, never more than the limit, and none reused in the middle of a statement."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import pytest

from ipt_workflow.store.databases import connections
from ipt_workflow.store.databases.bindings import Bindings
from ipt_workflow.store.databases.connections import Connections

MOST = 3
WHO = "SELECT pg_backend_pid() AS pid"
SLEEP = "SELECT pg_backend_pid() AS pid FROM pg_sleep(0.1)"


@pytest.fixture
def some(postgres):
    """Runs an async test with a pool of connections, and the list of the connections that it opened."""

    @asynccontextmanager
    async def opened():
        made = []

        async def connect():
            made.append(await asyncpg.connect(postgres))
            return made[-1]

        ours = Connections(connect, MOST, Bindings())
        try:
            yield ours, made
        finally:
            await ours.close()

    def run(test):
        async def inside():
            async with opened() as (ours, made):
                await test(ours, made)
            assert all(each.is_closed() for each in made)

        asyncio.run(inside())

    return run


async def pid(ours, sql: str = WHO) -> int:
    return (await ours.fetch((), sql))[0]["pid"]


def test_one_after_the_other_share_one_connection(some):
    async def test(ours, made):
        assert len({await pid(ours) for _ in range(5)}) == len(made) == 1

    some(test)


def test_at_once_there_are_at_most_so_many_and_the_others_wait(some):
    async def test(ours, made):
        assert len(set(await asyncio.gather(*(pid(ours, SLEEP) for _ in range(3 * MOST))))) == len(made) == MOST

    some(test)


def test_a_statement_that_the_server_refuses_costs_no_connection(some):
    async def test(ours, made):
        first = await pid(ours)
        with pytest.raises(asyncpg.DivisionByZeroError):
            await ours.fetch((), "SELECT 1 / 0")
        assert await pid(ours) == first
        assert len(made) == 1

    some(test)


def test_a_connection_whose_caller_has_gone_away_is_not_used_again(some):
    async def test(ours, made):
        for number in range(2 * MOST):
            waiting = asyncio.create_task(pid(ours, SLEEP))
            while len(made) <= number:  # until it is connected
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert made[-1].is_closed()
        await pid(ours)
        assert len(made) == 2 * MOST + 1

    some(test)


def test_one_that_the_server_has_ended_is_replaced(some):
    async def test(ours, made):
        ended = await pid(ours)
        other = asyncio.create_task(ours.fetch((), "SELECT pg_sleep(0.1)"))
        await asyncio.sleep(0.02)
        await ours.fetch((), "SELECT pg_terminate_backend($1)", ended)
        with pytest.raises((asyncpg.AdminShutdownError, asyncpg.ConnectionDoesNotExistError)):
            await other
        assert await pid(ours) != ended
        assert [each.is_closed() for each in made] == [True, False]

    some(test)


def test_one_that_was_idle_for_long_is_replaced(some, monkeypatch):
    async def test(ours, made):
        await pid(ours)
        monkeypatch.setattr(connections, "IDLE_SECONDS", -1.0)
        await pid(ours)
        assert [each.is_closed() for each in made] == [True, False]

    some(test)


def test_those_that_are_idle_can_be_dropped(some):
    async def test(ours, made):
        await asyncio.gather(*(pid(ours, SLEEP) for _ in range(MOST)))
        ours.drop()
        assert [each.is_closed() for each in made] == MOST * [True]
        await pid(ours)
        assert len(made) == MOST + 1

    some(test)


def test_closing_waits_for_what_is_under_way(some):
    async def test(ours, _made):
        waiting = asyncio.create_task(pid(ours, SLEEP))
        await asyncio.sleep(0.02)
        await ours.close()
        assert waiting.done()
        assert await waiting

    some(test)


BOUND = "SELECT current_setting('ipt.organisations') AS bound, pg_backend_pid() AS pid"


def test_a_statement_runs_for_the_organisations_that_it_names_and_no_others(some):
    async def test(ours, made):
        for organisations in (("a",), ("b", "a"), ("a", "b"), (), ("a",)):
            (row,) = await ours.fetch(organisations, BOUND)
            assert row["bound"] == ",".join(sorted(organisations))
        assert len(made) == 1

    some(test)


def test_a_connection_is_told_only_when_its_organisations_change(some):
    async def test(ours, made):
        await ours.fetch(("a",), BOUND)
        sent = []
        made[0].add_query_logger(lambda record: sent.append(record.query))
        for organisations in (["a"], {"a"}, ("a", "b"), {"b", "a"}, ("b",)):
            await ours.fetch(organisations, WHO)
        await asyncio.sleep(0)  # until the last is logged
        assert [query == WHO for query in sent] == [True, True, False, True, True, False, True]

    some(test)


def test_a_statement_to_which_it_makes_no_difference_costs_no_telling(some):
    async def test(ours, made):
        await ours.fetch(("a",), BOUND)
        sent = []
        made[0].add_query_logger(lambda record: sent.append(record.query))
        for organisations in (None, ("a",), None, ("a",)):
            await ours.fetch(organisations, WHO)
        await asyncio.sleep(0)
        assert sent == [WHO] * 4

    some(test)


def test_a_connection_that_was_told_the_same_is_preferred(some):
    async def test(ours, made):
        pids = {}
        for organisation in ("a", "b", "c"):
            waiting = [asyncio.create_task(pid(ours, SLEEP)) for _ in range(len(made))]
            await asyncio.sleep(0.02)
            pids[organisation] = (await ours.fetch((organisation,), BOUND))[0]["pid"]
            await asyncio.gather(*waiting)
        assert len(made) == len(set(pids.values())) == MOST
        for organisation in ("b", "a", "c", "b", "c", "a"):
            await ours.fetch((organisation,), BOUND)
        again = {organisation: (await ours.fetch((organisation,), BOUND))[0]["pid"] for organisation in pids}
        assert len(set(again.values())) == MOST

    some(test)


def test_nothing_is_sent_on_a_connection_that_was_not_told(some, monkeypatch):
    async def test(ours, made):
        await ours.fetch(("a",), BOUND)
        sent = []
        made[0].add_query_logger(lambda record: sent.append(record.query))

        async def silent(*_) -> None:
            return None

        monkeypatch.setattr(ours._bindings, "bind", silent)
        with pytest.raises(AssertionError):
            await ours.fetch(("a", "b"), BOUND)
        assert sent == []

    some(test)


@pytest.mark.parametrize("organisation", ("", "a,b"))
def test_an_id_that_would_read_as_several_is_not_told(some, organisation):
    async def test(ours, _made):
        with pytest.raises(ValueError, match="empty or holds a comma"):
            await ours.fetch((organisation,), BOUND)

    some(test)


@pytest.mark.parametrize("organisations", [("default",), ("north", "south"), ("o'clock",), ("'; SELECT 1; --",), ()])
def test_a_connection_is_bound_to_just_the_organisations_that_are_named(some, organisations):
    async def test(ours, _made):
        rows = await ours.fetch(organisations, "SELECT current_setting('ipt.organisations') AS bound")
        assert rows[0]["bound"] == ",".join(organisations)

    some(test)
