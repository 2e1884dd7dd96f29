"""Courses in the order of need: every page, by either way to it, is what sorting all rows finds."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.access.relations import Viewer
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.service import demo
from ipt_workflow.store import registry
from ipt_workflow.store.registry import NEEDS, RegistryFilters
from ipt_workflow.store.schema.tables import course

SOON = dt.timedelta(days=40)  # so that some attention is due
SUPERVISOR, THERAPIST, STRANGER = (
    Viewer("supervisor-1", "supervisor"),
    Viewer("therapist-1", "therapist"),
    Viewer("nobody", "therapist"),
)
FILTERS = (
    *(RegistryFilters(), RegistryFilters(therapist="therapist-1"), RegistryFilters(phase="middle")),
    *(RegistryFilters(protocol="ipt-group"), RegistryFilters(attention="unsigned"), RegistryFilters(therapist="nobody")),
)


@pytest.fixture(scope="module")
def stored(server, tmp_path_factory):
    """A database, the rows of its courses, and the moment at which they are asked for."""
    settings = service_walk.database(tmp_path_factory.mktemp("registry"), demo.make, server)
    names = [column.name for column in course.c if column.name not in {"snapshot", "head"}]
    statement = sa.select(*(course.c[name] for name in names))

    async def read():
        database = databases.opened(settings.database_url)
        rows = await database.read(lambda connection: [dict(row) for row in connection.execute(statement).mappings()])
        await database.close()
        return rows

    return settings, asyncio.run(read())


def pages(settings, who: Viewer, filters: RegistryFilters, limit: int, now: dt.datetime) -> list[str]:
    """The ids on all pages."""

    async def read():
        database = databases.opened(settings.database_url)
        found, after = [], None
        while True:
            page = await database.read(registry.page, "default", who, filters, after, limit, now)
            found += page
            if len(page) < limit:
                await database.close()
                return found
            after = page[-1]

    return asyncio.run(read())


def expected(rows, who: Viewer, filters: RegistryFilters, now: dt.datetime) -> list[str]:
    kinds = (filters.attention,) if filters.attention else NEEDS

    def place(row):
        for rank, kind in enumerate(kinds):
            if row[f"{kind}_from"] is not None and row[f"{kind}_from"] <= now:
                return rank, row[f"{kind}_from"], row["id"]
        return len(kinds), registry.LONG_AGO, row["id"]

    def is_asked_for(row) -> bool:
        mine = who.role == "supervisor" or row["therapist"] == who.person
        wanted = {"therapist": filters.therapist, "protocol": filters.protocol, "phase": filters.phase}
        due = filters.attention is None or (row[f"{filters.attention}_from"] or registry.LONG_AGO) <= now
        due &= filters.attention is None or row[f"{filters.attention}_from"] is not None
        return mine and due and row["state"] not in ENDED and all(value in {None, row[name]} for name, value in wanted.items())

    return [row["id"] for row in sorted((each for each in rows if is_asked_for(each)), key=place)]


@pytest.mark.parametrize("few", [1000, 0], ids=["few", "many"])
@pytest.mark.parametrize("who", [SUPERVISOR, THERAPIST, STRANGER], ids=lambda each: each.person)
def test_every_page_is_in_the_order_of_need(stored, monkeypatch, few, who):
    settings, rows = stored
    monkeypatch.setattr(registry, "FEW", few)
    now = service_walk.START + SOON
    for filters in FILTERS:
        assert pages(settings, who, filters, 7, now) == expected(rows, who, filters, now), filters


def test_those_at_risk_come_first(stored):
    settings, rows = stored
    now = service_walk.START + SOON
    at_risk = {row["id"] for row in rows if row["risk_from"] and row["risk_from"] <= now and row["state"] not in ENDED}
    assert at_risk
    assert set(pages(settings, SUPERVISOR, RegistryFilters(), 100, now)[: len(at_risk)]) == at_risk
