"""Open courses by need: those first that most need somebody, and of these the one that has needed it longest.

The order is that of the kinds of attention in NEEDS that their rows hold, and then that of their ids. The databases cannot tell
which way to a page is short. If somebody's open courses are few, all are sorted. Else each kind is read by its own index until a page
is full. Where one kind is asked for, it alone decides.
"""

import datetime as dt
from collections.abc import Sequence
from functools import cache

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.store import relations
from ipt_workflow.store.schema.tables import OPEN, course

NEEDS = (
    *("risk", "deteriorating", "consent", "not_attending", "overdue", "not_improving", "blocked", "unassigned"),
    *("outcome_missing", "unsigned", "deviation", "owed", "contradicted", "transfer_open", "ending"),
)
FEW = 2000
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
NOW = sa.bindparam("now", type_=course.c.last_recorded_at.type)
_open: sa.ColumnElement[bool] = sa.literal_column(OPEN)


class RegistryFilters(msgspec.Struct, frozen=True, kw_only=True):
    """A course is listed if it meets all that are set."""

    therapist: str | None = None
    protocol: str | None = None
    phase: str | None = None
    attention: str | None = None  # one of NEEDS


class Place(msgspec.Struct, frozen=True):
    """A course's place in the order: its rank among the kinds of need, since when it has had that, and its id."""

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
    wanted = ((course.c.therapist, therapist), (course.c.protocol, filters.protocol), (course.c.phase, filters.phase))
    conditions = [course.c.organisation == organisation, *(column == value for column, value in wanted if value is not None)]
    if sight.condition is not None and not sight.own_only:
        conditions.append(sight.condition)
    order = _order(filters.attention)
    place = order.place(connection, organisation, after, now) if after else None
    few = len(connection.execute(sa.select(course.c.id).where(_open, *conditions).limit(FEW + 1)).all()) <= FEW
    return (order.sorted if few else order.by_kind)(connection, conditions, place, limit, now)


class _Order:
    """The order of courses by kinds of need at the moment `now`, a parameter of its statements.

    With `every`, those that need nobody come last; else they are left out.
    """

    def __init__(self, kinds: Sequence[str], *, every: bool) -> None:
        self.columns = [course.c[f"{kind}_from"] for kind in kinds]
        self.every = every
        self.none = len(kinds)  # the rank of a course that needs nobody
        due = [(column <= NOW, column) for column in self.columns]
        self.rank = sa.case(*((is_due, sa.literal(rank)) for rank, (is_due, _) in enumerate(due)), else_=sa.literal(self.none))
        self.since = sa.case(*due, else_=_moment(LONG_AGO))
        self.key = (self.rank, self.since, course.c.id)
        self.higher = [sa.or_(column.is_(None), column > NOW) for column in self.columns]  # that a course has none of a higher rank

    def place(self, connection: sa.Connection, organisation: str, course_id: str, now: dt.datetime) -> Place | None:
        """Where a course stands in the order; None if there is no such course."""
        statement = sa.select(self.rank, self.since).where(course.c.organisation == organisation, course.c.id == course_id)
        row = connection.execute(statement, {"now": now}).first()
        return Place(row[0], row[1], course_id) if row else None

    def sorted(
        self,
        connection: sa.Connection,
        conditions: Sequence[sa.ColumnElement[bool]],
        after: Place | None,
        limit: int,
        now: dt.datetime,
    ) -> list[str]:
        later = [] if after is None else [sa.tuple_(*self.key) > sa.tuple_(after.rank, _moment(after.since), after.id)]
        needing = [] if self.every else [self.rank < self.none]
        statement = sa.select(course.c.id).where(_open, *conditions, *needing, *later).order_by(*self.key)
        return list(connection.execute(statement.limit(limit), {"now": now}).scalars())

    def by_kind(
        self,
        connection: sa.Connection,
        conditions: Sequence[sa.ColumnElement[bool]],
        after: Place | None,
        limit: int,
        now: dt.datetime,
    ) -> list[str]:
        """The courses of one rank after another, until there are enough. Ranks before the place are left out."""
        found: list[str] = []
        for rank in range(after.rank if after else 0, self.none + self.every):
            statement = self._of_rank(rank, after).where(_open, *conditions)
            rows = connection.execute(statement.limit(limit - len(found)), {"now": now})
            found += [row.id for row in rows]
            if len(found) == limit:
                break
        return found

    def _of_rank(self, rank: int, after: Place | None) -> sa.Select[tuple[str]]:
        """The courses of a rank, in order. An index of its kind holds them so."""
        begun = after if after and after.rank == rank else None
        statement = sa.select(course.c.id).where(*self.higher[:rank])
        if rank == self.none:
            return statement.where(course.c.id > (begun.id if begun else "")).order_by(course.c.id)
        since = self.columns[rank]
        later = [] if begun is None else [sa.tuple_(since, course.c.id) > sa.tuple_(_moment(begun.since), begun.id)]
        return statement.where(since <= NOW, *later).order_by(since, course.c.id)


@cache
def _order(kind: str | None) -> _Order:
    """The order by one kind of need, or by all."""
    return _Order((kind,) if kind else NEEDS, every=kind is None)


def _moment(value: dt.datetime) -> sa.ColumnElement[dt.datetime]:
    return sa.literal(value, course.c.last_recorded_at.type)
