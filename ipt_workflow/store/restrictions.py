"""Restricted courses: set, replaced, lifted and read. What was in force before is kept."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema.tables import course, restriction_person
from ipt_workflow.store.schema.tables import restriction as table


class StoredRestriction(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction in force. `people` are those whom it admits beside the course's therapist."""

    id: str
    course_id: str
    people: tuple[str, ...]
    reason: str
    set_by: str
    set_at: dt.datetime


def find(connection: sa.Connection, organisation: str, course_id: str) -> StoredRestriction | None:
    """The restriction of a course that is in force."""
    row = connection.execute(sa.select(table).where(*_in_force(organisation, course_id))).mappings().first()
    if row is None:
        return None
    named = sa.select(restriction_person.c.person).where(
        restriction_person.c.organisation == organisation, restriction_person.c.restriction_id == row["id"]
    )
    people = tuple(connection.execute(named.order_by(restriction_person.c.person)).scalars())
    return StoredRestriction(
        id=row["id"], course_id=course_id, people=people, reason=row["reason"], set_by=row["set_by"], set_at=row["set_at"]
    )


def in_force(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> set[str]:
    """Those of these courses that are restricted."""
    where = (table.c.organisation == organisation, table.c.course_id.in_(course_ids), table.c.ended_at.is_(None))
    return set(connection.execute(sa.select(table.c.course_id).where(*where)).scalars())


def restrict(connection: sa.Connection, organisation: str, new: StoredRestriction) -> None:
    """Restricts a course from now on. A restriction that was in force before ends."""
    end(connection, organisation, new.course_id, new.set_by, new.set_at)
    values = {name: getattr(new, name) for name in ("id", "course_id", "reason", "set_by", "set_at")}
    connection.execute(sa.insert(table), {"organisation": organisation, **values})
    rows = [{"organisation": organisation, "restriction_id": new.id, "person": person} for person in new.people]
    if rows:
        connection.execute(sa.insert(restriction_person), rows)
    _mark(connection, organisation, new.course_id, restricted=True)


def end(connection: sa.Connection, organisation: str, course_id: str, by: str, now: dt.datetime) -> bool:
    """Lifts the restriction of a course. Returns False if there is none."""
    lifted = sa.update(table).where(*_in_force(organisation, course_id)).values(ended_at=now, ended_by=by)
    if connection.execute(lifted).rowcount == 0:
        return False
    _mark(connection, organisation, course_id, restricted=False)
    return True


def copy(connection: sa.Connection, organisation: str, earlier: str, new: str) -> None:
    """Restricts a new course as an earlier one of the client is. The restriction's id is the course's."""
    found = find(connection, organisation, earlier)
    if found is not None:
        restrict(connection, organisation, msgspec.structs.replace(found, id=new, course_id=new))


def _in_force(organisation: str, course_id: str) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.organisation == organisation, table.c.course_id == course_id, table.c.ended_at.is_(None)


def _mark(connection: sa.Connection, organisation: str, course_id: str, *, restricted: bool) -> None:
    where = (course.c.organisation == organisation, course.c.id == course_id)
    connection.execute(sa.update(course).where(*where).values(restricted=restricted))
