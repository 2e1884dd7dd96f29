"""Effects of supervision."""

import datetime as dt

from msgspec.structs import replace

from ipt_workflow.course.course import Course, Discussion
from ipt_workflow.course.facts import Fact


def record_supervision(course: Course, fact: Fact) -> Course:
    """Keeps the discussions in the order in which they were held."""
    data = fact.data
    discussion = Discussion(
        seq=fact.seq,
        at=fact.occurred_at,
        supervisor=data["supervisor"],
        supervisees=tuple(data["supervisees"]),
        kind=data["kind"],
        minutes=data["minutes"],
        meeting=data.get("meeting"),
        next_on=dt.date.fromisoformat(data["next_on"]) if data.get("next_on") else None,
    )
    return replace(course, discussions=tuple(sorted((*course.discussions, discussion), key=lambda each: (each.at, each.seq))))
