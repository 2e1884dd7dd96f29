"""Sums over the audit log: who had to do with courses, and which rules refused or were overridden."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.marks import PROCESSING
from ipt_workflow.journal.audit import OverriddenRules
from ipt_workflow.store import structs
from ipt_workflow.store.audit import overriding
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.schema.tables import audit_event as event
from ipt_workflow.store.schema.tables import audit_subject as subject
from ipt_workflow.store.schema.tables import entry


class AccessSum(msgspec.Struct, frozen=True, kw_only=True):
    """How often one person did one kind of thing with these courses in one role, on one basis, for one purpose.

    `kind` is `transition`, or a kind of event; `action` is that of an event.
    """

    kind: str
    action: str | None
    person: str
    role: str
    basis: str | None
    purpose: str | None
    rules: str | None
    times: int
    first_at: dt.datetime
    last_at: dt.datetime


class RuleSum(msgspec.Struct, frozen=True, kw_only=True):
    """How often the same rules together refused the same trigger on one course, or were overridden there. `course` may be missing."""

    rules: tuple[str, ...]
    trigger: str
    course: str | None
    times: int
    last_at: dt.datetime


OUTCOMES_OF_DELIVERY = ("delivered", "dead", "withheld")  # the action of a delivery begins with one of these, and names its event


def accesses(
    connection: sa.Connection,
    organisation: str,
    courses: Sequence[str],
    limit: int | None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
) -> list[AccessSum]:
    """Who read, wrote or tried to see any of these courses, and why they might: the last first. Deliveries to one subscriber are one sum."""
    touching = sa.select(subject.c.event_id).where(
        subject.c.organisation == organisation, one_of(subject.c.course_id, "courses", list(courses))[connection.dialect.name]
    )
    shared = ("person", "role", "basis", "purpose")
    kind = sa.cast(event.c.kind, sa.String).label("kind")
    keys = (kind, _action.label("action"), *(event.c[name] for name in shared), event.c.rules)
    of_events = _summed(event, keys, by=[kind, _action, *(event.c[name] for name in shared), event.c.rules])
    of_events = of_events.where(event.c.organisation == organisation, event.c.id.in_(touching), *_between(event, since, until))
    written = (
        sa.literal_column("'transition'", sa.String).label("kind"),
        sa.cast(sa.null(), sa.String).label("action"),
        *(entry.c[name] for name in shared),
        sa.cast(sa.null(), sa.String).label("rules"),
    )
    of_entries = _summed(entry, written, by=[entry.c[name] for name in shared]).where(
        entry.c.organisation == organisation,
        one_of(entry.c.course_id, "courses", list(courses))[connection.dialect.name],
        *_between(entry, since, until),
    )
    both = sa.union_all(of_events, of_entries).subquery()
    return structs.read_all(connection, sa.select(both).order_by(both.c.last_at.desc(), both.c.person).limit(limit), AccessSum)


def _begins(outcome: str) -> sa.ColumnElement[bool]:
    """Whether an action says that this became of a delivery. Without parameters, since a database groups by it."""
    begins = sa.func.substr(event.c.action, sa.literal_column("1"), sa.literal_column(str(len(outcome) + 1)))
    return sa.and_(event.c.kind == sa.literal_column("'delivery'"), begins == sa.literal_column(f"'{outcome} '"))


_action = sa.case(
    *((_begins(outcome), sa.literal_column(f"'{outcome}'", sa.String)) for outcome in OUTCOMES_OF_DELIVERY), else_=event.c.action
)


def _between(table: sa.Table, since: dt.datetime | None, until: dt.datetime | None) -> list[sa.ColumnElement[bool]]:
    at = table.c.recorded_at
    return [*([] if since is None else [at >= since]), *([] if until is None else [at < until])]


def _summed(table: sa.Table, columns: Sequence[sa.ColumnElement[Any]], by: Sequence[sa.ColumnElement[Any]] = ()) -> sa.Select[Any]:
    at = table.c.recorded_at
    ends = (sa.func.count().label("times"), sa.func.min(at).label("first_at"), sa.func.max(at).label("last_at"))
    return sa.select(*columns, *ends).group_by(*(by or columns))


def refusals(connection: sa.Connection, organisation: str, since: dt.datetime, until: dt.datetime, limit: int) -> list[RuleSum]:
    """Refusals between two moments, by rules, trigger and course: the most frequent first. Those of a processing restriction are no rules'."""
    touched = sa.and_(subject.c.organisation == event.c.organisation, subject.c.event_id == event.c.id)
    keys = (event.c.rules, event.c.action, subject.c.course_id)
    statement = (
        sa.select(*keys, sa.func.count().label("times"), sa.func.max(event.c.recorded_at).label("last_at"))
        .select_from(event.outerjoin(subject, touched))
        .where(
            event.c.organisation == organisation,
            event.c.kind == "refusal",
            event.c.rules.is_not(None),
            ~event.c.rules.startswith(PROCESSING),
            event.c.recorded_at >= since,
            event.c.recorded_at < until,
        )
        .group_by(*keys)
        .order_by(sa.func.count().desc(), event.c.action)
        .limit(limit)
    )
    return [
        RuleSum(rules=tuple(row.rules.split(",")), trigger=row.action, course=row.course_id, times=row.times, last_at=row.last_at)
        for row in connection.execute(statement)
    ]


def overrides(connection: sa.Connection, organisation: str, since: dt.datetime, until: dt.datetime, limit: int) -> list[RuleSum]:
    """Entries between two moments that overrode rules, the last first. Each is counted once."""
    canonical = overriding(connection.dialect.name)
    statement = (
        sa.select(entry.c.trigger, entry.c.course_id, entry.c.recorded_at, entry.c.canonical)
        .where(
            entry.c.organisation == organisation,
            entry.c.recorded_at >= since,
            entry.c.recorded_at < until,
            canonical.is_not(None),
        )
        .order_by(entry.c.recorded_at.desc(), entry.c.id.desc())
        .limit(limit)
    )
    found = [(row, msgspec.json.decode(row.canonical, type=OverriddenRules).overridden) for row in connection.execute(statement)]
    return [
        RuleSum(rules=rules, trigger=row.trigger, course=row.course_id, times=1, last_at=row.recorded_at)
        for row, rules in found
        if rules
    ]
