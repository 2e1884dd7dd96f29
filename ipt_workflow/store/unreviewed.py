"""Emergency accesses that nobody has reviewed, as attention of the courses that they opened."""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from ipt_workflow.access.break_glass import REVIEW_WITHIN
from ipt_workflow.store.schema.tables import course, emergency_access, emergency_review

EMERGENCY, OVERDUE = "emergency", "emergency_overdue"  # the kinds of attention

_reviewed = sa.exists().where(
    emergency_review.c.organisation == emergency_access.c.organisation, emergency_review.c.access_id == emergency_access.c.id
)
# Since when the oldest of a course's client has waited.
SINCE: sa.ScalarSelect[Any] = (
    sa.select(sa.func.min(emergency_access.c.starts_at))
    .where(emergency_access.c.organisation == course.c.organisation, emergency_access.c.client_id == course.c.client_id, ~_reviewed)
    .correlate(course)
    .scalar_subquery()
)


def kinds_since(oldest: dt.datetime | None) -> dict[str, dt.datetime]:
    """Since when each kind asks for attention, of a course whose oldest access has waited since then."""
    return {} if oldest is None else {EMERGENCY: oldest, OVERDUE: oldest + REVIEW_WITHIN}


def courses_asking(organisation: str, kind: str, now: dt.datetime) -> sa.Select[tuple[str]]:
    """The ids of the courses that ask for attention of one of the kinds."""
    before = now - REVIEW_WITHIN if kind == OVERDUE else now
    opened = course.alias()
    theirs = sa.and_(opened.c.organisation == emergency_access.c.organisation, opened.c.client_id == emergency_access.c.client_id)
    waiting = sa.select(opened.c.id).select_from(emergency_access.join(opened, theirs))
    return waiting.where(emergency_access.c.organisation == organisation, emergency_access.c.starts_at <= before, ~_reviewed)
