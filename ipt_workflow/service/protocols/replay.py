"""Trying a candidate protocol on everything that was recorded: what it would newly refuse, and what it would newly allow.

It streams: courses are read and judged a batch at a time, and of each rule only its count and a few examples are kept.
"""

from collections.abc import Callable, Iterable

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.gate.replay import RefusedCommand, Rejudge, Rejudged
from ipt_workflow.journal import Entry
from ipt_workflow.machine import machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import RefusalRow
from ipt_workflow.store.database import Connection

BATCH = 100
EXAMPLES = 3


class Example(msgspec.Struct, frozen=True):
    """A transition by its course and seq; a refusal has no seq."""

    course: str
    seq: int | None
    trigger: str


class ByRule(msgspec.Struct, kw_only=True):
    rule: str
    count: int = 0
    examples: list[Example] = []


class Tried(msgspec.Struct, kw_only=True):
    """What trying a candidate came to.

    `not_judged` counts refusals that cannot be judged anew: several commands together, commands that
    depended on another course, and refusals from before commands were kept.
    """

    protocol: str
    digest: str
    courses: int = 0
    transitions: int = 0
    refusals: int = 0
    not_judged: int = 0
    newly_refused: int = 0
    newly_allowed: int = 0
    refused_by: dict[str, ByRule] = {}
    allowed_by: dict[str, ByRule] = {}


class Trial:
    """One candidate, tried on the courses of every version of it."""

    def __init__(self, clinic: Clinic, candidate: Protocol, examples: int = EXAMPLES) -> None:
        self.clinic = clinic
        self.candidate = candidate
        self.examples = examples
        self.tried = Tried(protocol=candidate.key, digest=candidate.digest)

    async def run(self, principal: Principal, progress: Callable[[int], None] = lambda _done: None) -> Tried:
        """Judges all. `progress` is called with the number of courses judged since the last call. Reading them is recorded."""
        policy.require(principal, "try a protocol")
        rejudge = Rejudge(machine_for(self.candidate), self.clinic.context(principal, self.clinic.clock.now()))
        after = ""
        while True:
            ids = await self.clinic.read(stored_courses.course_ids_of, self.candidate.id, after, BATCH)
            if not ids:
                return self.tried
            entries, refused = await self.clinic.read(_recorded, ids)
            await self.clinic.record(principal, "read", "protocol trial", ids)
            for its_id in ids:
                self._course(rejudge, its_id, entries[its_id], [each for each in refused if each.course == its_id])
            progress(len(ids))
            after = ids[-1]

    def _course(self, rejudge: Rejudge, its_id: str, entries: list[Entry], refused: Iterable[RefusalRow]) -> None:
        facts = journal.facts(entries)
        self.tried.courses += 1
        for judged in rejudge.transitions(facts):
            self.tried.transitions += 1
            self.tried.newly_refused += bool(judged.rules)
            self._count(self.tried.refused_by, its_id, judged)
        for each in refused:
            command = msgspec.json.decode(each.command, type=RefusedCommand) if each.command else None
            again = rejudge.refusal(facts, command, each.rules) if command else None
            self.tried.refusals += 1
            self.tried.not_judged += again is None
            if again:
                self.tried.newly_allowed += bool(again.rules)
                self._count(self.tried.allowed_by, its_id, again)

    def _count(self, by_rule: dict[str, ByRule], its_id: str, judged: Rejudged) -> None:
        for rule in judged.rules:
            counted = by_rule.setdefault(rule, ByRule(rule=rule))
            counted.count += 1
            if len(counted.examples) < self.examples:
                counted.examples.append(Example(its_id, judged.seq, judged.trigger))


def _recorded(connection: Connection, organisation: str, ids: list[str]) -> tuple[dict[str, list[Entry]], list[RefusalRow]]:
    """The journals of courses, and what rules refused of them."""
    return stored_courses.entries_of(connection, organisation, ids), audit.refused_commands(connection, organisation, ids)
