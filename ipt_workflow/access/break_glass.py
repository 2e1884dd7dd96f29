"""Emergency access: a clinician opens the courses of one client for a short time, says why, and is asked about it afterwards.

Auditors unmask sealed text in the same manner: for a short time, with a reason.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from ipt_workflow.values.types import ClientRef, Text

EmergencyCode = Literal["ETREAT", "safeguarding", "cover_failed", "other"]
Verdict = Literal["justified", "not_justified"]
AuditorText = Literal["open", "unmask", "never"]

MINUTES, MINUTES_MAX = 60, 480
REVIEW_WITHIN = dt.timedelta(hours=72)
OFTEN, OFTEN_WITHIN = 3, dt.timedelta(days=30)  # more than so many of one person within this time are flagged
EMERGENCY_WRITES = ("raise_risk", "review_risk", "record_contact", "note")  # what may be recorded with it

Minutes = Annotated[int, Meta(ge=1, le=MINUTES_MAX)]


class NewEmergencyAccess(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody says who needs emergency access: to whose courses, why, and for how long. `reason` is sealed."""

    client_ref: ClientRef
    code: EmergencyCode
    reason: Text
    minutes: Minutes = MINUTES


class NewReview(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A supervisor's judgement of an emergency access. `comment` is sealed."""

    verdict: Verdict
    comment: Text | None = None


class NewUnmasking(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an auditor says who needs to read the sealed text of a course. `reason` is sealed."""

    course: str
    reason: Text
    minutes: Minutes = MINUTES


class EmergencySpan(Protocol):
    """An emergency access as it was started, or ended since."""

    @property
    def starts_at(self) -> dt.datetime: ...

    @property
    def ends_at(self) -> dt.datetime: ...

    @property
    def ended_at(self) -> dt.datetime | None: ...


def in_force(access: EmergencySpan, now: dt.datetime) -> bool:
    return access.ended_at is None and access.starts_at <= now < access.ends_at


def overdue_at(access: EmergencySpan) -> dt.datetime:
    """When an access that nobody has reviewed is overdue."""
    return access.starts_at + REVIEW_WITHIN


def is_often(access: EmergencySpan, starts: Iterable[dt.datetime]) -> bool:
    """Whether the access was one too many. `starts` are those of all accesses of the same person, in any order."""
    since = access.starts_at - OFTEN_WITHIN
    return sum(since < each <= access.starts_at for each in starts) > OFTEN
