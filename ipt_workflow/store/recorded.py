"""Where entries lie in time: the journal of all courses, the latest entry first."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.audit import Position
from ipt_workflow.store.schema.tables import course, entry
from ipt_workflow.store.structs import columns, read_all


class PlaceInTime(msgspec.Struct, frozen=True):
    """An entry without its content."""

    course_id: str
    seq: int
    recorded_at: dt.datetime
    id: str


def newest_entries(
    connection: sa.Connection, organisation: str, therapist: str | None, since: dt.datetime | None, before: Position, limit: int
) -> list[PlaceInTime]:
    """A page of entries before a position, the latest first. With `therapist`: of the courses that are this therapist's now."""
    statement = sa.select(*columns(entry, PlaceInTime)).where(
        entry.c.organisation == organisation,
        entry.c.recorded_at <= before.at,
        sa.or_(entry.c.recorded_at < before.at, entry.c.id < before.id),
    )
    if therapist is not None:
        theirs = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.therapist == therapist)
        statement = statement.where(entry.c.course_id.in_(theirs))
    if since is not None:
        statement = statement.where(entry.c.recorded_at >= since)
    ordered = statement.order_by(entry.c.recorded_at.desc(), entry.c.id.desc()).limit(limit)
    return read_all(connection, ordered, PlaceInTime)
