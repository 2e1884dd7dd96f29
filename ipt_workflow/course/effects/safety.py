"""Effects of risk and consent."""

from msgspec.structs import replace

from ipt_workflow.course.course import Course, Risk
from ipt_workflow.course.facts import Fact


def raise_risk(course: Course, fact: Fact) -> Course:
    level = fact.data["level"]
    open_since = course.risk.open_since if level == "none" else (course.risk.open_since or fact.occurred_at)
    return replace(course, risk=Risk(level=level, open_since=open_since))


def review_risk(course: Course, fact: Fact) -> Course:
    return replace(course, risk=Risk(level=fact.data["level"]))


def _who(fact: Fact) -> str:
    return f"{fact.data['scope']}:{fact.data.get('who', 'client')}"


def record_consent(course: Course, fact: Fact) -> Course:
    scope = fact.data["scope"]
    return replace(
        course,
        consents=tuple(sorted({*course.consents, scope})),
        consenting=tuple(sorted({*course.consenting, _who(fact)})),
        withdrawn=tuple(each for each in course.withdrawn if each != scope),
    )


def withdraw_consent(course: Course, fact: Fact) -> Course:
    scope = fact.data["scope"]
    return replace(
        course,
        consents=tuple(each for each in course.consents if each != scope),
        consenting=tuple(each for each in course.consenting if each != _who(fact)),
        withdrawn=tuple(sorted({*course.withdrawn, scope})),
    )
