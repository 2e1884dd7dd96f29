"""A course in memory: the machine alone, a clock that only the test moves, and steps to every stage.

Nothing here skips a rule: each stage is reached by firing triggers. After every step the course must be what its entries fold to.
"""

import copy
import datetime as dt
import hashlib
import tomllib
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course, counters, examples, triggers
from ipt_workflow.course.course import HeldBefore
from ipt_workflow.course.drafts import Draft
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import fold
from ipt_workflow.course.rules import KNOWN_RULES, REGISTRY, Actor, Context, GroupHeld, OtherCourse
from ipt_workflow.course.rules.messages import MESSAGES, render
from ipt_workflow.course.triggers import NAMING_PROTOCOL, Command
from ipt_workflow.errors import Refusal, TransitionRefused
from ipt_workflow.machine import Accepted, Option, Refused, machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.files import load_catalogue, read_definition

ROOT = Path(__file__).parents[2]
START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
T = Actor("therapist-1", "therapist")
OTHER_T = Actor("therapist-2", "therapist")
S = Actor("supervisor-1", "supervisor")
S2 = Actor("supervisor-2", "supervisor")
E = Actor("ehr-1", "ehr")
A = Actor("admin-1", "admin")
BY_ROLE = {actor.role: actor for actor in (T, S, E, A)}
SYMPTOMS = {"instrument": "phq9", "items": [2] * 8 + [0]}
FUNCTIONING = {"instrument": "ifr", "total": 5}
SUPPORT = {"instrument": "mspss", "total": 40}
DAY = dt.timedelta(days=1)
WEEK = dt.timedelta(days=7)
MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


@cache
def ipt() -> Protocol:
    return load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES).get("ipt")


@cache
def group_of_eight() -> Protocol:
    """The tests' protocol for groups: phases of 1, 6 and 1 sessions, counted if the group held them."""
    text = (ROOT / "tests" / "config" / "group-of-eight.toml").read_text()
    return read_definition(tomllib.loads(text), ipt().instruments)


def variant(name: str, **changes: Any) -> Protocol:
    """The default protocol under another name, with some of its tables replaced."""
    return distinct(msgspec.structs.replace(ipt(), id=name, **changes))


def distinct(protocol: Protocol) -> Protocol:
    """The protocol with a digest of its own, since machines are shared by digest."""
    return msgspec.structs.replace(protocol, digest=hashlib.sha256(repr(protocol).encode()).hexdigest())


replaced = msgspec.structs.replace


def version(number: int = 3, phases: dict[str, dict[str, Any]] | None = None, **changes: Any) -> Protocol:
    """Another version of the default protocol: some of its tables replaced, and fields of some of its phases."""
    changed = tuple(replaced(phase, **(phases or {}).get(phase.id, {})) for phase in ipt().phases)
    return distinct(msgspec.structs.replace(ipt(), version=number, **{"phases": changed, **changes}))


class Walk:
    """One course, and actors who fire its triggers. `now` moves on a minute with every step."""

    def __init__(self, protocol: Protocol | None = None, zone: str = "UTC") -> None:
        self.protocol = protocol or ipt()
        self.zone = ZoneInfo(zone)
        self.now = START
        self.course: Course | None = None
        self.history: tuple[Fact, ...] = ()
        self.drafts: tuple[Draft, ...] = ()
        self.given: dict[int, dict[str, Any]] = {}
        self.protocols: dict[str, Protocol] = {}
        self.other_open_course: str | None = None
        self.target: Protocol | None = None
        self.client = "client-1"
        self.group_session: GroupHeld | None = None
        self.other_course: OtherCourse | None = None
        self.held_before: HeldBefore | None = None
        self.processing: str | None = None

    def copy(self) -> "Walk":
        return copy.copy(self)  # nothing that a walk holds is changed in place

    @property
    def c(self) -> Course:
        assert self.course is not None
        return self.course

    @property
    def state(self) -> str:
        return self.c.state

    @property
    def counted(self) -> counters.Counters:
        return counters.counters(self.protocol, self.c)

    @property
    def last(self) -> int:
        """The seq of the last entry."""
        return self.c.version

    @property
    def machine(self):
        return machine_for(self.protocol)

    def seqs(self, trigger: str) -> list[int]:
        return [fact.seq for fact in self.history if fact.trigger == trigger]

    def seq(self, trigger: str) -> int:
        """The seq of the last entry of this trigger."""
        return self.seqs(trigger)[-1]

    def fact(self, seq: int) -> Fact:
        return self.history[seq - 1]

    def context(self, by: Actor = T, cosigner: Actor | None = None, trigger: str = "") -> Context:
        return Context(
            now=self.now,
            actor=by,
            cosigner=cosigner,
            zone=self.zone,
            other_open_course=self.other_open_course,
            history=self.history,
            given=self.given,
            protocols=self.protocols,
            target=self.target or (self.protocol if trigger in NAMING_PROTOCOL else None),
            course_id="course-1",
            client=self.client if self.course is None else "client-2",
            therapist=T.person,
            group_session=self.group_session if trigger == "record_session" else None,
            other_course=self.other_course,
            held_before=self.held_before,
            processing=self.processing,
        )

    def options(self, by: Actor = T, at: dt.datetime | None = None) -> dict[str, Option]:
        return {each.trigger: each for each in self.machine.options(self.c, lambda name: self.context(by, trigger=name), at)}

    def example(self, trigger: str, by: Actor = T, **data: Any) -> dict[str, Any]:
        """The example that options would offer, with some of its data replaced."""
        body = examples.example(self.protocol, self.course, trigger, self.context(by, trigger=trigger))
        return {**body, "data": {**body["data"], **data}}

    def preview(self, *bodies: dict[str, Any], by: Actor = T, cosigner: Actor | None = None) -> Accepted | Refused:
        commands = tuple(msgspec.convert(body, Command) for body in bodies)
        answer = self.machine.preview(self.course, commands, self.context(by, cosigner, bodies[0]["trigger"]))
        if isinstance(answer, Refused):
            self._check_remedies(commands, answer.refusals)
        return answer

    def _check_remedies(self, commands: tuple[Command, ...], refusals: tuple[Refusal, ...]) -> None:
        """Each remedy can be followed: somebody who may fires it, or proposes it, and the course's state does not exclude it.

        What is late may be helped by what happened before it: only a change of state must be possible now. Of several commands each is
        judged in the state to which those before it lead.
        """
        last = self.course.last_occurred_at if self.course else START
        earlier = any(each.trigger == "amend" or (each.occurred_at or last) < last for each in commands)
        for refusal in refusals:
            for remedy in refusal.remedies:
                row = triggers.find(remedy.trigger, self.protocol)
                assert row is not None, f"{refusal.rule} offers {remedy.trigger}, which the protocol does not have"
                assert remedy.roles, f"{refusal.rule} says of nobody that they may fire {remedy.trigger}"
                may = row.roles if remedy.via != "proposal" else set(row.roles) & set(triggers.PROPOSERS)
                assert set(remedy.roles) <= set(may), f"{refusal.rule} offers {remedy.trigger} to {remedy.roles}"
                if remedy.course is None and remedy.via != "together" and len(commands) == 1 and (row.changes_state or not earlier):
                    sources = triggers.sources(self.protocol, remedy.trigger)
                    assert self.state in sources, f"{refusal.rule} offers {remedy.trigger} to a course that is {self.state}"
            self._check_remedies(commands, tuple(each for late in refusal.breaks or () for each in late.refusals))

    def refused(self, trigger: str, by: Actor = T, cosigner: Actor | None = None, **more: Any) -> dict[str, Refusal]:
        """The refusals of a trigger, by rule; empty if it is accepted. `more` as for `fire`."""
        answer = self.preview(self.body(trigger, by, **more), by=by, cosigner=cosigner)
        return {refusal.rule: refusal for refusal in answer.refusals} if isinstance(answer, Refused) else {}

    def replay(self, **at: dt.datetime) -> Course | None:
        return journal.replay(self.entries(), **at)

    def body(
        self,
        trigger: str,
        by: Actor = T,
        *,
        override: tuple[str, ...] = (),
        at: dt.datetime | None = None,
        reason: str | None = "",
        **data: Any,
    ) -> dict[str, Any]:
        """The example, or with `data=` the data as given; with an override, a time or a reason; with None, without its reason."""
        whole = data.pop("data", None)
        body = self.example(trigger, by, **data)
        if whole is not None:
            body["data"] = whole
        if reason:
            body["reason"] = reason
        elif reason is None:
            del body["reason"]
        if override:
            body["override"] = {"rules": list(override), "reason": "It was so."}
        if at is not None:
            body["occurred_at"] = at.isoformat()
        return body

    def fire(self, trigger: str, by: Actor = T, cosigner: Actor | None = None, **more: Any) -> Course:
        """Fires the example of a trigger, changed by `more`. Raises TransitionRefused."""
        self.now += MINUTE
        return self.together(self.body(trigger, by, **more), by=by, cosigner=cosigner)

    def do(self, *triggers: str, by: Actor = T) -> "Walk":
        for trigger in triggers:
            self.fire(trigger, by)
        return self

    def together(self, *bodies: dict[str, Any], by: Actor = T, cosigner: Actor | None = None) -> Course:
        answer = self.preview(*bodies, by=by, cosigner=cosigner)
        if isinstance(answer, Refused):
            raise TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals)
        return self.keep(answer)

    def beside(self, other: "Walk") -> "Walk":
        """The walk, with the course to which `move_entries` moves its entries."""
        self.now = max(self.now, other.now) + MINUTE
        reasons = journal.reasons(self.entries())
        self.other_course = OtherCourse(course=other.c, history=other.history, given=other.given, reasons=reasons)
        return self

    def move(self, other: "Walk", *entries: int, by: Actor = T, cosigner: Actor | None = None, **more: Any) -> None:
        """Moves entries to another walk, which keeps them too. Raises TransitionRefused."""
        body = self.beside(other).body("move_entries", by, data={"course": other.c.id, "entries": list(entries)}, **more)
        answer = self.preview(body, by=by, cosigner=cosigner)
        if isinstance(answer, Refused):
            raise TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals)
        self.keep(answer)
        other.keep(Accepted(course=answer.elsewhere.course, drafts=answer.elsewhere.drafts))
        other.now = self.now

    def keep(self, accepted: Accepted) -> Course:
        """Records an answer, as the store would."""
        for draft in accepted.drafts:
            assert draft.fact.seq == len(self.history) + 1
            assert not self.history or draft.fact.recorded_at >= self.history[-1].recorded_at
            self.history = (*self.history, draft.fact)
            self.drafts = (*self.drafts, draft)
        self._keep_given(accepted.drafts)
        self.course = accepted.course
        assert fold(self.history) == self.course
        if self.target and self.c.protocol_digest == self.target.digest:
            self.protocols = {**self.protocols, **{each.digest: each for each in (self.protocol, self.target)}}
            self.protocol, self.target = self.target, None
        return self.c

    def _keep_given(self, drafts: tuple[Draft, ...]) -> None:
        if any(draft.fact.trigger == "amend" for draft in drafts):
            self.given = journal.given(self.entries())
        else:
            self.given = {**self.given, **{draft.fact.seq: draft.given for draft in drafts}}

    def entries(self) -> list[journal.Entry]:
        """The journal, sealed."""
        sealed: list[journal.Entry] = []
        for draft in self.drafts:
            sealed.append(
                journal.seal(
                    draft,
                    organisation="clinic",
                    entry_id=f"entry-{draft.fact.seq}",
                    prev_hash=sealed[-1].hash if sealed else journal.GENESIS,
                    salt=bytes(journal.SALT_BYTES),
                )
            )
        return sealed

    def session(self, attendance: str = "5", by: Actor = T, *, sign: bool = True, **data: Any) -> int:
        """Records a session a week after the previous one, and signs it if it was held."""
        if self.c.sessions:
            self.now = max(self.now, max(session.at for session in self.c.sessions) + WEEK - MINUTE)
        self.fire("record_session", by, attendance=attendance, **data)
        seq = self.last
        if sign and attendance in {"5", "6"}:
            self.fire("sign_session", session=seq)
        return seq

    def measure(self, *scales: dict[str, Any]) -> None:
        for scale in scales or (SYMPTOMS, FUNCTIONING, SUPPORT):
            self.fire("record_measure", data=scale)

    def referred(self, **data: Any) -> "Walk":
        self.fire("refer", **data)
        return self

    def in_initial(self) -> "Walk":
        return self.referred().do("record_consent", "start")

    def ready_for_middle(self, *, sessions: int = 1, without: tuple[str, ...] = (), **terms: Any) -> "Walk":
        self.in_initial()
        for _ in range(sessions):
            self.session()
        for trigger in FIRST_PHASE_WORK:
            if trigger not in without:
                self.fire(trigger, **(terms if trigger == "agree_contract" else {}))
        self.measure()
        return self

    def in_middle(self, **more: Any) -> "Walk":
        return self.ready_for_middle(**more).do("begin_middle")

    def with_remaining(self, remaining: int, **more: Any) -> "Walk":
        """In the middle phase, with `remaining` of the contract's sessions left."""
        self.in_middle(**more)
        while (self.counted.remaining or 0) > remaining:
            self.session()
        return self

    def ready_for_final(self, **more: Any) -> "Walk":
        return self.with_remaining(3, **more).do("announce_ending")

    def in_final(self, **more: Any) -> "Walk":
        return self.ready_for_final(**more).do("begin_final")

    def ready_to_complete(self, *, sessions: int = 3, without: tuple[str, ...] = (), **more: Any) -> "Walk":
        self.in_final(**more)
        for _ in range(sessions):
            self.session()
        for trigger in LAST_PHASE_WORK:
            if trigger not in without:
                self.fire(trigger)
        self.measure()
        return self

    def completed(self, **more: Any) -> "Walk":
        return self.ready_to_complete(**more).do("complete")

    def ended_early(self) -> "Walk":
        return self.in_middle().do("end_early")

    def not_suitable(self) -> "Walk":
        return self.in_initial().do("decline")

    def paused(self) -> "Walk":
        return self.in_middle().do("pause")


FIRST_PHASE_WORK = (
    "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation",
    "assign_sick_role", "select_focus", "agree_contract",
)  # fmt: skip
LAST_PHASE_WORK = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role")
STAGES = (
    "referred", "in_initial", "ready_for_middle", "in_middle", "ready_for_final", "in_final", "ready_to_complete", "completed",
    "ended_early", "not_suitable", "paused",
)  # fmt: skip


@cache
def _reached(stage: str, numbers: tuple[tuple[str, Any], ...]) -> Walk:
    walk = Walk()
    getattr(walk, stage)(**dict(numbers))
    return walk


def reach(stage: str, **numbers: Any) -> Walk:
    """A walk of the default protocol that has reached a stage. Each is walked once and copied."""
    return _reached(stage, tuple(sorted(numbers.items()))).copy()


ANY = object()
Test = Callable[..., None]


def covers(*rules: str) -> Callable[[Test], Test]:
    """Marks a test that shows each of these rules refusing and passing. With a parameter `rule`, it shows that one alone."""

    def mark(test: Test) -> Test:
        @wraps(test)
        def shown(*args: Any, **more: Any) -> None:
            SEEN.clear()
            test(*args, **more)
            unseen = set((more["rule"],) if "rule" in more else rules) - SEEN
            assert not unseen, f"{unseen} never refused anything in this test"

        return shown

    return mark


SEEN: set[str] = set()


def places(sentence: str) -> set[str]:
    """The names in braces."""
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def refused_by(
    walk: Walk,
    rule: str,
    trigger: str,
    by: Actor = T,
    *,
    severity: str = "hard",
    current: Any = ANY,
    required: Any = ANY,
    remedies: tuple[str, ...] | None = None,
    alone: bool = True,
    **more: Any,
) -> Refusal:
    """The refusal of the trigger by this rule (`alone`: and by no other), with these words.

    Its message is its sentence filled in. A soft rule can be overridden, a hard one cannot.
    """
    refusals = walk.refused(trigger, by, **more)
    assert rule in refusals, f"{trigger} is not refused by {rule} but by {sorted(refusals)}"
    SEEN.add(rule)
    refusal = refusals[rule]
    assert not alone or list(refusals) == [rule]
    assert refusal.severity == severity
    assert refusal.message == render(MESSAGES[refusal.message_id], refusal.parameters, rule=rule, severity=severity)
    assert set(refusal.parameters) == places(MESSAGES[refusal.message_id])
    assert refusal.source == REGISTRY[rule].source
    assert current is ANY or refusal.current == current
    assert required is ANY or refusal.required == required
    assert remedies is None or tuple(remedy.trigger for remedy in refusal.remedies) == remedies
    overridden = walk.refused(trigger, by, **{**more, "override": (*more.get("override", ()), rule)})
    assert (rule in overridden) == (severity == "hard"), f"overriding {rule}, which is {severity}, leaves {sorted(overridden)}"
    return refusal
