"""Who has looked at a course, by the events of the audit log."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.relations import ORGANISATION
from ipt_workflow.store.schema.tables import audit_event as event
from ipt_workflow.store.schema.tables import audit_subject as subject

EVENTS_MAX = 1000  # of one course, the latest: so many are counted
READERS_MAX = 50  # the latest


class CourseLook(msgspec.Struct, frozen=True, kw_only=True):
    """How often somebody looked at a course on one basis, and when last."""

    person: str
    role: str
    basis: str | None
    last_at: dt.datetime
    times: int


def of_course(connection: sa.Connection, organisation: str, course_id: str, since: dt.datetime) -> list[CourseLook]:
    """Who looked at a course since a moment, the last one first."""
    return structs.read_all(connection, _looks, CourseLook, {"organisation": organisation, "course": course_id, "since": since})


_ours = (subject.c.organisation == ORGANISATION, subject.c.course_id == sa.bindparam("course"))
_latest = sa.select(subject.c.event_id).where(*_ours).order_by(subject.c.event_id.desc()).limit(EVENTS_MAX).subquery()
_last_at = sa.func.max(event.c.recorded_at).label("last_at")
_by = (event.c.person, event.c.role, event.c.basis)
_since: sa.BindParameter[dt.datetime] = sa.bindparam("since", type_=event.c.recorded_at.type)
_looks: sa.Select[Any] = (
    sa.select(*_by, _last_at, sa.func.count().label("times"))
    .select_from(_latest.join(event, event.c.id == _latest.c.event_id))
    .where(event.c.organisation == ORGANISATION, event.c.kind.in_(("read", "export")), event.c.recorded_at >= _since)
    .group_by(*_by)
    .order_by(_last_at.desc(), event.c.person)
    .limit(READERS_MAX)
)
