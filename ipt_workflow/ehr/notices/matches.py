"""Finds the entry that already records a visit or a measure: one visit is one session, and one completed form one measure.

A notice and an entry match by reference, else by time: visits that overlap, or results of one scale on one day that do not contradict
each other. References of the same kind that differ (`Appointment/1`, `Appointment/2`) name different things. Results of one scale at
the same moment match all the same: they are answers to one form.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course, visits
from ipt_workflow.course.commands import instrument_key
from ipt_workflow.course.course import Session
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, superseded_by
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.values.types import ATTENDED


class RecordedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry with its amendments. `root` is its seq; `last` is the seq of its latest amendment, which `person` recorded.

    `fact` is None if the entry was made void. `given` is its data, None if that was erased. `refs` are the EHR's names for it.
    """

    root: int
    last: int
    person: str
    trigger: str
    fact: Fact | None
    given: dict[str, Any] | None = None
    refs: tuple[str, ...] = ()


def recorded_entries(entries: Sequence[Entry]) -> dict[int, RecordedEntry]:
    """Every entry of a course except amendments, by seq."""
    facts = journal.facts(entries)
    by_seq, amended, given = {fact.seq: fact for fact in facts}, superseded_by(facts), journal.given(entries)
    links: dict[int, list[str | None]] = {}
    for fact in facts:
        if fact.trigger == "link_session":
            links.setdefault(fact.data["session"], []).append(fact.data.get("ref"))
    found = {}
    for root, current in current_facts(facts).items():
        last = root
        while last in amended:
            last = amended[last]
        ref = current.data.get("ref") if current else None
        found[root] = RecordedEntry(
            root=root,
            last=last,
            person=by_seq[last].actor.person,
            trigger=by_seq[root].trigger,
            fact=current,
            given=given.get(root),
            refs=tuple(each for each in (ref, *links.get(root, ())) if each),
        )
    return found


def visit(content: NoticeContent, course: Course, zone: ZoneInfo) -> Session | None:
    """The recorded session of a course that a notice is about: by reference, else the nearest that overlaps it."""
    named = next((each for each in course.sessions if set(each.refs).intersection(content.refs)), None)
    if named or content.occurred_at is None:
        return named
    begins, ends = _span(content, content.occurred_at, zone)
    near = [each for each in visits.overlapping(course, begins, ends, zone) if not visits.differ(content.refs, each.refs)]
    if "attendance" in content.data:  # a cancellation in time freed its time for another session
        called_off = visits.session_of(content.data, at=begins).called_off
        near = [each for each in near if each.called_off == called_off or each.at == content.occurred_at]
    return next(iter(near), None)


def is_named(content: NoticeContent, course: Course) -> bool:
    """Whether a visit was booked or recorded on this course under one of its references."""
    known = [*(ref for session in course.sessions for ref in session.refs), *(booking.ref for booking in course.bookings)]
    return bool(set(content.refs).intersection(known))


def is_expected(content: NoticeContent, course: Course, zone: ZoneInfo) -> bool:
    """Whether a session was booked or recorded on this course at the time of a visit. The day alone shows nothing."""
    at = content.occurred_at or booked_for(content)
    if at is None or content.day_only:
        return False
    begins, ends = _span(content, at, zone)
    usual = dt.timedelta(minutes=visits.USUAL_MINUTES)
    planned = [each.scheduled_for for each in course.bookings if not visits.differ(content.refs, (each.ref,) if each.ref else ())]
    return any(each < ends and begins < each + usual for each in planned) or visit(content, course, zone) is not None


def booked_for(content: NoticeContent) -> dt.datetime | None:
    """When a booking is planned for."""
    planned = content.data.get("scheduled_for")
    return msgspec.convert(planned, dt.datetime) if isinstance(planned, str) else None


def _span(content: NoticeContent, begins: dt.datetime, zone: ZoneInfo) -> visits.TimeSpan:
    """The time of a visit: until its end, for its minutes, or the whole day if only that is known."""
    if content.day_only or content.data.get("day_only"):
        return visits.day(begins, zone)
    if content.until and content.until > begins:
        return visits.TimeSpan(begins, content.until)
    minutes = content.data.get("minutes") or visits.USUAL_MINUTES
    return visits.TimeSpan(begins, begins + dt.timedelta(minutes=minutes))


def reading(
    content: NoticeContent, entries: Mapping[int, RecordedEntry], protocol: Protocol, zone: ZoneInfo
) -> RecordedEntry | None:
    """The recorded measure that a notice is about."""
    key, taken_at = instrument_key(protocol, str(content.data.get("instrument"))), content.occurred_at
    measures = [
        each
        for each in entries.values()
        if each.fact and each.trigger == "record_measure" and each.fact.data["instrument"] == key and "taken_at" in each.fact.data
    ]
    named = _named(content.refs, measures)
    if named or taken_at is None:
        return named
    day = taken_at.astimezone(zone).date()
    alike = [
        each
        for each in measures
        if _taken(each).astimezone(zone).date() == day
        and (_taken(each) == taken_at or not visits.differ(content.refs, each.refs))
        and _agree(content, each)
    ]
    return min(alike, key=lambda each: abs(_taken(each) - taken_at), default=None)


def is_new_day(content: NoticeContent, course: Course, protocol: Protocol, zone: ZoneInfo) -> bool:
    """Whether every recorded reading of the scale was taken before the local day of this one."""
    track = course.measures.get(instrument_key(protocol, str(content.data.get("instrument"))) or "")
    latest = track.latest_at if track else None
    return latest is None or (content.occurred_at is not None and latest < visits.day(content.occurred_at, zone).begins)


def of_scale(entry: RecordedEntry, scale: str) -> bool:
    """Whether an entry is a measure of a scale, named as `phq9` or `phq9@1`."""
    recorded = str(entry.fact.data.get("instrument")) if entry.fact else ""
    return scale in {recorded, recorded.partition("@")[0]} or recorded == scale.partition("@")[0]


def contradicts(data: Mapping[str, Any], recorded: Session) -> bool:
    """Whether a visit was held by one record and not by the other, or missed in another way."""
    held = data["attendance"] in ATTENDED
    return held != recorded.attended or (not held and data["attendance"] != recorded.attendance)


def course_for(content: NoticeContent, courses: Sequence[StoredCourse], now: dt.datetime) -> StoredCourse | None:
    """The course a notice is about: the one it names, else the one that ran at that time, else the open one, else the last.

    None if no course fits, or several do.
    """
    if content.course:
        return next((each for each in courses if each.course.id == content.course), None)
    at = content.occurred_at or now
    for fitting in (
        [each for each in courses if _ran(each.course, at)],
        [each for each in courses if each.course.open],
        list(courses[-1:]),
    ):
        acute = [each for each in fitting if each.course.acute]  # of several, a visit belongs to acute treatment, not maintenance
        chosen = acute if len(fitting) > 1 else fitting
        if chosen:
            return chosen[0] if len(chosen) == 1 else None
    return None


def _ran(course: Course, at: dt.datetime) -> bool:
    return course.opened_at <= at and (course.ending is None or at <= course.ending.at)


def _named(refs: Iterable[str], candidates: Sequence[RecordedEntry]) -> RecordedEntry | None:
    wanted = set(refs)
    return next((each for each in candidates if wanted.intersection(each.refs)), None)


def _taken(measure: RecordedEntry) -> dt.datetime:
    assert measure.fact is not None
    return msgspec.convert(measure.fact.data["taken_at"], dt.datetime)


def _agree(content: NoticeContent, measure: RecordedEntry) -> bool:
    """Whether two results of one day may be one measure: no item has two answers, and there are not two totals."""
    assert measure.fact is not None
    items, recorded = content.data.get("items"), (measure.given or {}).get("items")
    if items and recorded:
        return all(None in pair or pair[0] == pair[1] for pair in zip(items, recorded, strict=False))
    total = content.data.get("total") if items is None else _sum(items)
    known_total = measure.fact.data.get("total")
    return total is None or known_total is None or total == known_total


def _sum(items: Sequence[int | None]) -> int | None:
    return None if None in items else sum(each for each in items if each is not None)
