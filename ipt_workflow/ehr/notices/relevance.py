"""Whether a resource concerns IPT. A visit counts only if something says that it is ours; doubt is never a session."""

import datetime as dt
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from ipt_workflow.ehr.notices import matches
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.notices import StoredNotice
from ipt_workflow.store.sources import StoredSource

# Why a message is ignored, and what that means. `ipt_notices_ignored` counts by these codes.
REASONS = {
    "before": "It is about a time long before the client's first course.",
    "client": "The client has no course here.",
    "other_visit": "Nothing marks the visit as IPT, and the source is set to ignore such visits.",
    "known": "The journal already says the same.",
    "older": "A newer version of the resource has been handled.",
    "nothing_here": "It withdraws what changed nothing here.",
}
REFERRALS = frozenset({"fhir.ServiceRequest", "fhir.EpisodeOfCare"})


def of_visit(
    content: NoticeContent,
    source: StoredSource,
    courses: Sequence[StoredCourse],
    course: StoredCourse | None,
    known: Sequence[StoredNotice],
    *,
    before: dt.timedelta,
    zone: ZoneInfo,
) -> str:
    """`ours`, `doubtful`, or the code of the reason to ignore the visit.

    `known` are the kept notices about the visit and about what it belongs to. `course` is the one of the client's `courses` that it would
    belong to. `before` is how long before the client's first course it may have been.
    """
    if any(map(_is_ours, known)):
        return "ours"
    at = content.occurred_at or matches.booked_for(content)
    if courses and at and at < min(each.course.opened_at for each in courses) - before:
        return "before"
    if content.of_ipt or source.all_visits:
        return "ours"
    if course and matches.is_named(content, course.course):
        return "ours"
    by_therapist = course is not None and course.course.therapist in content.performers
    if content.of_ipt is False and not by_therapist:
        return "service"
    if not courses:
        return "client"
    if content.of_ipt is None and course and (by_therapist or matches.is_expected(content, course.course, zone)):
        return "ours"
    return "doubtful" if source.other_visits == "wait" else "other_visit"


def _is_ours(known: StoredNotice) -> bool:
    """Whether a kept notice was found to be ours: it is about an entry, awaits its course, or the machine refused it.

    That it waits shows nothing: a doubtful visit waits as well.
    """
    refused = known.detail is not None and bool(known.detail.refusals)
    return bool(known.about_seq) or known.awaits_course or refused or (known.type in REFERRALS and known.status == "waiting")


def of_measure(content: NoticeContent, courses: Sequence[StoredCourse], before: dt.timedelta) -> str:
    """`ours`, or the code of the reason to ignore a measure."""
    if not courses or content.occurred_at is None:
        return "ours"
    first = min(each.course.opened_at for each in courses)
    return "before" if content.occurred_at < first - before else "ours"
