"""Effects of announcing the ending."""

from msgspec.structs import replace

from ipt_workflow.course.course import Course
from ipt_workflow.course.facts import Fact


def announce_ending(course: Course, fact: Fact) -> Course:
    return replace(course, ending_announced_at=course.ending_announced_at or fact.occurred_at)
