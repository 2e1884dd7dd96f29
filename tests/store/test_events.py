"""The events of the outbox receive their positions, in work that grows with what is new alone."""

import asyncio

import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.store import claims, events
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.schema import tables

NEW, BEFORE = 300, 1000


def published(connection: sa.Connection, first: int, count: int) -> None:
    for number in range(first, first + count):
        new = NewEvent(id=f"event-{number:05}", kind="attention", created_at=service_walk.START, detail="overdue")
        events.publish(connection, "default", new)


def numbered(connection: sa.Connection) -> tuple[list[tuple[str, int]], int, int]:
    """The newest events, how many rows wait, and how many rows of events PostgreSQL read to number them."""
    published(connection, 0, BEFORE)
    events.number_events(connection, "default", BEFORE)
    published(connection, BEFORE, NEW)
    claims.find_by_key(connection)
    before = databases.rows_read(connection, "event")
    events.number_events(connection, "default", NEW + 1)
    read = databases.rows_read(connection, "event") - before
    found = connection.execute(sa.select(tables.event.c.id, tables.event.c.position).order_by(tables.event.c.position))
    waiting = connection.execute(sa.select(sa.func.count()).select_from(tables.outbox)).scalar_one()
    return [tuple(row) for row in found][BEFORE:], waiting, read


def test_numbering_reads_the_new_events_alone_while_the_database_knows_nothing_of_its_tables(server, tmp_path) -> None:
    settings = databases.empty(tmp_path, server)

    async def run():
        database = databases.opened(settings.database_url)
        try:
            return await database.write(numbered)
        finally:
            await database.close()

    new, waiting, read = asyncio.run(run())
    assert new == [(f"event-{number:05}", number + 1) for number in range(BEFORE, BEFORE + NEW)]
    assert waiting == 0
    assert read <= 4 * NEW  # in three questions
