"""Courses whose clock may have something to say, and what was told of it already."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.course import Course
from ipt_workflow.store.schema import tables

course, told = tables.course, tables.attention_told
_course_decoder = msgspec.json.Decoder(Course)


class Ticking(msgspec.Struct, frozen=True):
    """A course to look at. `known` are the kinds that were told and hold still; `first` where it was never looked at."""

    course: Course
    known: tuple[str, ...]
    first: bool


def to_look_at(connection: sa.Connection, organisation: str, now: dt.datetime, limit: int) -> list[Ticking]:
    """Courses of which a moment has come, or of which something was told, and that have changed or come due since they were looked at."""
    beside = course.outerjoin(told, sa.and_(told.c.organisation == course.c.organisation, told.c.course_id == course.c.id))
    speaks = sa.or_(course.c.overdue_from <= now, course.c.ending_from <= now, course.c.risk_from <= now, told.c.kinds != "")
    changed = sa.or_(told.c.version.is_(None), told.c.version != course.c.version, told.c.next_at <= now)
    rows = connection.execute(
        sa.select(course.c.snapshot, told.c.kinds)
        .select_from(beside)
        .where(course.c.organisation == organisation, speaks, changed)
        .order_by(course.c.id)
        .limit(limit)
    )
    return [
        Ticking(
            _course_decoder.decode(row.snapshot), tuple(kind for kind in (row.kinds or "").split(",") if kind), row.kinds is None
        )
        for row in rows
    ]


def note(
    connection: sa.Connection, organisation: str, looked: Ticking, kinds: tuple[str, ...], next_at: dt.datetime | None
) -> None:
    """What holds now of the course as it was looked at, and when to look again."""
    values: dict[str, Any] = {"version": looked.course.version, "kinds": ",".join(kinds), "next_at": next_at}
    if looked.first:
        connection.execute(sa.insert(told), {"organisation": organisation, "course_id": looked.course.id, **values})
    else:
        where = (told.c.organisation == organisation, told.c.course_id == looked.course.id)
        connection.execute(sa.update(told).where(*where).values(**values))
