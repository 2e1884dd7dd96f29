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
EARLY_MAX = 20  # readings before the start that a track keeps


def record_measure(course: Course, fact: Fact) -> Course:
    """A reading taken after the ending stands apart, so that it changes nothing by which the ending was judged."""
    data = fact.data
    key, at = data["instrument"], msgspec.convert(data["taken_at"], dt.datetime)
    track = course.measures.get(key, Track())
    stage = course.phase or course.state
    reading = Reading(seq=fact.seq, at=at, total=data.get("total"), baseline_days=data.get("baseline_days"))
    if data.get("not_obtained"):
        track = replace(track, not_obtained=_with(track.not_obtained, stage))
    elif course.ending and at > course.ending.at:
        track = replace(track, after=_taken(course, track.after or Track(), reading, stage))
    else:
        track = _taken(course, track, reading, stage)
    return replace(course, measures={**course.measures, key: track})


def _taken(course: Course, track: Track, reading: Reading, stage: str) -> Track:
    track = replace(track, count=track.count + 1)
    if reading.total is None:
        return replace(track, partial_at=max(track.partial_at or reading.at, reading.at))
    early = () if course.started_at else _early(track.early, (reading,))
    track = _spanning(track, reading if _may_be_baseline(course, reading) else None, reading)
    return replace(track, early=early, phases=_with(track.phases, stage))


def _spanning(track: Track, first: Reading | None, last: Reading | None) -> Track:
    """The track with its first and its last reading, counting these two."""
    earliest = track.baseline is None or (first is not None and first.at < track.baseline.at)
    latest = track.last is None or (last is not None and last.at >= track.last.at)
    return replace(track, baseline=first if earliest else track.baseline, last=last if latest else track.last)


def _early(*readings: tuple[Reading, ...]) -> tuple[Reading, ...]:
    return tuple(sorted((each for some in readings for each in some), key=lambda each: each.at))[-EARLY_MAX:]


def _with(stages: tuple[str, ...], *more: str) -> tuple[str, ...]:
    return tuple(sorted({*stages, *more}))


def rejoined(track: Track) -> Track:
    """The track of a course that was reopened: readings taken after the ending are readings of the course again."""
    after = track.after
    if after is None:
        return track
    partial = [each for each in (track.partial_at, after.partial_at) if each]
    return replace(
        _spanning(track, after.baseline, after.last),
        count=track.count + after.count,
        early=_early(track.early, after.early),
        partial_at=max(partial, default=None),
        phases=_with(track.phases, *after.phases),
        after=None,
    )


def started(course: Course) -> Course:
    """The course with its baselines chosen again at its start: each is the first reading that is not too old for one."""
    measures = {
        key: replace(track, baseline=next((each for each in track.early if _may_be_baseline(course, each)), None), early=())
        for key, track in course.measures.items()
    }
    return replace(course, measures=measures)


def _may_be_baseline(course: Course, reading: Reading) -> bool:
    """Whether a reading is not too old, by days of UTC. An adopted course began with its first session, if that is known."""
    start = course.started_at.date() if course.started_at else None
    if course.adopted:
        start = course.adopted.first_session_on
    if start is None or reading.baseline_days is None:
        return True
    return reading.at.date() >= start - dt.timedelta(days=reading.baseline_days)


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
