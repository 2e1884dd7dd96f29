"""The verbs that add up the audit log: who had to do with a client and why, and which rules refused or were overridden."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit_summaries
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit_summaries import AccessSum, RuleSum

ACCESSES_MAX = 500
SUMS_MAX = 20_000  # of one question: rules with trigger and course, or overriding entries


class ClientAccesses(msgspec.Struct, frozen=True, kw_only=True):
    """Who had to do with a client's courses. `courses` are those that the caller may see, an open one first. `more`: not all are listed."""

    courses: tuple[str, ...]
    accesses: tuple[AccessSum, ...]
    more: bool


class RuleUse(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule refused and was overridden, in how many courses, and when last. `triggers` are what it refused, the most frequent first."""

    rule: str
    refused: int
    refused_courses: int
    overridden: int
    overridden_courses: int
    triggers: tuple[str, ...]
    last_at: dt.datetime


class RuleUses(msgspec.Struct, frozen=True, kw_only=True):
    """The use of every rule in a time, the most refused first. `more`: there was more than can be added up at once."""

    rules: tuple[RuleUse, ...]
    more: bool


class AuditSums:
    """Sums over a clinic's audit log."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def require(self, principal: Principal) -> None:
        """Raises Forbidden unless the principal may read the audit log."""
        await self.clinic.require(principal, "read the audit log")

    async def courses_of(self, principal: Principal, client_ref: str) -> tuple[str, ...]:
        """The courses of a client that exist for the caller; none if nobody is known by this reference."""
        await self.clinic.require(principal, "search courses by client")
        client = await self.clinic.read(stored_courses.client_id, client_ref)
        found = await self.clinic.read(stored_courses.of_client, client) if client else []
        seen = await self.clinic.all_seen(principal, found)
        return tuple(sorted(seen, key=lambda each: (seen[each].course.open, each), reverse=True))

    async def accesses(self, principal: Principal, courses: Iterable[str]) -> ClientAccesses:
        """Who had to do with these courses, as far as they exist for the caller."""
        await self.require(principal)
        named = tuple(courses)
        unseen = await self.clinic.unseen(principal, named)
        seen = tuple(each for each in named if each not in unseen)
        found = await self.clinic.read(audit_summaries.accesses, seen, ACCESSES_MAX + 1) if seen else []
        await self.clinic.log(principal, "read", "audit", seen)
        return ClientAccesses(courses=seen, accesses=tuple(found[:ACCESSES_MAX]), more=len(found) > ACCESSES_MAX)

    async def rules(self, principal: Principal, since: dt.datetime, until: dt.datetime) -> RuleUses:
        """Which rules refused or were overridden between two moments, on courses that exist for the caller."""
        await self.require(principal)
        refused = await self.clinic.read(audit_summaries.refusals, since, until, SUMS_MAX + 1)
        overridden = await self.clinic.read(audit_summaries.overrides, since, until, SUMS_MAX + 1)
        named = {each.course for each in (*refused, *overridden) if each.course}
        unseen = await self.clinic.unseen(principal, sorted(named))
        await self.clinic.log(principal, "read", "audit")
        uses = _uses(
            [each for each in refused if each.course not in unseen], [each for each in overridden if each.course not in unseen]
        )
        return RuleUses(rules=uses, more=max(len(refused), len(overridden)) > SUMS_MAX)


def _uses(refused: Iterable[RuleSum], overridden: Iterable[RuleSum]) -> tuple[RuleUse, ...]:
    refusals, overrides = _by_rule(refused), _by_rule(overridden)
    uses = [_use(rule, refusals[rule], overrides[rule]) for rule in {*refusals, *overrides}]
    return tuple(sorted(uses, key=lambda each: (-each.refused, -each.overridden, each.rule)))


def _by_rule(sums: Iterable[RuleSum]) -> defaultdict[str, list[RuleSum]]:
    by_rule: defaultdict[str, list[RuleSum]] = defaultdict(list)
    for each in sums:
        for rule in each.rules:
            by_rule[rule].append(each)
    return by_rule


def _use(rule: str, refusals: list[RuleSum], overrides: list[RuleSum]) -> RuleUse:
    triggers: defaultdict[str, int] = defaultdict(int)
    for each in refusals:
        triggers[each.trigger] += each.times
    return RuleUse(
        rule=rule,
        refused=sum(each.times for each in refusals),
        refused_courses=len({each.course for each in refusals if each.course}),
        overridden=sum(each.times for each in overrides),
        overridden_courses=len({each.course for each in overrides}),
        triggers=tuple(sorted(triggers, key=lambda each: (-triggers[each], each))),
        last_at=max(each.last_at for each in (*refusals, *overrides)),
    )
