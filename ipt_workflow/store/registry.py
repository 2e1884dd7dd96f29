"""Open courses by need: those first that most need somebody, and of these the one that has needed it longest.

The order is that of the kinds of attention in NEEDS that their rows hold, and then that of their ids. The databases cannot tell
which way to a page is short. If somebody's open courses are few, all are sorted. Else each kind is read by its own index until a page
is full. Where one kind is asked for, it alone decides.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.store import relations
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.relations import NOW, ORGANISATION, Sight
from ipt_workflow.store.schema.tables import OPEN, course

NEEDS = (
    *("risk", "deteriorating", "consent", "not_attending", "overdue", "not_improving", "blocked", "unassigned"),
    *("outcome_missing", "unsigned", "deviation", "owed", "contradicted", "transfer_open", "ending"),
)
FEW = 2000
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SINCE = sa.bindparam("since", type_=NOW.type)
RANK = sa.bindparam("rank", type_=sa.Integer)
AFTER = sa.bindparam("after", type_=course.c.id.type)
LIMIT = sa.bindparam("limit", type_=sa.Integer)
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
    wanted = {"therapist": therapist, "protocol": filters.protocol, "phase": filters.phase}
    given = {name: value for name, value in wanted.items() if value is not None}
    among = Among(relations.EVERYTHING if sight.own_only else sight, tuple(given))
    values = {**relations.values(organisation, who, now), **given}
    order = _order(filters.attention)
    place = order.place(connection, after, values) if after else None
    ids = connection.execute(_some(among), {**values, "limit": FEW + 1}).scalars().all()
    if len(ids) <= FEW:
        return order.sorted(connection, among, place, {**values, "ids": sorted(ids), "limit": limit})
    return order.by_kind(connection, among, place, {**values, "limit": limit})


class Among(msgspec.Struct, frozen=True):
    """Which open courses are in question: those of a sight whose columns have the values of the parameters of their names."""

    sight: Sight
    columns: tuple[str, ...]

    @property
    def filters(self) -> list[sa.ColumnElement[bool]]:
        return [_open, course.c.organisation == ORGANISATION, *(course.c[name] == sa.bindparam(name) for name in self.columns)]


@cache
def _some(among: Among) -> sa.Select[tuple[str]]:
    """Some of the courses in question, and perhaps others that are tied to the viewer: those are few."""
    if among.sight.ties:
        return among.sight.some(LIMIT, _open)
    return among.sight.some(LIMIT, *among.filters)


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
        self.since = sa.case(*due, else_=sa.literal(LONG_AGO, NOW.type))
        self.key = (self.rank, self.since, course.c.id)
        self.higher = [sa.or_(column.is_(None), column > NOW) for column in self.columns]  # that a course has none of a higher rank

    def place(self, connection: sa.Connection, course_id: str, values: Mapping[str, Any]) -> Place | None:
        """Where a course stands in the order; None if there is no such course."""
        statement = sa.select(self.rank, self.since).where(course.c.organisation == ORGANISATION, course.c.id == course_id)
        row = connection.execute(statement, values).first()
        return Place(row[0], row[1], course_id) if row else None

    def sorted(self, connection: sa.Connection, among: Among, after: Place | None, values: Mapping[str, Any]) -> list[str]:
        begun = {} if after is None else {"rank": after.rank, "since": after.since, "after": after.id}
        statement = _sorted(self, among, connection.dialect.name, later=after is not None)
        return list(connection.execute(statement, {**values, **begun}).scalars())

    def by_kind(self, connection: sa.Connection, among: Among, after: Place | None, values: Mapping[str, Any]) -> list[str]:
        """The courses of one rank after another, until there are enough. Ranks before the place are left out."""
        found: list[str] = []
        for rank in range(after.rank if after else 0, self.none + self.every):
            begun = after if after and after.rank == rank else Place(rank, LONG_AGO, "")
            more = {"since": begun.since, "after": begun.id, "limit": values["limit"] - len(found)}
            found += connection.execute(_of_rank(self, among, rank, later=begun is after), {**values, **more}).scalars()
            if len(found) == values["limit"]:
                break
        return found


@cache
def _sorted(order: _Order, among: Among, dialect: str, *, later: bool) -> sa.Select[Any]:
    """The courses in question among those in the parameter `ids`, in the order; with `later` those after a place."""
    few = one_of(course.c.id, "ids")[dialect]
    more = [sa.tuple_(*order.key) > sa.tuple_(RANK, SINCE, AFTER)] if later else []
    needing = [] if order.every else [order.rank < order.none]
    return sa.select(course.c.id).where(few, *among.filters, *needing, *more).order_by(*order.key).limit(LIMIT)


@cache
def _of_rank(order: _Order, among: Among, rank: int, *, later: bool) -> sa.Select[Any]:
    """The courses in question that have a rank, in the order. An index of its kind holds them so."""
    walked = among.sight.walked
    seen = [] if walked is None else [walked]
    statement = sa.select(course.c.id).where(*order.higher[:rank], *among.filters, *seen).limit(LIMIT)
    if rank == order.none:
        return statement.where(course.c.id > AFTER).order_by(course.c.id)
    since = order.columns[rank]
    more = [sa.tuple_(since, course.c.id) > sa.tuple_(SINCE, AFTER)] if later else []
    return statement.where(since <= NOW, *more).order_by(since, course.c.id)


@cache
def _order(kind: str | None) -> _Order:
    """The order by one kind of need, or by all."""
    return _Order((kind,) if kind else NEEDS, every=kind is None)
