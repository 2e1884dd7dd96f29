"""Who may see a course, and why, as SQL: for lists, and for the ties of a person to single courses. `access/relations.py` decides by them.

Each tie is one statement that finds the courses so tied. `relations_of` asks it of single courses, and `sight` of all. It first finds
which kinds of tie the person has at all: most have none, and then their own courses are all they see.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Relation, Ties, Viewer, relation
from ipt_workflow.store.schema.tables import (
    course,
    cover,
    cover_course,
    emergency_access,
    emergency_end,
    group_facilitator,
    group_member,
    person_supervisor,
    restriction,
    restriction_person,
)

Ids = sa.Select[tuple[str]]
Value = Any  # of a column, or the parameter of a statement


class _Tied:
    """The ids of the courses that one person is tied to, by kind of tie. Who it is, where and when may be parameters."""

    def __init__(self, organisation: Value, person: Value, now: Value, *, supervises: bool) -> None:
        self.organisation, self.person, self.now = organisation, person, now
        self.kinds: dict[str, Callable[[], Ids]] = {"facilitates": self.facilitates, "covers": self.covers}
        if supervises:
            self.kinds["supervises"] = self.supervises

    def named(self) -> Ids:
        """The restricted courses that admit the person."""
        admitted = restriction.join(
            restriction_person,
            sa.and_(
                restriction_person.c.organisation == restriction.c.organisation,
                restriction_person.c.restriction_id == restriction.c.id,
            ),
        )
        return (
            sa.select(restriction.c.course_id)
            .select_from(admitted)
            .where(
                restriction_person.c.organisation == self.organisation,
                restriction_person.c.person == self.person,
                restriction.c.ended_at.is_(None),
            )
        )

    def emergency(self) -> Ids:
        """The courses of the clients to whose courses the person has emergency access at this moment."""
        opened = course.alias()
        ended = sa.exists().where(
            emergency_end.c.organisation == emergency_access.c.organisation, emergency_end.c.access_id == emergency_access.c.id
        )
        theirs = sa.and_(
            opened.c.organisation == emergency_access.c.organisation, opened.c.client_id == emergency_access.c.client_id
        )
        return (
            sa.select(opened.c.id)
            .select_from(emergency_access.join(opened, theirs))
            .where(
                emergency_access.c.organisation == self.organisation,
                emergency_access.c.person == self.person,
                emergency_access.c.starts_at <= self.now,
                emergency_access.c.ends_at > self.now,
                ~ended,
            )
        )

    def facilitates(self) -> Ids:
        """The courses that are now in a group which the person facilitates now."""
        later = group_member.alias()
        moved_on = sa.exists().where(
            later.c.organisation == group_member.c.organisation,
            later.c.course_id == group_member.c.course_id,
            later.c.nth > group_member.c.nth,
        )
        return sa.select(group_member.c.course_id).where(
            group_member.c.organisation == self.organisation,
            group_member.c.group_id.in_(facilitated(self.organisation, self.person)),
            group_member.c.joined,
            ~moved_on,
        )

    def covers(self) -> Ids:
        """The courses that the person covers at this moment. A course that has another therapist since is covered no more."""
        now_in_force = (
            cover.c.organisation == self.organisation,
            cover.c.colleague == self.person,
            cover.c.starts_at <= self.now,
            cover.c.ends_at > self.now,
            cover.c.ended_at.is_(None),
        )
        covered = course.alias()
        theirs = sa.and_(covered.c.organisation == cover.c.organisation, covered.c.therapist == cover.c.therapist)
        listed = sa.and_(cover_course.c.organisation == cover.c.organisation, cover_course.c.cover_id == cover.c.id)
        every = sa.select(covered.c.id).select_from(cover.join(covered, theirs)).where(*now_in_force, cover.c.everything)
        single = (
            sa.select(covered.c.id)
            .select_from(cover.join(cover_course, listed).join(covered, sa.and_(theirs, covered.c.id == cover_course.c.course_id)))
            .where(*now_in_force)
        )
        either = every.union_all(single).subquery()
        return sa.select(either.c.id)

    def supervises(self) -> Ids:
        """The courses of the people whom the person supervises."""
        supervised = course.alias()
        return sa.select(supervised.c.id).where(
            supervised.c.organisation == self.organisation, supervised.c.therapist.in_(supervisees(self.organisation, self.person))
        )


@cache
def _ties_held(*, supervises: bool) -> sa.Select[Any]:
    """Which kinds of tie the parameter `person` has to any course. It is made once, since making it takes longer than running it."""
    now = sa.bindparam("now", type_=cover.c.ends_at.type)
    tied = _Tied(sa.bindparam("organisation"), sa.bindparam("person"), now, supervises=supervises)
    ties = {**tied.kinds, "emergency": tied.emergency}
    held: sa.Select[Any] = sa.select(*(sa.exists(ids_of()).label(kind) for kind, ids_of in ties.items()))  # type: ignore[assignment]
    return held


def facilitated(organisation: Value, *people: Value) -> Ids:
    """The groups that any of these people facilitates: the latest line that names facilitators names one of them."""
    later = group_facilitator.alias()
    replaced = sa.exists().where(
        later.c.organisation == group_facilitator.c.organisation,
        later.c.group_id == group_facilitator.c.group_id,
        later.c.seq > group_facilitator.c.seq,
    )
    return sa.select(group_facilitator.c.group_id).where(
        group_facilitator.c.organisation == organisation, group_facilitator.c.person.in_(people), ~replaced
    )


def supervisees(organisation: Value, supervisor: Value) -> Ids:
    """The people whom a person supervises."""
    return sa.select(person_supervisor.c.person).where(
        person_supervisor.c.organisation == organisation, person_supervisor.c.supervisor == supervisor
    )


def supervisees_of(connection: sa.Connection, organisation: str, supervisor: str) -> frozenset[str]:
    return frozenset(row.person for row in connection.execute(supervisees(organisation, supervisor)))


def relations_of(
    connection: sa.Connection, organisation: str, who: Viewer, ids: Sequence[str], now: dt.datetime
) -> dict[str, Relation]:
    """How a person is related to each of these courses at this moment, as far as the courses exist for them."""
    tied = _Tied(organisation, who.person, now, supervises=who.sees_supervisees)
    kinds = {"named": tied.named, "emergency": tied.emergency, **tied.kinds}
    columns = [course.c.id.in_(ids_of()).label(kind) for kind, ids_of in kinds.items()]
    statement = sa.select(course.c.id, course.c.therapist, course.c.restricted, course.c.shared, *columns)
    related = {}
    for row in connection.execute(statement.where(course.c.organisation == organisation, course.c.id.in_(ids))).mappings():
        ties = Ties(**{kind: bool(row[kind]) for kind in kinds})
        related[row["id"]] = relation(who, row["therapist"], ties, restricted=row["restricted"], shared=row["shared"])
    return {course_id: found for course_id, found in related.items() if found}


class Sight(msgspec.Struct, frozen=True):
    """The condition on `course` that a person may see it; None if they see every course. `own_only`: that they are its therapist."""

    condition: sa.ColumnElement[bool] | None
    own_only: bool = False


def sight(connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime) -> Sight:
    """What a person may see at this moment."""
    if who.unrestricted:
        return Sight(course.c.shared if who.bound_by_sharing else None)
    if not who.has_ties:
        return Sight(sa.false())
    tied = _Tied(organisation, who.person, now, supervises=who.sees_supervisees)
    own = course.c.therapist == who.person
    if who.sees_organisation:
        return Sight(sa.or_(~course.c.restricted, own, course.c.id.in_(tied.named()), course.c.id.in_(tied.emergency())))
    asked = {"organisation": organisation, "person": who.person, "now": now}
    found = connection.execute(_ties_held(supervises=who.sees_supervisees), asked).mappings().one()
    kinds = [ids_of() for kind, ids_of in tied.kinds.items() if found[kind]]
    opened = [tied.emergency()] if found["emergency"] else []
    if not kinds and not opened:
        return Sight(own, own_only=True)
    itself = course.alias()  # the ids in one statement: beside an OR, no database would use the index of therapists
    ours = sa.select(itself.c.id).where(itself.c.organisation == organisation)
    admitted = sa.or_(~itself.c.restricted, itself.c.id.in_(tied.named()))
    either = sa.union_all(
        ours.where(itself.c.therapist == who.person),
        *(ours.where(itself.c.id.in_(ids), admitted) for ids in kinds),
        *(ours.where(itself.c.id.in_(ids)) for ids in opened),
    ).subquery()
    return Sight(course.c.id.in_(sa.select(either.c.id)))


def visible_ids(connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime) -> Ids | None:
    """The ids of the courses that a person may see at this moment; None if they see every course."""
    condition = sight(connection, organisation, who, now).condition
    return None if condition is None else sa.select(course.c.id).where(course.c.organisation == organisation, condition)


def hides_any(connection: sa.Connection, organisation: str, who: Viewer) -> bool:
    """Whether there are courses in the organisation that the person may not see, as far as a restriction or their role says."""
    if who.unrestricted:
        return False
    if not who.sees_organisation:
        return True
    restricted = sa.select(restriction.c.id).where(restriction.c.organisation == organisation, restriction.c.ended_at.is_(None))
    return connection.execute(restricted.limit(1)).first() is not None
