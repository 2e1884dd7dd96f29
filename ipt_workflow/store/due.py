"""Courses that the attention scan looks at, and the kinds of attention that it has reported."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.course import Course
from ipt_workflow.store.courses import course_decoder
from ipt_workflow.store.schema import tables

course, reported = tables.course, tables.attention_told


class DueCourse(msgspec.Struct, frozen=True):
    """A course to scan. `reported` are the kinds that were reported and have not ended. `first`: it was never scanned before."""

    course: Course
    reported: tuple[str, ...]
    first: bool


def find(connection: sa.Connection, organisation: str, now: dt.datetime, limit: int) -> list[DueCourse]:
    """Courses with something due or already reported, if they changed or another deadline passed since the last scan."""
    joined = course.outerjoin(
        reported, sa.and_(reported.c.organisation == course.c.organisation, reported.c.course_id == course.c.id)
    )
    relevant = sa.or_(*(course.c[f"{kind}_from"] <= now for kind in tables.REPORTED), reported.c.kinds != "")
    changed = sa.or_(reported.c.version.is_(None), reported.c.version != course.c.version, reported.c.next_at <= now)
    rows = connection.execute(
        sa.select(course.c.snapshot, reported.c.kinds)
        .select_from(joined)
        .where(course.c.organisation == organisation, relevant, changed)
        .order_by(course.c.id)
        .limit(limit)
    )
    return [
        DueCourse(
            course_decoder.decode(row.snapshot), tuple(kind for kind in (row.kinds or "").split(",") if kind), row.kinds is None
        )
        for row in rows
    ]


def record_scan(
    connection: sa.Connection, organisation: str, scanned: DueCourse, kinds: tuple[str, ...], next_at: dt.datetime | None
) -> None:
    """Records the kinds that are in force for the scanned course, and when to scan it again."""
    values: dict[str, Any] = {"version": scanned.course.version, "kinds": ",".join(kinds), "next_at": next_at}
    if scanned.first:
        connection.execute(sa.insert(reported), {"organisation": organisation, "course_id": scanned.course.id, **values})
    else:
        where = (reported.c.organisation == organisation, reported.c.course_id == scanned.course.id)
        connection.execute(sa.update(reported).where(*where).values(**values))
