"""Effects of risk and consent.

A review covers the evidence that was on record when the review was recorded. Later evidence of an earlier time waits for another review.
"""

from msgspec.structs import replace

from ipt_workflow.course.course import Course, Risk, SeenRisk
from ipt_workflow.course.facts import Fact
from ipt_workflow.values.types import OF_CARE, RISK_LEVELS


def see_risk(course: Course, fact: Fact) -> Course:
    """Keeps the evidence of risk that a fact gives, if any, until somebody reviews it."""
    at = fact.risk_seen_at
    if at is None:
        return course
    level = fact.data.get("level", "none")
    seen = SeenRisk(at=at, recorded_at=fact.recorded_at, level=level)
    return replace(course, risk=_risk(_highest(course.risk.level, level), (*course.risk.seen, seen)))


def review_risk(course: Course, fact: Fact) -> Course:
    waiting = tuple(each for each in course.risk.seen if each.recorded_at > fact.recorded_at)
    return replace(course, risk=_risk(_highest(fact.data["level"], *(each.level for each in waiting)), waiting))


def _risk(level: str, seen: tuple[SeenRisk, ...]) -> Risk:
    return Risk(level=level, open_since=min((each.at for each in seen), default=None), seen=seen)


def _highest(*levels: str) -> str:
    """The highest level, as the code names it: a snapshot leaves out a default only where it is the very same object."""
    return RISK_LEVELS[max(RISK_LEVELS.index(level) for level in levels)]


def _scopes(fact: Fact) -> set[str]:
    """What the consent is to: `treatment`, or `sharing/HRESCH` where it names purposes."""
    scope = fact.data["scope"]
    return {f"{scope}/{purpose}" for purpose in fact.data.get("purposes", ())} or {scope}


def _by(fact: Fact, scopes: set[str]) -> set[str]:
    return {f"{scope}:{fact.data.get('who', 'client')}" for scope in scopes}


def record_consent(course: Course, fact: Fact) -> Course:
    """A consent that somebody else has withdrawn stays withdrawn. One that names no purpose is for all that serve care."""
    scopes = _scopes(fact)
    again = scopes | {f"{fact.data['scope']}/{purpose}" for purpose in OF_CARE if not fact.data.get("purposes")}
    course = _withdrawn_by(course, {*course.withdrawing} - _by(fact, again))
    return replace(
        course,
        consents=tuple(sorted({*course.consents, *(scopes - {*course.withdrawn})})),
        consenting=tuple(sorted({*course.consenting, *_by(fact, scopes)})),
    )


def withdraw_consent(course: Course, fact: Fact) -> Course:
    """A consent that is withdrawn whole is withdrawn for every purpose that was named."""
    scopes = _scopes(fact)
    return replace(
        _withdrawn_by(course, {*course.withdrawing, *_by(fact, scopes)}),
        consents=tuple(each for each in course.consents if not scopes & {each, each.partition("/")[0]}),
        consenting=tuple(each for each in course.consenting if not _by(fact, scopes) & {each, _whole(each)}),
    )


def _whole(consenting: str) -> str:
    """`sharing:client` of `sharing/HRESCH:client`."""
    scope, _, who = consenting.partition(":")
    return f"{scope.partition('/')[0]}:{who}"


def _withdrawn_by(course: Course, who: set[str]) -> Course:
    scopes = {each.partition(":")[0] for each in who}
    return replace(course, withdrawing=tuple(sorted(who)), withdrawn=tuple(sorted(scopes)))
