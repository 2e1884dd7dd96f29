"""Cover by colleagues: arranged, ended and read."""

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.cover import CoverTime
from ipt_workflow.store import structs
from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.relations import NOW, ORGANISATION
from ipt_workflow.store.schema.tables import course, cover_course
from ipt_workflow.store.schema.tables import cover as table


class StoredCover(msgspec.Struct, frozen=True, kw_only=True):
    """Cover without the courses that it names. `everything`: it names none, and is for all of the therapist's."""

    id: str
    therapist: str
    colleague: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    everything: bool
    client_told: bool
    reason: str
    set_by: str
    set_role: str
    set_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = None


_select = sa.select(*structs.columns(table, StoredCover))


def insert(connection: sa.Connection, organisation: str, cover: StoredCover, courses: Sequence[str]) -> None:
    connection.execute(sa.insert(table), structs.row_of(organisation, cover))
    rows = [{"organisation": organisation, "cover_id": cover.id, "course_id": each} for each in dict.fromkeys(courses)]
    if rows:
        connection.execute(sa.insert(cover_course), rows)


def find(connection: sa.Connection, organisation: str, cover_id: str) -> StoredCover | None:
    statement = _select.where(table.c.organisation == organisation, table.c.id == cover_id)
    return structs.read_first(connection, statement, StoredCover)


def page(
    connection: sa.Connection, organisation: str, people: Sequence[str] | None, now: dt.datetime, after: str, limit: int
) -> list[StoredCover]:
    """A page of the cover that is not over yet, after an id, in the order it was arranged. With `people`: by or for any of them."""
    among = {} if people is None else {"people": list(people)}
    values = {"organisation": organisation, "now": now, "after": after, "limit": limit, **among}
    return structs.read_all(connection, _page(of_people=people is not None), StoredCover, values)


@cache
def _page(*, of_people: bool) -> sa.Select[Any]:
    """A page of cover. The people in question are a parameter."""
    still = (table.c.ends_at > NOW, table.c.ended_at.is_(None))
    statement = _select.where(table.c.organisation == ORGANISATION, table.c.id > sa.bindparam("after"), *still)
    if of_people:
        people: sa.BindParameter[Any] = sa.bindparam("people", expanding=True)
        statement = statement.where(sa.or_(table.c.therapist.in_(people), table.c.colleague.in_(people)))
    return statement.order_by(table.c.id).limit(sa.bindparam("limit", type_=sa.Integer))


_courses_of = by_ids(
    sa.select(cover_course.c.cover_id, cover_course.c.course_id).order_by(cover_course.c.course_id),
    cover_course.c.organisation,
    cover_course.c.cover_id,
)


def courses_of(connection: sa.Connection, organisation: str, cover_ids: Sequence[str]) -> dict[str, list[str]]:
    """The courses that covers name, by cover."""
    named: dict[str, list[str]] = {cover_id: [] for cover_id in cover_ids}
    for row in execute_by_ids(connection, _courses_of, organisation, cover_ids):
        named[row.cover_id].append(row.course_id)
    return named


def spans(connection: sa.Connection, organisation: str, therapist: str, colleague: str) -> list[CoverTime]:
    """From when until when a colleague covers or has covered for a therapist. What was ended early counts until then."""
    where = (table.c.organisation == organisation, table.c.therapist == therapist, table.c.colleague == colleague)
    statement = sa.select(table.c.starts_at, sa.func.coalesce(table.c.ended_at, table.c.ends_at).label("ends_at")).where(*where)
    return [CoverTime(row.starts_at, row.ends_at) for row in connection.execute(statement)]


def not_theirs(connection: sa.Connection, organisation: str, therapist: str, courses: Sequence[str]) -> set[str]:
    """Those ids that belong to no course of the therapist."""
    where = (course.c.organisation == organisation, course.c.id.in_(courses), course.c.therapist == therapist)
    return set(courses) - set(connection.execute(sa.select(course.c.id).where(*where)).scalars())


def end(connection: sa.Connection, organisation: str, cover_id: str, by: str, now: dt.datetime) -> bool:
    """Ends cover. Returns False if it was over or ended already."""
    where = (table.c.organisation == organisation, table.c.id == cover_id, table.c.ended_at.is_(None), table.c.ends_at > now)
    return connection.execute(sa.update(table).where(*where).values(ended_at=now, ended_by=by)).rowcount == 1


def end_of(connection: sa.Connection, organisation: str, person: str, roles: Sequence[str], now: dt.datetime) -> int:
    """Ends the cover by and for a person who is no therapist any more. Returns how many covers ended."""
    if "therapist" not in roles:
        return 0
    theirs = sa.or_(table.c.therapist == person, table.c.colleague == person)
    where = (table.c.organisation == organisation, theirs, table.c.ended_at.is_(None), table.c.ends_at > now)
    return connection.execute(sa.update(table).where(*where).values(ended_at=now)).rowcount
