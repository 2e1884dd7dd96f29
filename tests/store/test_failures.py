"""Failed authentications are counted by address and minute, and their number is bounded."""

import asyncio
import datetime as dt

import pytest
from support.http_client import START

from ipt_workflow.store import failures
from ipt_workflow.store.databases.factory import open_database

MINUTE = dt.timedelta(minutes=1)
LONG_AGO = START - dt.timedelta(days=365)


def kept(
    url: str, *batches: dict[tuple[dt.datetime, str], int], since: dt.datetime = LONG_AGO
) -> list[tuple[dt.datetime, str, int]]:
    """What is kept after these batches, the newest first."""

    async def run():
        database = open_database(url)
        try:
            for counts in batches:
                await database.write(failures.add, counts, since)
            found = await database.read(failures.newest, 10)
            return [(each.minute, each.address, each.count) for each in found]
        finally:
            await database.close()

    return asyncio.run(run())


def test_counts_of_several_processes_add_up(database_url):
    first, second = {(START, "10.0.0.1"): 2, (START, "10.0.0.2"): 1}, {(START, "10.0.0.1"): 3, (START + MINUTE, "10.0.0.1"): 1}
    assert kept(database_url, first, second) == [
        (START + MINUTE, "10.0.0.1", 1),
        (START, "10.0.0.1", 5),
        (START, "10.0.0.2", 1),
    ]


def test_counts_from_before_the_days_that_are_kept_are_removed(database_url):
    old, new = START - MINUTE, START
    assert kept(database_url, {(old, "10.0.0.1"): 1}, {(new, "10.0.0.1"): 1}, since=START) == [(new, "10.0.0.1", 1)]


def test_the_oldest_make_room_when_there_are_too_many(database_url, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(failures, "ROWS_MAX", 3)
    many = {(START + MINUTE * number, "10.0.0.1"): 1 for number in range(6)}
    assert [minute for minute, _, _ in kept(database_url, many)] == [START + MINUTE * number for number in (5, 4, 3)]
