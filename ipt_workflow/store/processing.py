"""Processing restrictions and objections, as every statement about courses asks for them: whose courses, and on what ground."""

from collections.abc import Collection
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema.tables import client_mark as mark
from ipt_workflow.store.schema.tables import course

# Worded as in the partial index: with a parameter the databases would not use it.
_RESTRICTION: sa.ColumnElement[bool] = sa.and_(mark.c.kind == sa.literal_column("'restriction'"), mark.c.ended_at.is_(None))
_OBJECTION: sa.ColumnElement[bool] = sa.and_(mark.c.kind == sa.literal_column("'objection'"), mark.c.ended_at.is_(None))


def ground_of(courses: Any = course) -> sa.Label[Any]:
    """The ground of the restriction in force on a course's client; null if there is none."""
    theirs = (mark.c.organisation == courses.c.organisation, mark.c.client_id == courses.c.client_id)
    found = sa.select(sa.func.min(mark.c.ground)).where(*theirs, _RESTRICTION).correlate(courses)
    return found.scalar_subquery().label("processing")


def objected() -> sa.Label[Any]:
    """Whether a course's client objects to secondary use."""
    theirs = (mark.c.organisation == course.c.organisation, mark.c.client_id == course.c.client_id)
    return sa.exists().where(*theirs, _OBJECTION).correlate(course).label("objected")


class CourseStanding(msgspec.Struct, frozen=True):
    """What may change whether a course is shown to others: its version, and the marks on its client."""

    version: int
    processing: str | None = None
    objected: bool = False


def standing(_id: str, version: int, ground: str | None, objection: bool) -> CourseStanding:
    return CourseStanding(version, ground, objection)


def free(courses: Any, organisation: Any) -> sa.ColumnElement[bool]:
    """The condition that no restriction is in force on a course's client. The restricted clients are few, and listed once."""
    condition: sa.ColumnElement[bool] = courses.c.client_id.not_in(
        sa.select(mark.c.client_id).where(mark.c.organisation == organisation, _RESTRICTION)
    )
    return condition


@cache
def _any() -> sa.Select[Any]:
    return sa.select(mark.c.id).where(mark.c.organisation == sa.bindparam("organisation"), _RESTRICTION).limit(1)


def any_in_force(connection: sa.Connection, organisation: str) -> bool:
    """Whether processing is restricted of any client of the organisation."""
    return connection.execute(_any(), {"organisation": organisation}).first() is not None


_closed = sa.select(course.c.id).where(
    course.c.organisation == sa.bindparam("organisation"),
    course.c.client_id.in_(
        sa.select(mark.c.client_id).where(mark.c.organisation == sa.bindparam("organisation"), sa.or_(_RESTRICTION, _OBJECTION))
    ),
)


def closed(connection: sa.Connection, organisation: str) -> frozenset[str]:
    """The courses whose clients object to secondary use, or of whose data processing is restricted: they are few."""
    return frozenset(connection.execute(_closed, {"organisation": organisation}).scalars())


def grounds(connection: sa.Connection, organisation: str, client_id: str) -> list[str]:
    """The grounds of the restrictions in force on a client."""
    where = (mark.c.organisation == organisation, mark.c.client_id == client_id, _RESTRICTION)
    return list(connection.execute(sa.select(mark.c.ground).where(*where).order_by(mark.c.ground)).scalars())


def courses_restricted(connection: sa.Connection, organisation: str, ids: Collection[str]) -> dict[str, str]:
    """Those of these courses whose client's data must not be processed, each with the ground."""
    if not ids or not any_in_force(connection, organisation):
        return {}
    theirs = sa.and_(mark.c.organisation == course.c.organisation, mark.c.client_id == course.c.client_id)
    statement = sa.select(course.c.id, sa.func.min(mark.c.ground).label("ground")).select_from(course.join(mark, theirs))
    where = (course.c.organisation == organisation, course.c.id.in_(ids), _RESTRICTION)
    return {row.id: row.ground for row in connection.execute(statement.where(*where).group_by(course.c.id))}
