"""Effects of measures and of the social rhythm."""

import datetime as dt

import msgspec
from msgspec.structs import replace

from ipt_workflow.course.course import (
    Course,
    Reading,
    RhythmAim,
    RhythmWeek,
    Track,
)
from ipt_workflow.course.facts import Fact

RHYTHM_WEEKS_MAX = 60


def record_measure(course: Course, fact: Fact) -> Course:
    """A reading taken after the ending stands apart, so that it changes nothing by which the ending was judged."""
    data = fact.data
    key, at = data["instrument"], msgspec.convert(data["taken_at"], dt.datetime)
    track = course.measures.get(key, Track())
    stage = course.phase or course.state
    reading = Reading(seq=fact.seq, at=at, total=data.get("total"))
    if data.get("not_obtained"):
        track = replace(track, not_obtained=_with(track.not_obtained, stage))
    elif course.ending and at > course.ending.at:
        track = replace(track, after=_taken(track.after or Track(), reading, stage))
    else:
        track = _taken(track, reading, stage)
    risk = course.risk
    if data.get("risk"):
        risk = replace(risk, open_since=min(risk.open_since or at, at))
    return replace(course, measures={**course.measures, key: track}, risk=risk)


def _taken(track: Track, reading: Reading, stage: str) -> Track:
    track = replace(track, count=track.count + 1)
    if reading.total is None:
        return replace(track, partial_at=max(track.partial_at or reading.at, reading.at))
    return replace(_spanning(track, reading, reading), phases=_with(track.phases, stage))


def _spanning(track: Track, first: Reading, last: Reading) -> Track:
    """The track with its first and its last reading, counting these two."""
    earliest = track.baseline is None or first.at < track.baseline.at
    latest = track.last is None or last.at >= track.last.at
    return replace(track, baseline=first if earliest else track.baseline, last=last if latest else track.last)


def _with(stages: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(sorted({*stages, *more}))


def rejoined(track: Track) -> Track:
    """The track of a course that was reopened: readings taken after the ending are readings of the course again."""
    after = track.after
    if after is None:
        return track
    if after.baseline and after.last:
        track = _spanning(track, after.baseline, after.last)
    partial = [each for each in (track.partial_at, after.partial_at) if each]
    return replace(
        track,
        count=track.count + after.count,
        partial_at=max(partial, default=None),
        phases=_with(track.phases, *after.phases),
        after=None,
    )


def record_rhythm(course: Course, fact: Fact) -> Course:
    """Keeps the latest weeks, in order. A week that is recorded again replaces the earlier record."""
    data = fact.data
    week = RhythmWeek(
        seq=fact.seq,
        week_of=dt.date.fromisoformat(data["week_of"]),
        instrument=data["instrument"],
        hits=data["hits"],
        activities=data["activities"],
        met=data.get("met", 0),
        aimed=data.get("aimed", 0),
    )
    rhythm = course.rhythm
    others = [each for each in rhythm.weeks if each.week_of != week.week_of]
    weeks = tuple(sorted((*others, week), key=lambda each: each.week_of))[-RHYTHM_WEEKS_MAX:]
    return replace(course, rhythm=replace(rhythm, count=rhythm.count + (len(others) == len(rhythm.weeks)), weeks=weeks))


def set_rhythm_target(course: Course, fact: Fact) -> Course:
    targets = tuple(msgspec.convert({"within_minutes": 45, **each}, RhythmAim) for each in fact.data["targets"])
    return replace(course, rhythm=replace(course.rhythm, targets=targets))
