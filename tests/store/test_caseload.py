"""Pages of courses: every filter and every pair of filters finds what a reading of all courses finds, however many need attention."""

import asyncio
import datetime as dt
import itertools

import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.access.relations import Viewer
from ipt_workflow.service import demo
from ipt_workflow.store import courses
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema.tables import course

SOON = dt.timedelta(days=40)  # so that some attention is due
ATTENTION = ("overdue", "risk", "unsigned", "notices", "ending")


async def filled(clinic) -> None:
    await demo.make(clinic)
    for _ in range(2):  # a client with two courses
        again = await service_walk.open_course(clinic, "EHR-twice")
        await service_walk.walk(clinic, again, "record_consent", "start", "end_early")


@pytest.fixture(scope="module")
def stored(server, tmp_path_factory):
    """A database, and the rows of its courses in the order of ids."""
    settings = service_walk.database(tmp_path_factory.mktemp("caseload"), filled, server)
    names = [column.name for column in course.c if column.name not in {"snapshot", "head"}]
    statement = sa.select(*(course.c[name] for name in names)).order_by(course.c.id)

    async def read():
        database = databases.opened(settings.database_url)
        rows = await database.read(lambda connection: [dict(row) for row in connection.execute(statement).mappings()])
        await database.close()
        return rows

    return settings, asyncio.run(read())


def pages(settings: databases.Settings, filters: Filters, limit: int, now: dt.datetime) -> list[str]:
    """The ids on all pages."""

    async def read():
        database = databases.opened(settings.database_url)
        found, after = [], ""
        while True:
            page = await database.read(courses.caseload, "default", filters, after, limit, now)
            found += [each.course.id for each in page]
            if len(page) < limit:
                await database.close()
                return found
            after = page[-1].course.id

    return asyncio.run(read())


def wanted(rows: list[dict], filters: Filters, now: dt.datetime) -> list[str]:
    def fits(row: dict) -> bool:
        named = {"state": filters.state, "phase": filters.phase, "therapist": filters.therapist, "protocol": filters.protocol,
                 "client_id": filters.client}  # fmt: skip
        due = row.get(f"{filters.attention}_from")
        return (
            all(value is None or row[name] == value for name, value in named.items())
            and (filters.ids is None or row["id"] in filters.ids)
            and (filters.changed_since is None or row["last_recorded_at"] >= filters.changed_since)
            and (filters.states is None or row["state"] in filters.states)
            and (filters.attention is None or (due is not None and due <= now))
        )

    return [row["id"] for row in rows if fits(row)]


def choices(rows: list[dict]) -> list[dict]:
    """One filter each."""
    some = rows[:: max(1, len(rows) // 4)]
    found = [{name: row[column]} for row in some for name, column in (("state", "state"), ("phase", "phase"), ("therapist", "therapist"),
             ("protocol", "protocol"), ("client", "client_id"))]  # fmt: skip
    found += [{"ids": tuple(row["id"] for row in some)}, {"ids": ()}, {"ids": (rows[-1]["id"], "none")}]
    found += [{"states": ("initial", "middle")}, {"states": ()}, {"states": tuple({row["state"] for row in rows})}]
    found += [{"changed_since": row["last_recorded_at"]} for row in some]
    found += [{"client": rows[-1]["client_id"]}, {"protocol": "none"}, {}]
    return found + [{"attention": kind} for kind in ATTENTION]


@pytest.mark.matrix(5)
@pytest.mark.parametrize("few", [2000, 1])
@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_hold_every_course_that_fits_once_and_in_order(stored, monkeypatch, few, limit):
    settings, rows = stored
    monkeypatch.setattr(courses, "FEW", few)
    now = dt.datetime.now(dt.UTC) + SOON
    sought = [first | second for first, second in itertools.combinations(choices(rows), 2)]
    sample = sought[:: {1: 29, 3: 13, 200: 7}[limit]]
    found = {str(filters): pages(settings, Filters(**filters), limit, now) for filters in sample}
    assert found == {str(filters): wanted(rows, Filters(**filters), now) for filters in sample}
    assert sum(map(bool, found.values())) > len(sample) / 4


def test_the_clients_of_a_page_have_all_their_courses(stored):
    settings, rows = stored
    twice = rows[-1]["client_id"]

    async def read(who):
        database, now = databases.opened(settings.database_url), dt.datetime.now(dt.UTC)
        found = await database.read(courses.courses_of_clients, "default", [twice, rows[0]["client_id"]], who, now)
        await database.close()
        return [(each.client_id, each.course_id) for each in found]

    theirs = [(row["client_id"], row["id"]) for row in rows if row["client_id"] in {twice, rows[0]["client_id"]}]
    assert asyncio.run(read(Viewer("auditor-1", "auditor"))) == theirs
    assert len(theirs) == 3
    assert asyncio.run(read(Viewer("nobody", "therapist"))) == []
