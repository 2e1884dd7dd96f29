"""Who may see a course, and why, as SQL: for lists, and for the ties of a person to single courses. `access/relations.py` decides by them.

Each tie is one statement that finds the courses so tied. `relations_of` asks it of single courses, and `sight` of all. It first finds
which kinds of tie the person has at all: most have none, and then their own courses are all they see.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Relation, Ties, Viewer, relation
from ipt_workflow.store import processing
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


ORGANISATION = sa.bindparam("organisation", type_=course.c.organisation.type)
VIEWER = sa.bindparam("viewer", type_=course.c.therapist.type)
NOW = sa.bindparam("now", type_=cover.c.ends_at.type)
EMERGENCY = "emergency"


def _tied(*, supervises: bool) -> _Tied:
    """The ties of whoever the parameters of a statement say."""
    return _Tied(ORGANISATION, VIEWER, NOW, supervises=supervises)


@cache
def _ties_held(*, supervises: bool) -> sa.Select[Any]:
    """Which kinds of tie the viewer has to any course. It is made once, since making it takes longer than running it."""
    tied = _tied(supervises=supervises)
    ties = {**tied.kinds, EMERGENCY: tied.emergency}
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


_supervisees = supervisees(ORGANISATION, VIEWER)


def supervisees_of(connection: sa.Connection, organisation: str, supervisor: str) -> frozenset[str]:
    found = connection.execute(_supervisees, {"organisation": organisation, "viewer": supervisor})
    return frozenset(row.person for row in found)


def relations_of(
    connection: sa.Connection, organisation: str, who: Viewer, ids: Sequence[str], now: dt.datetime, *, processed: bool = False
) -> dict[str, Relation]:
    """How a person is related to each of these courses at this moment, as far as the courses exist for them.

    With `processed`, as if no processing was restricted.
    """
    statement = _ties_to(supervises=who.sees_supervisees)
    related = {}
    for row in connection.execute(statement, {**values(organisation, who, now), "ids": list(ids)}).mappings():
        ties = Ties(**{kind: bool(found) for kind, found in row.items() if kind not in _DECIDING})
        deciding = {name: row[name] for name in ("restricted", "shared", "processing")}
        related[row["id"]] = relation(who, row["therapist"], ties, **(deciding | ({"processing": None} if processed else {})))
    return {course_id: found for course_id, found in related.items() if found}


_DECIDING = ("id", "therapist", "restricted", "shared", "processing")  # what decides of a course beside the ties to it


@cache
def _ties_to(*, supervises: bool) -> sa.Select[Any]:
    """Each of the courses in the parameter `ids` with the ties of the viewer to it."""
    tied = _tied(supervises=supervises)
    kinds = {"named": tied.named, EMERGENCY: tied.emergency, **tied.kinds}
    columns = [course.c.id.in_(ids_of()).label(kind) for kind, ids_of in kinds.items()]
    statement = sa.select(*(course.c[name] for name in _DECIDING[:-1]), processing.ground_of(), *columns)
    return statement.where(course.c.organisation == ORGANISATION, course.c.id.in_(sa.bindparam("ids", expanding=True)))


class Sight(msgspec.Struct, frozen=True):
    """What somebody may see at a moment: every course, or those that meet a condition whose parameters are `values`.

    It decides the text of a statement, so statements are made once for each sight.
    `rule` is how it is decided; `ties` are the kinds of tie that open courses beside the person's own. `restricting`: processing is
    restricted of some clients, so only who treats them sees their courses.
    """

    rule: Literal["everything", "shared", "nothing", "organisation", "tied"]
    ties: tuple[str, ...] = ()
    supervises: bool = False
    restricting: bool = False

    @property
    def condition(self) -> sa.ColumnElement[bool] | None:
        """The condition on `course` that the viewer may see it; None if they see every course."""
        found: sa.ColumnElement[bool] | None = _condition(self)
        return found

    @property
    def walked(self) -> sa.ColumnElement[bool] | None:
        """The same, to be asked of course after course. It lists none but those that the viewer is tied to."""
        found: sa.ColumnElement[bool] | None = _walked(self)
        return found

    @property
    def own_only(self) -> bool:
        """Whether they see the courses whose therapist they are, and no others."""
        return self.rule == "tied" and not self.ties

    @property
    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """That a course is one of the organisation that the viewer may see."""
        return [course.c.organisation == ORGANISATION, *([] if self.condition is None else [self.condition])]

    def some(self, limit: sa.BindParameter[int], *which: sa.ColumnElement[bool]) -> Ids:
        """The ids of some of the courses that the viewer may see, in no order. `which` has literals on the columns of a course."""
        if self.rule == "tied" and not self.own_only:
            return sa.select(_reached(self, *which).c.id).limit(
                limit
            )  # of the whole condition, SQLite would list every course first
        return sa.select(course.c.id).where(*self.conditions, *which).limit(limit)

    @property
    def ids(self) -> Ids | None:
        """The ids of the courses that the viewer may see; None if they see every course."""
        return None if self.condition is None else sa.select(course.c.id).where(*self.conditions)


EVERYTHING = Sight("everything")


def values(organisation: str, who: Viewer, now: dt.datetime) -> dict[str, Any]:
    """The values of the parameters of whatever is seen by somebody at this moment."""
    return {"organisation": organisation, "viewer": who.person, "now": now}


def sight(connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime) -> Sight:
    """What a person may see at this moment."""
    if not (who.unrestricted or who.has_ties):
        return Sight("nothing")
    if who.has_ties and not who.sees_organisation:
        asked = values(organisation, who, now)
        found = connection.execute(_ties_held(supervises=who.sees_supervisees), asked).mappings().one()
        ties = tuple(kind for kind, held in found.items() if held)
        return Sight("tied", ties, who.sees_supervisees, bool(ties) and processing.any_in_force(connection, organisation))
    restricting = processing.any_in_force(connection, organisation)
    if who.has_ties:
        return Sight("organisation", restricting=restricting)
    return Sight("shared" if who.bound_by_sharing else "everything", restricting=restricting)


@cache
def _condition(seen: Sight) -> Any:
    free = processing.free(course, ORGANISATION) if seen.restricting else sa.true()
    if seen.rule == "everything":
        return free if seen.restricting else None
    if seen.rule == "shared":
        return sa.and_(course.c.shared, free)
    if seen.rule == "nothing":
        return sa.false()
    tied, own = _tied(supervises=seen.supervises), course.c.therapist == VIEWER
    if seen.rule == "organisation":
        admitted = sa.or_(~course.c.restricted, course.c.id.in_(tied.named()))
        if not seen.restricting:
            return sa.or_(admitted, own, course.c.id.in_(tied.emergency()))
        treating = sa.or_(free, course.c.id.in_(tied.covers()))
        return sa.or_(sa.and_(admitted, treating), own, course.c.id.in_(tied.emergency()))
    if seen.own_only:
        return own
    return course.c.id.in_(sa.select(_reached(seen).c.id))


def _reached(seen: Sight, *which: sa.ColumnElement[bool]) -> Any:
    """The ids of the courses that a tied viewer sees, as one statement: beside an OR, no database would use the index of therapists."""
    tied, itself = _tied(supervises=seen.supervises), course.alias()
    ours = sa.select(itself.c.id).where(itself.c.organisation == ORGANISATION, *which)
    return sa.union_all(
        ours.where(itself.c.therapist == VIEWER),
        *(ours.where(*_by_tie(seen, tied, kind, itself)) for kind in seen.ties if kind in tied.kinds),
        *([ours.where(itself.c.id.in_(tied.emergency()))] if EMERGENCY in seen.ties else []),
    ).subquery()


def _by_tie(seen: Sight, tied: _Tied, kind: str, courses: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """The conditions that a lasting tie opens a course."""
    admitted = sa.or_(~courses.c.restricted, courses.c.id.in_(tied.named()))
    free = [processing.free(courses, ORGANISATION)] if seen.restricting and kind != "covers" else []
    return courses.c.id.in_(tied.kinds[kind]()), admitted, *free


@cache
def _walked(seen: Sight) -> Any:
    if seen.rule != "tied" or seen.own_only:
        return seen.condition
    tied = _tied(supervises=seen.supervises)
    by_ties = [sa.and_(*_by_tie(seen, tied, kind, course)) for kind in seen.ties if kind in tied.kinds]
    opened = [course.c.id.in_(tied.emergency())] if EMERGENCY in seen.ties else []
    return sa.or_(course.c.therapist == VIEWER, *by_ties, *opened)


_any_restricted = (
    sa.select(restriction.c.id).where(restriction.c.organisation == ORGANISATION, restriction.c.ended_at.is_(None)).limit(1)
)


def hides_any(connection: sa.Connection, organisation: str, who: Viewer) -> bool:
    """Whether there are courses in the organisation that the person may not see, as far as a restriction or their role says.

    A processing restriction hides none of the log from an auditor: it is how it is proved.
    """
    if who.unrestricted:
        return False
    if not who.sees_organisation or processing.any_in_force(connection, organisation):
        return True
    return connection.execute(_any_restricted, {"organisation": organisation}).first() is not None
