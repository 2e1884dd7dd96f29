"""Finding what is on record already: one visit is one session, and one filled-in form one measure, however many messages tell of it.

By reference, else by time: visits that overlap, or readings of one scale on one day that do not contradict each other. Two messages
whose references are of the same kind and differ (`Appointment/1`, `Appointment/2`) do not tell of the same thing, unless they are
answers of the same moment to one form.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.course.commands import instrument_key
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, superseded_by
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.values.types import ATTENDED

USUAL_MINUTES = 50  # of a visit whose length nobody told (domain.md 1.2)


class RecordedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that stands. `root` is its name; `last` the entry that says what it says now, recorded by `person`.

    `fact` is None where it was made void. `given` is its data, None where that was erased. `refs` are what the EHR calls it.
    """

    root: int
    last: int
    person: str
    trigger: str
    fact: Fact | None
    given: dict[str, Any] | None = None
    refs: tuple[str, ...] = ()
    signed: bool = False


def known(course: Course, entries: Sequence[Entry]) -> dict[int, RecordedEntry]:
    """Every entry of a course but amendments, by seq."""
    facts = journal.facts(entries)
    by_seq, amended, given = {fact.seq: fact for fact in facts}, superseded_by(facts), journal.given(entries)
    links: dict[int, list[str]] = {}
    for fact in facts:
        if fact.trigger == "link_session":
            links.setdefault(fact.data["session"], []).append(fact.data["ref"])
    found = {}
    for root, stands in current_facts(facts).items():
        last = root
        while last in amended:
            last = amended[last]
        ref = stands.data.get("ref") if stands else None
        session = course.session(root)
        found[root] = RecordedEntry(
            root=root,
            last=last,
            person=by_seq[last].actor.person,
            trigger=by_seq[root].trigger,
            fact=stands,
            given=given.get(root),
            refs=tuple(each for each in (ref, *links.get(root, ())) if each),
            signed=session is not None and session.signed,
        )
    return found


def visit(told: NoticeContent, everything: Mapping[int, RecordedEntry]) -> RecordedEntry | None:
    """The session on record that a notice tells of."""
    sessions = [each for each in everything.values() if each.fact and each.trigger == "record_session"]
    named = _named(told.refs, sessions)
    if named or told.occurred_at is None:
        return named
    begins, ends = told.occurred_at, _end(told.occurred_at, told.until, told.data.get("minutes"))
    near = [each for each in sessions if not _other(told.refs, each.refs) and _overlaps(begins, ends, each)]
    return min(near, key=lambda each: abs(_at(each) - begins), default=None)


def reading(
    told: NoticeContent, everything: Mapping[int, RecordedEntry], protocol: Protocol, zone: ZoneInfo
) -> RecordedEntry | None:
    """The measure on record that a notice tells of."""
    key, taken_at = instrument_key(protocol, str(told.data.get("instrument"))), told.occurred_at
    measures = [
        each
        for each in everything.values()
        if each.fact and each.trigger == "record_measure" and each.fact.data["instrument"] == key and "taken_at" in each.fact.data
    ]
    named = _named(told.refs, measures)
    if named or taken_at is None:
        return named
    day = taken_at.astimezone(zone).date()
    alike = [
        each
        for each in measures
        if _taken(each).astimezone(zone).date() == day
        and (_taken(each) == taken_at or not _other(told.refs, each.refs))
        and _agree(told, each)
    ]
    return min(alike, key=lambda each: abs(_taken(each) - taken_at), default=None)


def attended(data: Mapping[str, Any]) -> bool:
    return data["attendance"] in ATTENDED


def course_for(told: NoticeContent, courses: Sequence[StoredCourse], now: dt.datetime) -> StoredCourse | None:
    """The course that a notice is about: the one it names, the one that ran then, or the one that is open; None where nobody can tell."""
    if told.course:
        return next((each for each in courses if each.course.id == told.course), None)
    at = told.occurred_at or now
    for some in (
        [each for each in courses if _ran(each.course, at)],
        [each for each in courses if each.course.open],
        list(courses[-1:]),
    ):
        if len(some) > 1:
            some = [each for each in some if each.course.acute]  # noqa: PLW2901 - maintenance beside it is not what a visit is of
        if some:
            return some[0] if len(some) == 1 else None
    return None


def _ran(course: Course, at: dt.datetime) -> bool:
    return course.opened_at <= at and (course.ending is None or at <= course.ending.at)


def _named(refs: Iterable[str], candidates: Sequence[RecordedEntry]) -> RecordedEntry | None:
    wanted = set(refs)
    return next((each for each in candidates if wanted.intersection(each.refs)), None)


def _other(told: Sequence[str], on_record: Sequence[str]) -> bool:
    """Whether these cannot be names of one thing: some are of the same kind."""
    return bool({_kind(ref) for ref in told} & {_kind(ref) for ref in on_record})


def _kind(ref: str) -> str:
    return ref.rpartition("/")[0]


def _at(session: RecordedEntry) -> dt.datetime:
    assert session.fact is not None
    return session.fact.occurred_at


def _taken(measure: RecordedEntry) -> dt.datetime:
    assert measure.fact is not None
    return msgspec.convert(measure.fact.data["taken_at"], dt.datetime)


def _end(begins: dt.datetime, until: dt.datetime | None, minutes: int | None) -> dt.datetime:
    return until if until and until > begins else begins + dt.timedelta(minutes=minutes or USUAL_MINUTES)


def _overlaps(begins: dt.datetime, ends: dt.datetime, session: RecordedEntry) -> bool:
    assert session.fact is not None
    minutes, planned = session.fact.data.get("minutes"), session.fact.data.get("scheduled_for")
    starts = [session.fact.occurred_at, *([msgspec.convert(planned, dt.datetime)] if planned else [])]
    return any(begins < _end(start, None, minutes) and start < ends for start in starts)


def _agree(told: NoticeContent, measure: RecordedEntry) -> bool:
    """Whether two readings of one day may be one: neither says another total, nor another answer to the same item."""
    assert measure.fact is not None
    items, given = told.data.get("items"), (measure.given or {}).get("items")
    if items and given:
        pairs = zip(items, given, strict=False)
        return all(a is None or b is None or a == b for a, b in pairs)
    total = told.data.get("total") if items is None else _sum(items)
    known_total = measure.fact.data.get("total")
    return total is None or known_total is None or total == known_total


def _sum(items: Sequence[int | None]) -> int | None:
    return None if None in items else sum(each for each in items if each is not None)
