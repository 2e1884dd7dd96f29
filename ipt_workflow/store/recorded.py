"""Where entries lie in time: the journal of all courses, the latest entry first."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.store import relations
from ipt_workflow.store.audit import Position
from ipt_workflow.store.schema.tables import entry
from ipt_workflow.store.structs import columns, read_all


class PlaceInTime(msgspec.Struct, frozen=True):
    """An entry without its content."""

    course_id: str
    seq: int
    recorded_at: dt.datetime
    id: str


def newest_entries(
    connection: sa.Connection,
    organisation: str,
    who: Viewer,
    now: dt.datetime,
    since: dt.datetime | None,
    before: Position,
    limit: int,
) -> list[PlaceInTime]:
    """A page of entries before a position, the latest first: of the courses that the viewer may see at this moment."""
    all_entries = sa.select(*columns(entry, PlaceInTime)).where(entry.c.organisation == organisation)
    source: Any = entry.c
    theirs = relations.sight(connection, organisation, who, now).ids
    if theirs is not None and who.sees_organisation:
        all_entries = all_entries.where(entry.c.course_id.in_(theirs))
    elif theirs is not None:
        # Read by course, then sorted: a walk through time would meet those of all other courses.
        source = all_entries.where(entry.c.course_id.in_(theirs)).cte().prefix_with("MATERIALIZED").c
        all_entries = sa.select(*(source[name] for name in PlaceInTime.__struct_fields__))
    statement = all_entries.where(source.recorded_at <= before.at, sa.or_(source.recorded_at < before.at, source.id < before.id))
    if since is not None:
        statement = statement.where(source.recorded_at >= since)
    ordered = statement.order_by(source.recorded_at.desc(), source.id.desc()).limit(limit)
    return read_all(connection, ordered, PlaceInTime, relations.values(organisation, who, now))
