"""Cover: a colleague looks after a therapist's courses for a while. The therapist keeps sight of them.

Cover names courses of the therapist, never those that the therapist covers: so what is covered cannot be shared again.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Role
from ipt_workflow.errors import Fault
from ipt_workflow.values.types import Moment, Person, Text

ALONE_DAYS = 21  # longer cover takes a supervisor
LONGEST_DAYS = 366
COURSES_MAX = 200
FOR_OTHERS: frozenset[Role] = frozenset({"supervisor", "admin"})  # who may arrange and end the cover of others
JOINED = dt.timedelta(days=1)  # cover that begins so soon after the last one counts as one with it


class NewCover(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Cover to be arranged. Without `from` it begins now. Without `courses` it is for every course of the therapist."""

    therapist: Person
    colleague: Person
    from_: Moment | None = None
    until: Moment
    courses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=COURSES_MAX)] | None = None
    client_told: bool
    reason: Text


class CoverTime(msgspec.Struct, frozen=True):
    """From when until when one person covers for another."""

    start: dt.datetime
    end: dt.datetime


def cover_faults(by: Principal, new: NewCover, span: CoverTime, now: dt.datetime, others: Iterable[CoverTime]) -> Iterator[Fault]:
    """What is wrong with cover that somebody arranges. `others` are the same colleague's covers for the same therapist."""
    if new.therapist == new.colleague:
        yield Fault("colleague", "must be another person than the therapist")
    if by.role not in FOR_OTHERS and new.therapist != by.person:
        yield Fault("therapist", "must be you: a supervisor or an administrator arranges cover for others")
    if span.end <= now:
        yield Fault("until", "lies in the past")
    elif span.end <= span.start:
        yield Fault("until", "must come after `from`")
    elif span.end - span.start > dt.timedelta(days=LONGEST_DAYS):
        yield Fault("until", f"must come at most {LONGEST_DAYS} days after `from`; a transfer is for longer")
    elif by.role != "supervisor" and _unbroken(span, others) > dt.timedelta(days=ALONE_DAYS):
        yield Fault("until", f"makes more than {ALONE_DAYS} days of cover without a break: ask a supervisor to arrange it")


def may_end(by: Principal, therapist: str, colleague: str) -> bool:
    """Whether somebody may end this cover: both people whom it concerns, and whoever may arrange it for others."""
    return by.role in FOR_OTHERS or by.person in {therapist, colleague}


def _unbroken(span: CoverTime, others: Iterable[CoverTime]) -> dt.timedelta:
    """How long the cover lasts, with what it continues and what continues it."""
    start, end = span.start, span.end
    known: Sequence[CoverTime] = sorted(others, key=lambda each: each.start)
    for each in reversed(known):
        if each.start < start <= each.end + JOINED:
            start = each.start
    for each in known:
        if each.start <= end + JOINED and end < each.end:
            end = each.end
    return end - start
