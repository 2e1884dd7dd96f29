"""How long data is kept: policies, each with its citation, and what the policies in force say of a record or of a month of the audit log.

A *floor* keeps data at least until its term has passed. A *ceiling* is a term after which data must be gone. Terms are whole days: a term that
ends on a day has passed on the day after. Nothing is ever removed by the clock: it makes a list, and a person decides.
"""

import calendar
import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from ipt_workflow.errors import Fault
from ipt_workflow.values.types import Text, whole

RetentionKind = Literal["record", "access_log", "disclosure_log"]
ReapedLog = Literal["access_log", "disclosure_log"]
Anchor = Literal["last_contact", "death", "majority", "recorded"]
Bound = Literal["floor", "ceiling"]
Verified = Literal["law", "secondary", "no"]
KINDS: tuple[RetentionKind, ...] = get_args(RetentionKind)
# What a policy of each kind is about, in words, and from what it may count.
MEANS: Mapping[RetentionKind, str] = {
    "record": "a client's record: what was written about them, and their reference",
    "access_log": "the audit log of who read, who was refused and who signed in",
    "disclosure_log": "the audit log of exports and deliveries",
}
ANCHORS: Mapping[RetentionKind, tuple[Anchor, ...]] = {
    "record": ("last_contact", "death", "majority"),
    "access_log": ("recorded",),
    "disclosure_log": ("recorded",),
}
# The kinds of audit records that are reaped with a month. Deeds stay: what was configured, and who was given access.
REAPED: Mapping[ReapedLog, tuple[str, ...]] = {
    "access_log": ("read", "refusal", "sign_in"),
    "disclosure_log": ("export", "delivery"),
}
MAJORITY = 18  # the birthday from which a policy anchored at majority counts
PERIOD = r"P(?=[0-9])([0-9]{1,3}Y)?([0-9]{1,3}M)?"
_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")


class NewRetentionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy. `jurisdiction` is a code of ISO 3166, as GB-ENG. `period` is an ISO 8601 duration of years and months, as P10Y.

    `anchor` is what the period counts from: the last contact with the client, their death, their 18th birthday, or the time of a record of
    the audit log. `verified` says whether the citation was read in the law itself, in a secondary source, or not at all.
    """

    name: Annotated[str, Meta(pattern=whole(r"[a-z0-9][a-z0-9-]{0,62}"))]
    kind: RetentionKind
    jurisdiction: Annotated[str, Meta(pattern=whole(r"[A-Z]{2}(-[A-Z0-9]{1,3})?"))]
    bound: Bound
    period: Annotated[str, Meta(pattern=whole(PERIOD))]
    anchor: Anchor
    citation: Annotated[str, Meta(min_length=1, max_length=500)]
    verified: Verified = "no"
    note: Text | None = None

    @property
    def months(self) -> int:
        """The length of the period."""
        return months_of(self.period)


class RecordFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the terms of a client's record count from. `death` and `born` are None where they are not known."""

    last_contact: dt.date
    death: dt.date | None = None
    born: dt.date | None = None


class RetentionTerm(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says of one thing: kept until this day, or gone after it. `until` is None if what it counts from is not known."""

    policy: str
    bound: Bound
    until: dt.date | None


def months_of(period: str) -> int:
    """The months of a period such as `P1Y6M`."""
    found = _PERIOD.fullmatch(period)
    assert found is not None  # the pattern of the field
    years, months = (int(each or 0) for each in found.groups())
    return 12 * years + months


def after(day: dt.date, months: int) -> dt.date:
    """The day so many months after another. Where that month has no such day, it is the last of the month."""
    year, month = divmod(12 * day.year + day.month - 1 + months, 12)
    if year > dt.MAXYEAR:
        return dt.date.max
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def faults(new: NewRetentionPolicy, in_force: Iterable[NewRetentionPolicy]) -> list[Fault]:
    """What is wrong with a policy beside those in force."""
    if new.months == 0:
        return [Fault("period", "must be longer than nothing")]
    if new.anchor not in ANCHORS[new.kind]:
        return [Fault("anchor", f"must be {' or '.join(ANCHORS[new.kind])}, for {MEANS[new.kind]}")]
    found = []
    for each in in_force:
        if each.name == new.name:
            found.append(Fault("name", "is that of a policy in force: end that one first, or choose another name"))
        elif (each.kind, each.anchor) == (new.kind, new.anchor) and each.bound != new.bound:
            floor, ceiling = (new, each) if new.bound == "floor" else (each, new)
            if floor.months > ceiling.months:
                found.append(
                    Fault("period", f"contradicts {each.name}: what is kept for {floor.period} is not gone after {ceiling.period}")
                )
    return found


def of_record(policies: Iterable[NewRetentionPolicy], facts: RecordFacts) -> list[RetentionTerm]:
    """The terms of a client's record.

    Where the client has died, the policies of a jurisdiction that count from the death take the place of its others.
    """
    ours = [each for each in policies if each.kind == "record"]
    by_death = {each.jurisdiction for each in ours if each.anchor == "death"} if facts.death else set()
    return [
        RetentionTerm(policy=each.name, bound=each.bound, until=_until(each, facts))
        for each in ours
        if (each.anchor == "death") == (each.jurisdiction in by_death)
    ]


def _until(policy: NewRetentionPolicy, facts: RecordFacts) -> dt.date | None:
    majority = after(facts.born, 12 * MAJORITY) if facts.born else None
    begins = {"last_contact": facts.last_contact, "death": facts.death, "majority": majority}[policy.anchor]
    return after(begins, policy.months) if begins else None


def due_since(terms: Sequence[RetentionTerm]) -> dt.date | None:
    """The day from which a person may decide: when every floor has passed; without a floor, when a ceiling has. None if there is no term.

    Terms of which nobody knows what they count from are left out: whoever decides must tell it.
    """
    floors = [each.until for each in terms if each.bound == "floor" and each.until]
    ceilings = [each.until for each in terms if each.bound == "ceiling" and each.until]
    if not floors and not ceilings:
        return None
    return _day_after(max(floors) if floors else min(ceilings))


def overdue_since(terms: Sequence[RetentionTerm]) -> dt.date | None:
    """The day from which the data should be gone; None without a ceiling."""
    ceilings = [each.until for each in terms if each.bound == "ceiling" and each.until]
    return _day_after(min(ceilings)) if ceilings else None


def _day_after(day: dt.date) -> dt.date:
    return day + dt.timedelta(days=1) if day < dt.date.max else day


def of_month(policies: Iterable[NewRetentionPolicy], kind: RetentionKind, last_day: dt.date) -> list[RetentionTerm]:
    """The terms of a month of the audit log. They count from its last day, so that no record goes before its time."""
    return [
        RetentionTerm(policy=each.name, bound=each.bound, until=after(last_day, each.months))
        for each in policies
        if each.kind == kind
    ]
