"""What courses ask attention for that their own rows do not hold: waiting notices, emergency accesses that nobody has reviewed, and a
therapist who is no person here.
"""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from ipt_workflow.access.break_glass import REVIEW_WITHIN
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store import roles
from ipt_workflow.store.schema.tables import course, emergency_access, emergency_review, notice, person

EMERGENCY, OVERDUE = "emergency", "emergency_overdue"  # the kinds of attention
BESIDE_THE_ROW = frozenset({"notices", EMERGENCY, OVERDUE})  # the kinds without a column of the course

_reviewed = sa.exists().where(
    emergency_review.c.organisation == emergency_access.c.organisation, emergency_review.c.access_id == emergency_access.c.id
)
# Since when the oldest of a course's client has waited.
UNREVIEWED_SINCE: sa.ScalarSelect[Any] = (
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


# A literal, worded as in the partial indexes: with a parameter the databases would not use them.
WAITING: sa.ColumnElement[str] = sa.literal_column("'waiting'")


def _waiting(*more: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """Since when notices wait about a course, or about its client alone. Two queries, since each uses an index of its own."""

    def received(*about: sa.ColumnElement[bool]) -> sa.Select[Any]:
        ours = (notice.c.organisation == course.c.organisation, notice.c.status == WAITING, *more)
        return sa.select(notice.c.received_at.label("at")).where(*ours, *about).correlate(course)

    either = received(notice.c.course_id == course.c.id).union_all(
        received(notice.c.course_id.is_(None), notice.c.client_id == course.c.client_id)
    )
    return sa.select(sa.func.min(either.subquery("waiting").c.at)).scalar_subquery()


ATTENTION_OF_NOTICES = (_waiting().label("waits_since"), _waiting(notice.c.risk).label("risk_since"))


def needing_ids(organisation: str, kind: str, now: dt.datetime) -> list[sa.Select[Any]]:
    itself = course.alias()
    own = sa.select(itself.c.id).where(itself.c.organisation == organisation)
    by_itself = [] if kind in BESIDE_THE_ROW else [own.where(itself.c[f"{kind}_from"] <= now)]
    return [*_by_others(organisation, kind, now), *by_itself]


def needing(organisation: str, kind: str, now: dt.datetime) -> sa.ColumnElement[bool]:
    """The condition that a course needs attention: by itself, or for something that its own row does not hold."""
    by_itself = [] if kind in BESIDE_THE_ROW else [course.c[f"{kind}_from"] <= now]
    return sa.or_(*by_itself, *(course.c.id.in_(select) for select in _by_others(organisation, kind, now)))


def _by_others(organisation: str, kind: str, now: dt.datetime) -> tuple[sa.Select[Any], ...]:
    """The courses that need attention of a kind for something that their own rows do not hold."""
    if kind in {EMERGENCY, OVERDUE}:
        return (courses_asking(organisation, kind, now),)
    if kind == "unassigned":
        return (_without_therapist(organisation),)
    if kind == "notices":
        return _with_notices(organisation)
    return _with_notices(organisation, notice.c.risk) if kind == "risk" else ()


def _with_notices(organisation: str, *more: sa.ColumnElement[bool]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The courses that waiting notices name, and the courses of clients that waiting notices name without a course."""
    waiting = (notice.c.organisation == organisation, notice.c.status == WAITING, *more)
    theirs = course.alias()
    clients = sa.select(notice.c.client_id).where(notice.c.course_id.is_(None), *waiting)
    return (
        sa.select(notice.c.course_id.label("id")).where(notice.c.course_id.is_not(None), *waiting),
        sa.select(theirs.c.id).where(theirs.c.organisation == organisation, theirs.c.client_id.in_(clients)),
    )


def _without_therapist(organisation: str) -> sa.Select[Any]:
    """The open courses whose therapist is no person who may give therapy here, as `access.people.unassigned_since` says it.

    Therapists are few and courses many, so each therapist is looked up once.
    """
    theirs, named = course.alias(), course.alias()
    therapist = sa.select(named.c.therapist).where(named.c.organisation == organisation).distinct().subquery()
    here = sa.select(person.c.id).where(person.c.organisation == organisation, roles.acts_as("therapist")).correlate(None)
    strangers = sa.select(therapist.c.therapist).where(therapist.c.therapist.is_not(None), therapist.c.therapist.not_in(here))
    its = (theirs.c.organisation == organisation, theirs.c.state.not_in(ENDED), theirs.c.therapist.in_(strangers))
    return sa.select(theirs.c.id).where(*its)
