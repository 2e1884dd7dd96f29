"""Effects of a transfer and of a new client record."""

from msgspec.structs import replace

from ipt_workflow.course.course import Course
from ipt_workflow.course.facts import Fact


def transfer(course: Course, fact: Fact) -> Course:
    therapist = fact.data["therapist"]
    return replace(
        course,
        therapist=therapist,
        handed_over_at=course.handed_over_at if therapist == course.therapist else fact.occurred_at,
    )


def relink_client(course: Course, fact: Fact) -> Course:
    return replace(course, client=fact.data["client"])
