"""Open courses by need: those first that most need somebody, and of these the one that has needed it longest.

The order is that of the kinds of attention in NEEDS that their rows hold, and then that of their ids. The databases cannot tell
which way to a page is short. If somebody's open courses are few, all are sorted. Else each kind is read by its own index, up to a page.
"""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.store import relations
from ipt_workflow.store.schema.tables import OPEN, course

NEEDS = (
    *("risk", "deteriorating", "consent", "not_attending", "overdue", "not_improving", "blocked", "unassigned"),
    *("outcome_missing", "unsigned", "deviation", "owed", "contradicted", "transfer_open", "ending"),
)
FEW = 500
NONE = len(NEEDS)  # the rank of a course that needs nobody
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_open: sa.ColumnElement[bool] = sa.literal_column(OPEN)


class RegistryFilters(msgspec.Struct, frozen=True, kw_only=True):
    """A course is listed if it meets all that are set."""

    therapist: str | None = None
    protocol: str | None = None
    phase: str | None = None
    attention: str | None = None  # one of NEEDS


class Place(msgspec.Struct, frozen=True):
    """A course's place in the order: its rank among NEEDS, since when it has had that, and its id."""

    rank: int
    since: dt.datetime
    id: str


def page(
    connection: sa.Connection,
    organisation: str,
    who: Viewer,
    filters: RegistryFilters,
    after: str | None,
    limit: int,
    now: dt.datetime,
) -> list[str]:
    """The ids of open courses that somebody may see, after a course, in the order of need."""
    sight = relations.sight(connection, organisation, who, now)
    if sight.own_only and filters.therapist not in {None, who.person}:
        return []
    therapist = who.person if sight.own_only else filters.therapist
    conditions = [course.c.organisation == organisation, *_conditions(filters, therapist, now)]
    if sight.condition is not None and not sight.own_only:
        conditions.append(sight.condition)
    few = len(connection.execute(sa.select(course.c.id).where(_open, *conditions).limit(FEW + 1)).all()) <= FEW
    place = _place(connection, organisation, after, now) if after else None
    return (_sorted if few else _by_kind)(connection, conditions, place, limit, now)


def _conditions(filters: RegistryFilters, therapist: str | None, now: dt.datetime) -> list[sa.ColumnElement[bool]]:
    wanted = ((course.c.therapist, therapist), (course.c.protocol, filters.protocol), (course.c.phase, filters.phase))
    conditions: list[sa.ColumnElement[bool]] = [column == value for column, value in wanted if value is not None]
    return conditions + ([_due(filters.attention, now)] if filters.attention else [])


def _due(kind: str, now: dt.datetime) -> sa.ColumnElement[bool]:
    due: sa.ColumnElement[bool] = course.c[f"{kind}_from"] <= now
    return due


def _rank(now: dt.datetime) -> sa.ColumnElement[int]:
    return sa.case(*((_due(kind, now), sa.literal(rank)) for rank, kind in enumerate(NEEDS)), else_=sa.literal(NONE))


def _since(now: dt.datetime) -> sa.ColumnElement[dt.datetime]:
    return sa.case(*((_due(kind, now), course.c[f"{kind}_from"]) for kind in NEEDS), else_=_moment(LONG_AGO))


def _moment(value: dt.datetime) -> sa.ColumnElement[dt.datetime]:
    return sa.literal(value, course.c.last_recorded_at.type)


def _place(connection: sa.Connection, organisation: str, course_id: str, now: dt.datetime) -> Place | None:
    """Where a course stands in the order; None if there is no such course."""
    statement = sa.select(_rank(now), _since(now)).where(course.c.organisation == organisation, course.c.id == course_id)
    row = connection.execute(statement).first()
    return Place(row[0], row[1], course_id) if row else None


def _sorted(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], after: Place | None, limit: int, now: dt.datetime
) -> list[str]:
    rank, since = _rank(now), _since(now)
    later = [] if after is None else [sa.tuple_(rank, since, course.c.id) > sa.tuple_(after.rank, _moment(after.since), after.id)]
    statement = sa.select(course.c.id).where(_open, *conditions, *later).order_by(rank, since, course.c.id)
    return list(connection.execute(statement.limit(limit)).scalars())


def _by_kind(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], after: Place | None, limit: int, now: dt.datetime
) -> list[str]:
    """The first of each rank, and of these the first. Ranks before the place are left out."""
    firsts = [
        sa.select(_of_rank(rank, [*conditions, *_later(rank, after)], limit, now).subquery())
        for rank in range(after.rank if after else 0, NONE + 1)
    ]
    every = sa.union_all(*firsts).subquery()
    statement = sa.select(every.c.id).order_by(every.c.rank, every.c.since, every.c.id).limit(limit)
    return list(connection.execute(statement).scalars())


def _of_rank(
    rank: int, conditions: Sequence[sa.ColumnElement[bool]], limit: int, now: dt.datetime
) -> sa.Select[tuple[str, int, dt.datetime]]:
    """The first courses of a rank. An index of its kind gives them in order."""
    higher = [sa.or_(course.c[f"{kind}_from"].is_(None), course.c[f"{kind}_from"] > now) for kind in NEEDS[:rank]]
    since: sa.ColumnElement[dt.datetime] = _moment(LONG_AGO) if rank == NONE else course.c[f"{NEEDS[rank]}_from"]
    due = [] if rank == NONE else [since <= now]
    order = (course.c.id,) if rank == NONE else (since, course.c.id)
    columns = sa.select(course.c.id, sa.literal(rank).label("rank"), since.label("since"))
    return columns.where(_open, *conditions, *due, *higher).order_by(*order).limit(limit)


def _later(rank: int, after: Place | None) -> list[sa.ColumnElement[bool]]:
    if after is None or rank != after.rank:
        return []
    if rank == NONE:
        return [course.c.id > after.id]
    since = course.c[f"{NEEDS[rank]}_from"]
    return [sa.tuple_(since, course.c.id) > sa.tuple_(_moment(after.since), after.id)]
