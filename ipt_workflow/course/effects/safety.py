"""Effects of risk and consent.

A review covers the evidence that was on record when the review was recorded. Later evidence of an earlier time waits for another review.
"""

from msgspec.structs import replace

from ipt_workflow.course.course import Course, Risk, SeenRisk
from ipt_workflow.course.facts import Fact
from ipt_workflow.values.types import RISK_LEVELS


def see_risk(course: Course, fact: Fact) -> Course:
    """Keeps the evidence of risk that a fact gives, if any, until somebody reviews it."""
    at = fact.risk_seen_at
    if at is None:
        return course
    level = fact.data.get("level", "none")
    seen = SeenRisk(at=at, recorded_at=fact.recorded_at, level=level)
    return replace(course, risk=_risk(_higher(course.risk.level, level), (*course.risk.seen, seen)))


def review_risk(course: Course, fact: Fact) -> Course:
    waiting = tuple(each for each in course.risk.seen if each.recorded_at > fact.recorded_at)
    return replace(course, risk=_risk(_higher(fact.data["level"], *(each.level for each in waiting)), waiting))


def _risk(level: str, seen: tuple[SeenRisk, ...]) -> Risk:
    return Risk(level=level, open_since=min((each.at for each in seen), default=None), seen=seen)


def _higher(*levels: str) -> str:
    return max(levels, key=RISK_LEVELS.index)


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
