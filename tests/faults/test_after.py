"""The checks themselves: they pass if nothing is wrong, and each fault they look for makes them fail."""

import asyncio
import copy
import sqlite3
from contextlib import closing

import pytest

from faults import after
from faults.histories import Load, Sent


@pytest.fixture(scope="module")
def sound():
    """What two clients saw of one course, and its journal. Written by hand, so that one can see that nothing is wrong."""

    def entry(seq, **more):
        return {"id": f"id-{seq}", "seq": seq, "trigger": "note", "data": {}, "recorded_at": f"2026-01-05T09:00:0{seq}Z", **more}

    sent = [
        Sent(what="note", course="c", key="a", texts=("a.0",), expected=1, invoked=0, answered=2, outcome="ok", version=2,
             entries=(("id-2", 2),)),
        Sent(what="note", course="c", key="b", texts=("b.0",), expected=1, invoked=1, answered=3, outcome="stale", version=2),
        Sent(what="together", course="c", key="c", texts=("c.0", "c.1"), expected=2, invoked=4, answered=5, outcome="ok", version=4,
             entries=(("id-3", 3), ("id-4", 4))),
        Sent(what="refused", course="c", key="d", expected=4, invoked=6, answered=7, outcome="refused", version=4),
        Sent(what="read", course="c", invoked=8, answered=9, outcome="ok", version=4),
        Sent(what="read", course="c", invoked=8),
    ]  # fmt: skip
    entries = [
        entry(1, trigger="refer"),
        entry(2, data={"text": "a.0"}),
        entry(3, data={"text": "c.0"}),
        entry(4, data={"text": "c.1"}),
    ]
    return sent, entries


def test_what_is_sound_passes(sound):
    after.once(*sound)
    after.in_order(sound[0])


def lost(sent, entries):
    entries.pop()


def lost_from_the_middle(sent, entries):
    del entries[1]


def doubled(sent, entries):
    entries.append({**entries[-1], "id": "id-5", "seq": 5})


def there_twice_under_one_id(sent, entries):
    entries.append({**entries[-1], "seq": 5})


def refused_and_there(sent, entries):
    entries.append({**entries[-1], "id": "id-5", "seq": 5, "data": {"text": "b.0"}})


def of_nobody(sent, entries):
    entries.append({**entries[-1], "id": "id-5", "seq": 5, "data": {"text": "nobody's"}})


def under_another_id(sent, entries):
    entries[1]["id"] = "id-9"


def in_another_place(sent, entries):
    entries[1]["id"], entries[2]["id"] = entries[2]["id"], entries[1]["id"]


def half_of_a_unit(sent, entries):
    entries[3]["data"] = {"text": "a.0"}


def recorded_before_the_one_before(sent, entries):
    entries[3]["recorded_at"] = "2026-01-05T08:00:00Z"


@pytest.mark.parametrize(
    "wrong",
    (lost, lost_from_the_middle, doubled, there_twice_under_one_id, refused_and_there, of_nobody, under_another_id, in_another_place,
     half_of_a_unit, recorded_before_the_one_before),
    ids=lambda wrong: wrong.__name__,
)  # fmt: skip
def test_a_journal_that_disagrees_with_the_clients_is_found(sound, wrong):
    sent, entries = copy.deepcopy(sound)
    wrong(sent, entries)
    with pytest.raises(AssertionError):
        after.once(sent, entries)


def test_answers_that_no_order_explains_are_found(sound):
    sent, _ = copy.deepcopy(sound)
    sent[4].version = 2
    with pytest.raises(AssertionError, match="No order explains"):
        after.in_order(sent)


def undelivered(connection, load):
    for table in ("outbox", "event"):
        connection.execute(f"DELETE FROM {table} WHERE course_id = ? AND seq = 2", list(load.versions))


def keys_forgotten(connection, load):
    connection.execute("DELETE FROM idempotency WHERE course_id = ?", list(load.versions))


def altered(connection, load):
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("UPDATE entry SET person = 'another' WHERE course_id = ? AND seq = 2", list(load.versions))


def unexcused(connection, load):
    load.strange.append("note: 500")


HARM = {undelivered: "outbox", keys_forgotten: "stale-version|another answer", altered: "person", unexcused: "no fault excuses"}


def test_harm_to_a_real_database_is_found(on_sqlite):
    async def play():
        async with on_sqlite.service() as service:
            await service.start()
            for seed, (harm, says) in enumerate(HARM.items()):
                async with Load([service.url], on_sqlite.tokens["therapist"], seed, name="harm") as load:
                    await load.open(courses=1)
                    await load.run(clients=2, most=30)
                    await after.holds(load, on_sqlite)
                    with closing(sqlite3.connect(on_sqlite.file, isolation_level=None)) as connection:
                        harm(connection, load)
                    with pytest.raises(AssertionError, match=says):
                        await after.holds(load, on_sqlite)

    asyncio.run(play())
    with pytest.raises(AssertionError, match="person"):
        after.verifies(on_sqlite.url)


def test_what_is_never_decided_is_found(on_sqlite):
    """A service that does not run decides nothing: `settle` ends, and the check reports it."""

    async def play():
        async with Load(["http://127.0.0.1:1"], "no-token", seed=1, name="never") as load:
            load.versions["course"] = 1
            await load.run(clients=2, most=4, seconds=0.5)
            await after.holds(load, on_sqlite, seconds=0.5)

    with pytest.raises(AssertionError, match="still undecided"):
        asyncio.run(play())
