"""Where entries lie in time: the journal of all courses, the latest entry first."""

import datetime as dt
from typing import Any

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
    all_entries = sa.select(*columns(entry, PlaceInTime)).where(entry.c.organisation == organisation)
    source: Any = entry.c
    if therapist is not None:
        theirs = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.therapist == therapist)
        # Read by course, then sorted: a walk through time would meet those of all other courses.
        source = all_entries.where(entry.c.course_id.in_(theirs)).cte().prefix_with("MATERIALIZED").c
        all_entries = sa.select(*(source[name] for name in PlaceInTime.__struct_fields__))
    statement = all_entries.where(source.recorded_at <= before.at, sa.or_(source.recorded_at < before.at, source.id < before.id))
    if since is not None:
        statement = statement.where(source.recorded_at >= since)
    ordered = statement.order_by(source.recorded_at.desc(), source.id.desc()).limit(limit)
    return read_all(connection, ordered, PlaceInTime)
