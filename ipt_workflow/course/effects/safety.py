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
    """A consent that somebody else has withdrawn stays withdrawn."""
    scope = fact.data["scope"]
    course = _withdrawn_by(course, {*course.withdrawing} - {_who(fact)})
    given = {scope} - {*course.withdrawn}
    return replace(
        course,
        consents=tuple(sorted({*course.consents, *given})),
        consenting=tuple(sorted({*course.consenting, _who(fact)})),
    )


def withdraw_consent(course: Course, fact: Fact) -> Course:
    scope = fact.data["scope"]
    return replace(
        _withdrawn_by(course, {*course.withdrawing, _who(fact)}),
        consents=tuple(each for each in course.consents if each != scope),
        consenting=tuple(each for each in course.consenting if each != _who(fact)),
    )


def _withdrawn_by(course: Course, who: set[str]) -> Course:
    scopes = {each.partition(":")[0] for each in who}
    return replace(course, withdrawing=tuple(sorted(who)), withdrawn=tuple(sorted(scopes)))
