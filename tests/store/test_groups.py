"""The log of a group on both databases: written whole with its courses or not at all, never changed, and one group a course."""

import asyncio
import datetime as dt

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command
from support import databases, group_walk
from support.group_walk import GroupWalk
from support.http_client import OPERATOR

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.errors import GroupStale, StaleVersion, Unreachable
from ipt_workflow.service.privacy.erasures import Erasures
from ipt_workflow.store import groups
from ipt_workflow.store.commits import single
from ipt_workflow.store.schema import migrate, tables
from ipt_workflow.store.units import CourseGrouped, GroupLine, MemberMove, Unit

AT = dt.datetime(2026, 3, 2, 10, 0, tzinfo=dt.UTC)
ORGANISATION = "default"


@pytest.fixture
def clinic(tmp_path, server):
    settings = group_walk.settings(tmp_path, server)
    return lambda test: group_walk.run(settings, test)


def row(group: str, course: str, seq: int, nth: int, *, joined: bool = True) -> dict:
    return {
        "organisation": ORGANISATION,
        "course_id": course,
        "nth": nth,
        "group_id": group,
        "seq": seq,
        "joined": joined,
        "at": AT,
        "reason": None,
        "told_by": "supervisor-1",
        "told_at": AT,
    }


def line(group: str, expected: int, course: str = "course-1", nth: int = 1) -> GroupLine:
    move = MemberMove(course=course, nth=nth, joined=True, at=AT, recorded_by="supervisor-1", recorded_at=AT)
    return GroupLine(group=group, expected=expected, content=move)


async def appended(clinic: GroupWalk, new: GroupLine) -> None:
    await clinic.clinic.database.write(groups.append, ORGANISATION, new)


def test_a_line_is_written_on_the_version_it_was_decided_on_alone(clinic):
    async def test(clinic):
        group = await clinic.group()
        await appended(clinic, line(group, 1))
        with pytest.raises(GroupStale) as caught:
            await appended(clinic, line(group, 1, "course-2"))
        assert caught.value.current == 2
        found = await clinic.clinic.database.read(groups.find, ORGANISATION, group)
        assert (found.version, [member.course for member in found.members]) == (2, ["course-1"])

    clinic(test)


def test_a_course_is_numbered_through_all_groups_so_that_it_is_in_one(clinic):
    async def test(clinic):
        one, other = await clinic.group(), await clinic.group()
        await appended(clinic, line(one, 1))
        with pytest.raises(CourseGrouped):
            await appended(clinic, line(other, 1))
        found = await clinic.clinic.database.read(groups.find, ORGANISATION, other)
        assert (found.version, found.members) == (1, ())  # the update of its version was rolled back too

    clinic(test)


def test_a_group_can_be_read_as_it_was_at_every_version(clinic):
    async def test(clinic):
        a, b = await clinic.started("EHR-1"), await clinic.started("EHR-2")
        group = await clinic.group(a, b)
        await clinic.session(group, {a: "5", b: "3"})
        await clinic.facilitate(group, "therapist-1", "therapist-2")
        await clinic.leave(group, b)
        found = []
        for version in range(1, 7):
            at = await clinic.clinic.database.read(groups.find, ORGANISATION, group, version)
            found.append((at.version, len(at.present), len(at.members), len(at.sessions), len(at.facilitators)))
        assert found == [(1, 0, 0, 0, 1), (2, 1, 1, 0, 1), (3, 2, 2, 0, 1), (4, 2, 2, 1, 1), (5, 2, 2, 1, 2), (6, 1, 2, 1, 2)]

    clinic(test)


def test_a_unit_that_loses_on_one_course_writes_nothing_of_the_others_nor_of_the_group(clinic):
    async def test(clinic):
        a, b = await clinic.started("EHR-1"), await clinic.started("EHR-2")
        group = await clinic.group(a, b)
        clinic.clock.advance(group_walk.WEEK)
        write, kept = clinic.clinic.committer.commit, []

        async def keep(work, *given):
            if isinstance(work, Unit) and work.line:
                kept.append(work)
                raise StaleVersion(0)
            return await write(work, *given)

        clinic.clinic.committer.commit = keep
        with pytest.raises(Exception, match="being written by others"):
            await clinic.record(group, {a: "5", b: "5"})
        clinic.clinic.committer.commit = write
        await clinic.fire(max(a, b), "note", {"text": "Called."})  # the second of the two
        before = await everything(clinic)
        with pytest.raises(StaleVersion):
            await clinic.clinic.database.write(single.commit, kept[0])
        assert await everything(clinic) == before

    clinic(test)


async def everything(clinic: GroupWalk) -> dict[str, int]:
    """How many rows each table has, and the group's version."""

    def count(connection):
        names = ("entry", "entry_data", "outbox", "notice", "group_session", "audit_event", "idempotency")
        counts = {name: connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar() for name in names}
        return {**counts, "version": connection.exec_driver_sql("SELECT max(version) FROM therapy_group").scalar()}

    return await clinic.clinic.database.read(count)


def test_a_session_whose_answer_was_lost_on_the_way_is_recorded_once(clinic):
    """The connection breaks after the commit. The committer tries again, and finds the line written."""

    async def test(clinic):
        a, b = await clinic.started("EHR-1"), await clinic.started("EHR-2")
        group = await clinic.group(a, b)
        clinic.clock.advance(group_walk.WEEK)
        database, broken = clinic.clinic.installation.database, []
        write = database.write

        async def write_and_break(function, *args, **named):
            result = await write(function, *args, **named)
            if function is single.commit and not broken:
                broken.append(function)
                raise Unreachable("gone")
            return result

        database.write = write_and_break
        recorded = (await clinic.record(group, {a: "5", b: "5"})).recorded
        assert (len(broken), len(recorded.accepted)) == (1, 2)
        assert len((await clinic.view(group)).sessions) == 1
        assert (await everything(clinic))["group_session"] == 1

    clinic(test)


@pytest.mark.parametrize("table", ("group_facilitator", "group_member", "group_session"))
@pytest.mark.parametrize("statement", ("UPDATE {} SET organisation = organisation", "DELETE FROM {}"))
def test_no_line_of_a_log_is_changed_or_removed(clinic, table, statement):
    async def test(clinic):
        a = await clinic.started("EHR-1")
        await clinic.session(await clinic.group(a), {a: "5"})
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            await clinic.clinic.database.write(lambda c: c.exec_driver_sql(statement.format(table)))

    clinic(test)


def test_what_erases_a_client_reaches_what_waits_of_a_group(clinic):
    async def test(clinic):
        a, referred = await clinic.started("EHR-1"), await clinic.course("EHR-2")
        group = await clinic.group(a, referred)
        (refused,) = (await clinic.session(group, {a: "5", referred: "5"}, details={referred: {"comment": "Said little."}})).refused

        def kept(connection):
            notice = tables.notice
            return connection.execute(sa.select(notice.c.status, notice.c.body).where(notice.c.id == refused.notice)).one()

        assert b"Said little." in (await clinic.clinic.database.read(kept)).body
        await Erasures(clinic.clinic).erase(OPERATOR, lambda: NewErasure(client_ref="EHR-2", ground="objection"))
        assert tuple(await clinic.clinic.database.read(kept)) == ("dismissed", None)
        assert (await clinic.view(group)).sessions[0].attendance[referred].became == "dismissed"

    clinic(test)


def test_contacts_and_consents_that_were_recorded_before_they_were_counted_by_kind_are_counted_now(tmp_path, server):
    """A database of an older revision whose snapshot lacks them."""
    made = group_walk.settings(tmp_path, server)

    async def fill(clinic: GroupWalk) -> None:
        course = await clinic.course("EHR-1")
        await clinic.fire(course, "record_contact", {"kind": "pre_group"})
        await clinic.fire(course, "record_consent")

    group_walk.run(made, fill)
    url = databases.create(server) if server else f"sqlite:///{tmp_path / 'old.db'}"
    old = made.model_copy(update={"database_url": url})
    filled = on(made, rows)
    (course,) = filled["course"]
    snapshot = msgspec.json.decode(course["snapshot"])
    assert (snapshot.pop("contacted"), snapshot.pop("consenting")) == ({"pre_group": 1}, ["treatment:client"])
    course["snapshot"] = msgspec.json.encode(snapshot)
    on(old, lambda connection: command.upgrade(migrate._config(connection), "0004"))
    on(old, lambda connection: refill(connection, filled))
    on(old, migrate.upgrade)

    async def look(clinic: GroupWalk) -> int:
        return (await clinic.fold(course["id"])).contacted["pre_group"]

    assert group_walk.run(old, look) == 1


def on(settings, function):
    async def inside():
        database = databases.opened(settings.database_url)
        try:
            return await database.write(function)
        finally:
            await database.close()

    return asyncio.run(inside())


def rows(connection) -> dict[str, list[dict]]:
    found = {table.name: connection.execute(table.select()) for table in tables.METADATA.sorted_tables}
    return {name: [dict(row) for row in result.mappings()] for name, result in found.items()}


def refill(connection, filled: dict[str, list[dict]]) -> None:
    inspector = sa.inspect(connection)
    for name, each in filled.items():
        if each and inspector.has_table(name):
            known = {column["name"] for column in inspector.get_columns(name)}
            connection.execute(
                tables.METADATA.tables[name].insert(), [{k: v for k, v in row.items() if k in known} for row in each]
            )
