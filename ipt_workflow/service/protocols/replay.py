"""Replays recorded courses under a candidate protocol, and reports what it would newly refuse and newly allow.

Courses are read and judged a batch at a time. The result keeps a count and a few examples for each rule.
"""

from collections.abc import Callable, Iterable

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.marks import PROCESSING
from ipt_workflow.access.principal import Principal
from ipt_workflow.gate.replay import RefusedCommand, Rejudge, Rejudged, joinings
from ipt_workflow.groups import RULES
from ipt_workflow.journal import Entry
from ipt_workflow.machine import machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit, processing
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store.audit import RefusalRow
from ipt_workflow.store.database import Connection

BATCH = 100
EXAMPLES = 3
RESTRICTING = frozenset({PROCESSING, "processing_not_restricted"})  # a restriction decided, whatever the protocol
BY_NO_PROTOCOL = frozenset(RULES) - {"group_room", "group_protocol"}  # rules of a group's log that no protocol changes


class Example(msgspec.Struct, frozen=True):
    """A transition by its course and seq, or a refusal or a joining of a group, which have no seq."""

    course: str
    seq: int | None
    trigger: str


class ByRule(msgspec.Struct, kw_only=True):
    rule: str
    count: int = 0
    examples: list[Example] = []


class TrialResult(msgspec.Struct, kw_only=True):
    """The result of a trial.

    `not_judged` counts refusals that cannot be judged again: of several commands together, of commands that depended on another
    course, and from the time before refusals kept their commands.
    """

    protocol: str
    digest: str
    courses: int = 0
    groups: int = 0
    transitions: int = 0
    refusals: int = 0
    not_judged: int = 0
    newly_refused: int = 0
    newly_allowed: int = 0
    refused_by: dict[str, ByRule] = {}
    allowed_by: dict[str, ByRule] = {}


class Trial:
    """The replay of a candidate on the courses of all its versions."""

    def __init__(self, clinic: Clinic, candidate: Protocol, examples: int = EXAMPLES) -> None:
        self.clinic = clinic
        self.candidate = candidate
        self.examples = examples
        self.result = TrialResult(protocol=candidate.key, digest=candidate.digest)

    async def run(self, principal: Principal, progress: Callable[[int], None] = lambda _done: None) -> TrialResult:
        """Judges every course and records the read. `progress` is called with the number of courses judged since the last call."""
        await self.clinic.require(principal, "try a protocol")
        rejudge = Rejudge(machine_for(self.candidate), self.clinic.context(principal, self.clinic.clock.now()))
        after = ""
        while True:
            ids = await self.clinic.read(stored_courses.course_ids_of, self.candidate.id, after, BATCH)
            if not ids:
                break
            closed = await self.clinic.read(processing.closed)  # clients object, or processing is restricted
            judged = [each for each in ids if each not in closed]
            entries, refused = await self.clinic.read(_recorded, judged)
            await self.clinic.log(principal, "read", "protocol trial", judged)
            for course_id in judged:
                self._course(rejudge, course_id, entries[course_id], [each for each in refused if each.course == course_id])
            progress(len(ids))
            after = ids[-1]
        await self._groups(principal)
        return self.result

    async def _groups(self, principal: Principal) -> None:
        """Judges who joined the groups. Their sessions are transitions and refusals of the members' courses."""
        specs = {(each.id, each.version): each.group for each in self.clinic.protocols}
        after = ""
        while found := await self.clinic.read(
            stored_groups.page, people=None, protocol=self.candidate.id, after=after, limit=BATCH
        ):
            await self.clinic.log(
                principal, "read", "protocol trial", dict.fromkeys(each for group in found for each in group.courses)
            )
            for group in found:
                self.result.groups += 1
                then = specs[group.protocol, group.protocol_version]
                assert then is not None  # a group is made only under a protocol for groups
                for course_id, rejudged in joinings(group, then, self.candidate.group):
                    self.result.newly_refused += bool(rejudged.rules)
                    self._count(self.result.refused_by, course_id, rejudged)
            after = found[-1].id

    def _course(self, rejudge: Rejudge, course_id: str, entries: list[Entry], refused: Iterable[RefusalRow]) -> None:
        facts = journal.facts(entries)
        self.result.courses += 1
        for rejudged in rejudge.transitions(facts):
            self.result.transitions += 1
            self.result.newly_refused += bool(rejudged.rules)
            self._count(self.result.refused_by, course_id, rejudged)
        for each in refused:
            if each.rules and (set(each.rules) <= BY_NO_PROTOCOL or RESTRICTING & set(each.rules)):
                continue
            command = msgspec.json.decode(each.command, type=RefusedCommand) if each.command else None
            judged = rejudge.refusal(facts, command, each.rules) if command else None
            self.result.refusals += 1
            self.result.not_judged += judged is None
            if judged:
                self.result.newly_allowed += bool(judged.rules)
                self._count(self.result.allowed_by, course_id, judged)

    def _count(self, by_rule: dict[str, ByRule], course_id: str, rejudged: Rejudged) -> None:
        for rule in rejudged.rules:
            counted = by_rule.setdefault(rule, ByRule(rule=rule))
            counted.count += 1
            if len(counted.examples) < self.examples:
                counted.examples.append(Example(course_id, rejudged.seq, rejudged.trigger))


def _recorded(connection: Connection, organisation: str, ids: list[str]) -> tuple[dict[str, list[Entry]], list[RefusalRow]]:
    """The journals of these courses, and their recorded refusals."""
    return stored_courses.entries_of(connection, organisation, ids), audit.refused_commands(connection, organisation, ids)
