"""Claims of deliveries: how the database finds the first of each lane, whatever it knows of the table."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.store import claims
from ipt_workflow.store.schema import tables

NOW = service_walk.START
SUBSCRIPTIONS = [f"subscription-{number}" for number in range(10)]
LANES = [f"course-{number}" for number in range(30)]
FIRST = {"sqlite": "ix_delivery_in_lane (subscription_id=? AND lane=?", "postgresql": "Index Scan using ix_delivery_in_lane"}


def subscription(subscription_id: str) -> dict:
    values = {
        "organisation": "default", "id": subscription_id, "url": "https://ehr.example/hook", "types": "*", "scope": "thin", "purpose": "TREAT",
        "status": "active", "created_at": NOW, "created_by": "admin-1",
    }  # fmt: skip
    return {column.name: values.get(column.name) for column in tables.subscription.columns}


def delivery(number: int, subscription_id: str, lane: str, status: str) -> dict:
    values = {
        "organisation": "default", "id": f"{subscription_id}/{number}", "subscription_id": subscription_id, "position": number,
        "lane": lane, "status": status, "attempts": 0, "next_at": NOW,
    }  # fmt: skip
    return {column.name: values.get(column.name) for column in tables.delivery.columns}


def rows(first: int, status: str) -> list[dict]:
    """Two deliveries for each subscription and lane."""
    return [
        delivery(number, each, lane, status) for each in SUBSCRIPTIONS for number, lane in enumerate(LANES + LANES, start=first)
    ]


def claimed(connection: sa.Connection, lanes_each: int) -> list[list[claims.ClaimedDelivery]]:
    claims.find_by_key(connection)
    return claims.claim(
        connection,
        "default",
        now=NOW,
        lease_until=NOW + dt.timedelta(minutes=1),
        lease_id="lease-1",
        lanes_max=1000,
        lanes_of=lambda _: lanes_each,
    )


def filled(connection: sa.Connection, known: str) -> None:
    """A backlog. PostgreSQL's statistics are of an empty table, or of one in which nothing waited."""
    connection.execute(sa.insert(tables.subscription), [subscription(each) for each in SUBSCRIPTIONS])
    connection.execute(sa.insert(tables.delivery), rows(1, "delivered"))
    if known == "nothing waited":
        connection.exec_driver_sql("ANALYZE")
    connection.execute(sa.insert(tables.delivery), rows(1000, "waiting"))


def planned(connection: sa.Connection, known: str) -> tuple[list[list[claims.ClaimedDelivery]], list[str]]:
    """What one claim takes, and the plans of its statements."""
    statements = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        statements.append((statement, parameters))

    filled(connection, known)
    sa.event.listen(connection, "before_cursor_execute", note)
    lanes = claimed(connection, 5)
    sa.event.remove(connection, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
    plans = []
    for statement, parameters in statements:
        lines = connection.exec_driver_sql(explain + statement, parameters).all()
        plans.append("\n".join(str(line[-1]) for line in lines))
    return lanes, plans


@pytest.mark.parametrize("known", ["nothing", "nothing waited"])
def test_the_first_of_a_lane_is_found_by_its_index_whatever_the_database_knows_of_the_table(server, tmp_path, known) -> None:
    settings = databases.empty(tmp_path, server)

    async def run():
        database = databases.opened(settings.database_url)
        try:
            return database.dialect, await database.write(planned, known)
        finally:
            await database.close()

    dialect, (lanes, plans) = asyncio.run(run())
    assert len(lanes) == 5 * len(SUBSCRIPTIONS)
    assert all(len(lane) == 2 for lane in lanes)
    assert any(FIRST[dialect] in plan for plan in plans)
    for plan in plans:
        assert "Seq Scan on delivery" not in plan
        assert "SCAN delivery" not in plan
        assert "uq_delivery" not in plan
