"""The course machine: one `transitions.Machine` for each protocol version, shared by all its courses.

`decide` returns `Accepted`, with the new course and a draft of each entry, or `Refused`, with every rule that refuses. It is pure:
it does no I/O, reads no clock and changes no globals.

Every row of the trigger table is a transition of `transitions`. Its one condition evaluates all rules bound to the trigger and keeps
their refusals. So no rule is evaluated twice, and no trigger passes without its rules. The machine is synchronous, never queued and
holds no models. It has no automatic transitions, because `to_<state>` would skip every rule.
"""

import datetime as dt
import logging
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any

import msgspec
from transitions import EventData, Machine, MachineError

from ipt_workflow.course import Course, carry_over, examples, migration, references, transitions_table, triggers
from ipt_workflow.course.carry_over import Move
from ipt_workflow.course.commands import Prepared, prepare
from ipt_workflow.course.derived import derive
from ipt_workflow.course.drafts import Draft, Verdict, draft_of, fact_of
from ipt_workflow.course.effects.apply import apply, on_record
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import fold, pinned_at
from ipt_workflow.course.late_entries import RefusedAt, facts_about_record, is_late, numbered, place_late
from ipt_workflow.course.moved_entries import Arrived, arrive
from ipt_workflow.course.rules import REGISTRY, Bound, Case, Context, Rule, bound_to, order
from ipt_workflow.course.transitions_table import TransitionRow
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.errors import Break, CommandInvalid, Fault, Refusal, Severity, TransitionRefused
from ipt_workflow.protocols.definition import NEW, Protocol

logging.getLogger("transitions").setLevel(logging.WARNING)

TOGETHER_MAX = 20


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The course after the command, and the drafts to write. `elsewhere` is the course to which `move_entries` moved entries."""

    course: Course
    drafts: tuple[Draft, ...]
    elsewhere: Arrived | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The refusals of one command. `together` is its place among several, from 0."""

    trigger: str
    state: str | None
    version: int
    refusals: tuple[Refusal, ...]
    together: int | None = None


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One trigger, offered to one actor. `allowed` is true exactly if firing `example` is accepted.

    `refusals` come from hard rules, `warnings` from soft ones. Without hard refusals, the example overrides the soft ones. `earliest`
    is when the trigger passes by waiting alone, if it does. `move` lists what carries over to another protocol.
    """

    trigger: str
    does: str
    allowed: bool
    to: str | None
    refusals: tuple[Refusal, ...]
    warnings: tuple[Refusal, ...]
    earliest: dt.datetime | None
    data_schema: dict[str, Any]
    example: dict[str, Any]
    move: Move | None = None


class StateHolder:
    """The model that `transitions` moves: a state and nothing else. It is made for one trigger and thrown away."""

    __slots__ = ("state",)

    def __init__(self, state: str) -> None:
        self.state = state


class Verdicts:
    """The rules' answers to one trigger: the refusals in force, and the soft rules that the override passes over."""

    def __init__(self, override: Override | None) -> None:
        self._named = override.rules if override else ()
        self.refusals: list[Refusal] = []
        self.overridden: list[str] = []

    def add(self, refusal: Refusal) -> None:
        if refusal.severity == "soft" and refusal.rule in self._named:
            self.overridden.append(refusal.rule)
        else:
            self.refusals.append(refusal)


class CourseMachine:
    """The machine of one protocol version. Threads may share it, since firing changes nothing in it."""

    def __init__(self, protocol: Protocol) -> None:
        self.protocol = protocol
        self.triggers = triggers.names(protocol)
        self.bound = {name: bound_to(protocol, name) for name in self.triggers}
        self._machine = Machine(
            model=None,
            states=transitions_table.states(protocol),
            initial=None,
            transitions=[self._with_conditions(row) for row in transitions_table.rows(protocol)],
            auto_transitions=False,
            send_event=True,
        )

    def _with_conditions(self, row: TransitionRow) -> dict[str, Any]:
        conditions = [self._leads_there, self._lawful] if row.chosen else [self._lawful]
        return {"trigger": row.trigger, "source": row.source, "dest": row.dest, "conditions": conditions}

    def fire(self, course: Course | None, command: Command, context: Context) -> Accepted:
        """Fires one trigger. Raises CommandInvalid, TriggerNotPermitted or TransitionRefused."""
        return self.together(course, (command,), context)

    def together(self, course: Course | None, commands: tuple[Command, ...], context: Context) -> Accepted:
        """Fires several triggers as one: all are accepted, or none. Raises as `fire` does."""
        answer = self.preview(course, commands, context)
        if isinstance(answer, Refused):
            raise TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals, answer.together)
        return answer

    def preview(self, course: Course | None, commands: tuple[Command, ...], context: Context) -> Accepted | Refused:
        """The result of firing these commands, without recording anything."""
        prepared = self._prepared(course, commands, context)
        if course is not None and prepared[0].name == "move_entries":
            return self._move_entries(course, prepared[0], context)
        if course is not None and is_late(course, ((each.name, each.at) for each in prepared)):
            return self._place(course, prepared, context)
        return self._append(course, prepared, context)

    def _prepared(self, course: Course | None, commands: tuple[Command, ...], context: Context) -> tuple[Prepared, ...]:
        """Every command, prepared, with numbers in place of its references.

        Raises CommandInvalid with the faults of all of them, each under its own place.
        """
        prepared: list[Prepared] = []
        faults: list[Fault] = []
        for index in range(len(commands)):
            command, found = references.resolve(commands, index, course, context)
            try:
                prepared.append(self.prepare(command, context))
            except CommandInvalid as error:
                found += error.faults
            if found:
                where = f"together[{index}]." if len(commands) > 1 else ""
                faults += [Fault(f"{where}{fault.where}", fault.message) for fault in found]
        if faults:
            raise CommandInvalid(faults)
        return tuple(prepared)

    def prepare(self, command: Command, context: Context) -> Prepared:
        """Prepares a command under the protocol that the course had at that time. Raises CommandInvalid or TriggerNotPermitted."""
        then = pinned_at(context.history, command.occurred_at) if command.occurred_at else None
        return prepare(self.machine_of(then, context).protocol if then else self.protocol, command, context)

    def judge(self, course: Course | None, prepared: Prepared, data: dict[str, Any], context: Context) -> Verdict:
        """Asks every rule bound to a trigger. Returns where the trigger leads, and the refusals."""
        holder = StateHolder(course.state if course else NEW)
        verdicts = Verdicts(prepared.override)
        case = Case(
            protocol=self.protocol,
            course=course,  # type: ignore[arg-type]
            trigger=prepared.name,
            data=data,
            at=prepared.at,
            context=context,
            obstacles=self._obstacles(course, prepared, context),
        )
        known = prepared.name in self.bound  # else at that time the course had a protocol without this trigger
        if not known or order.recorded_already(case) is not None:
            return Verdict(holder.state, (_required(_ask(REGISTRY["state_allows"], case)),), ())
        try:
            self._machine.events[prepared.name].trigger(holder, case=case, verdicts=verdicts)
        except MachineError:
            verdicts.refusals.append(_required(_ask(REGISTRY["state_allows"], case)))
        if context.processing and (restricted := _ask(REGISTRY["processing_not_restricted"], case)):
            verdicts.refusals.append(restricted)
        return Verdict(holder.state, tuple(verdicts.refusals), tuple(verdicts.overridden))

    def unsafe(self, course: Course, name: str, data: dict[str, Any], at: dt.datetime, context: Context) -> tuple[Refusal, ...]:
        """The refusals of a trigger by the rules that are asked at both times, on this course."""
        case = Case(protocol=self.protocol, course=course, trigger=name, data=data, at=at, context=context)
        asked = (bound.ask_unless_attested(case) for bound in self.bound.get(name, ()) if bound.rule.both_times)
        return tuple(refusal for refusal in asked if refusal)

    def _obstacles(self, course: Course | None, prepared: Prepared, context: Context) -> tuple[str, ...]:
        """Why the course would be stuck under the version to which it migrates."""
        target = context.target
        if course is None or target is None or prepared.name != "migrate_protocol" or target.id != course.protocol:
            return ()
        return tuple(each.says for each in self.plan(course, target, context).obstacles)

    def plan(self, course: Course, target: Protocol, context: Context) -> Move:
        """The move of a course of this protocol to another version of it. The context must have the course's history."""
        return migration.plan(course, context.history, self, machine_for(target), context)

    def machine_of(self, digest: str, context: Context) -> "CourseMachine":
        """The machine of a protocol that a course has had, or this one if the context does not know it."""
        known = context.protocols.get(digest)
        return machine_for(known) if known and known.digest != self.protocol.digest else self

    def broken(self, course: Course, name: str, at: dt.datetime, context: Context, breaks: tuple[Break, ...]) -> Refusal:
        """The refusal of a trigger after which later entries would break rules."""
        case = Case(protocol=self.protocol, course=course, trigger=name, data={}, at=at, context=context, breaks=breaks)
        return _required(_ask(REGISTRY["later_entries_hold"], case))

    def structural(self, course: Course, fact: Fact, context: Context) -> tuple[Refusal, ...]:
        """Refusals by structural rules of an accepted fact, placed here. Rules that it overrode when it was accepted are left out."""
        if fact.trigger not in self.bound or fact.trigger in triggers.OPENINGS:
            return ()
        case = Case(
            protocol=self.protocol, course=course, trigger=fact.trigger, data=fact.data, at=fact.occurred_at, context=context
        )
        wrong_state = _ask(REGISTRY["state_allows"], case)
        if wrong_state:
            return (wrong_state,)
        structural = (
            bound for bound in self.bound[fact.trigger] if bound.rule.structural and bound.rule.name not in fact.overridden
        )
        return tuple(refusal for bound in structural if (refusal := bound.ask(case)))

    def correctable(self, course: Course, data: dict[str, Any], context: Context) -> tuple[Refusal, ...]:
        """The refusals of an amendment by the rules about its entry and its actor alone. The context must have the course's history."""
        case = Case(protocol=self.protocol, course=course, trigger="amend", data=data, at=context.now, context=context)
        asked = (_ask(REGISTRY[name], case) for name in ("entry_amendable", "amendment_agreed"))
        return tuple(refusal for refusal in asked if refusal)

    def overlap(self, course: Course, fact: Fact, context: Context) -> Refusal | None:
        """The refusal of an amended session whose time another session takes. The rule is soft."""
        case = Case(protocol=self.protocol, course=course, trigger="amend", data=fact.data, at=fact.occurred_at, context=context)
        return _ask(REGISTRY["overlaps_session"], case, "soft")

    def options(
        self,
        course: Course,
        context_for: Callable[[str], Context],
        at: dt.datetime | None = None,
        leaving_out: Collection[str] = (),
    ) -> tuple[Option, ...]:
        """Every trigger that the actor's role may ever fire, and the result of firing it now (or at `at`). Nothing is recorded.

        `context_for` returns a trigger's context, since some triggers need other courses or protocols.
        """
        offered = []
        for name in (each for each in self.triggers if each not in leaving_out):
            row = triggers.find(name, self.protocol)
            context = context_for(name)
            if row is not None and NEW not in row.sources and context.actor.role in row.roles:
                offered.append(self._option(course, name, context, at))
        return tuple(offered)

    def _option(self, course: Course, name: str, context: Context, at: dt.datetime | None) -> Option:
        body = examples.example(self.protocol, course, name, context)
        if at is not None:
            body["occurred_at"] = at.isoformat()
        return self.option(course, (msgspec.convert(body, Command),), context)[0]

    def option(self, course: Course, commands: tuple[Command, ...], context: Context) -> tuple[Option, Accepted | Refused]:
        """The result of firing these commands, as an option, and the answer itself.

        The option's example repeats the commands. If only soft rules refuse a single command, the example overrides them.
        """
        answer = self.preview(course, commands, context)
        refusals = answer.refusals if isinstance(answer, Refused) else ()
        hard = tuple(refusal for refusal in refusals if refusal.severity == "hard")
        soft = tuple(refusal for refusal in refusals if refusal.severity == "soft")
        if soft and not hard and len(commands) == 1:
            commands = (_overriding(commands[0], soft),)
            answer = self.preview(course, commands, context)
        name = answer.trigger if isinstance(answer, Refused) else commands[-1].trigger
        row = triggers.find(name, self.protocol)
        assert row is not None  # `preview` has found it
        times = [refusal.earliest for refusal in refusals]
        bodies = [msgspec.to_builtins(command) for command in commands]
        return Option(
            trigger=name,
            does=row.does,
            allowed=isinstance(answer, Accepted),
            to=answer.course.state if isinstance(answer, Accepted) else self._leads_to(course, name),
            refusals=hard,
            warnings=soft,
            earliest=max((time for time in times if time), default=None) if all(times) else None,
            data_schema=data_schema(name),
            example=bodies[0] if len(bodies) == 1 else {"together": bodies},
            move=self._move(course, commands[0].trigger, answer, context),
        ), answer

    def _move(self, course: Course, name: str, answer: Accepted | Refused, context: Context) -> Move | None:
        """The move of a change of protocol, also if it is refused."""
        target = context.target
        if name not in triggers.MOVES or target is None or target.digest == course.protocol_digest:
            return None
        if isinstance(answer, Accepted):
            return carry_over.move(answer.drafts[-1].fact.data)
        if name == "change_protocol":
            return carry_over.move(carry_over.entry_data(course, self.protocol, target, context, to_first=True))
        return self.plan(course, target, context) if target.id == course.protocol else None

    def _leads_to(self, course: Course | None, name: str) -> str | None:
        """The state that a refused trigger would lead to, by the trigger table alone."""
        row = triggers.find(name, self.protocol)
        assert row is not None  # `option` has found it
        if row.course_decides:
            return course.phase if course else None
        return triggers.destination(self.protocol, row, name) or (course.state if course else None)

    def _leads_there(self, event: EventData) -> bool:
        """Chooses one of several rows by the state that the course remembers, before any rule is evaluated."""
        case: Case = event.kwargs["case"]
        dest = event.transition.dest if event.transition else None
        if case.trigger == "adopt":
            return bool(dest == case.data["phase"]) or (
                case.data["phase"] not in self.protocol.phase_ids and dest == self.protocol.first.id
            )
        left = case.course.ending.left if case.course.ending else case.course.phase
        return bool(dest == left)

    def _lawful(self, event: EventData) -> bool:
        """The one condition: asks every rule bound to the trigger and keeps the refusals."""
        case: Case = event.kwargs["case"]
        verdicts: Verdicts = event.kwargs["verdicts"]
        for bound in self.bound[case.trigger]:
            refusal = bound.ask_unless_attested(case)
            if refusal:
                verdicts.add(refusal)
        return not verdicts.refusals

    def _append(self, course: Course | None, prepared: tuple[Prepared, ...], context: Context) -> Accepted | Refused:
        """The usual case: every command comes after all entries. Facts about the record are judged last, and known to every gate."""
        commands = numbered(course, prepared)
        about_record = facts_about_record(self.protocol, course, commands, context) if len(commands) > 1 else []
        drafts: dict[int, Draft] = {}
        now = course
        for seq, each in sorted(commands, key=lambda command: command[1].row.about_record):
            data = derive(self.protocol, now, each, context)
            seen = on_record(now, about_record) if now and not each.row.about_record else now
            verdict = self.judge(seen, each, data, context)
            if verdict.refusals:
                return refused(course, each.name, verdict.refusals, _place_of(seq, commands))
            fact = fact_of(self.protocol, each, now, data, context, seq=seq, overridden=verdict.overridden)
            after = apply(now, fact)
            called = data["phases"].get(verdict.to, verdict.to) if each.name in triggers.MOVES else verdict.to
            assert after.state == called, f"the fold and transitions disagree about {each.name}"
            drafts[seq] = draft_of(fact, each, now, after.state)
            now = after
        assert now is not None
        for seq, each in commands if len(commands) > 1 else ():
            unsafe = self.unsafe(now, each.name, each.data, context.now, context)
            if unsafe:
                return refused(course, each.name, unsafe, _place_of(seq, commands))
        made = [drafts[seq] for seq, _ in commands]
        return Accepted(course=now, drafts=tuple(_in_states(course, made) if len(made) > 1 else made))

    def _place(self, course: Course, prepared: tuple[Prepared, ...], context: Context) -> Accepted | Refused:
        """Places late entries and amendments where they happened, and folds the whole course again."""
        answer = place_late(self, course, prepared, context)
        if isinstance(answer, RefusedAt):
            return refused(course, answer.trigger, answer.refusals, _place_of(answer.seq, numbered(course, prepared)))
        folded = fold((*context.history, *(draft.fact for draft in answer)))
        assert folded is not None
        drafts = tuple(
            msgspec.structs.replace(draft, from_=course.state, to=folded.state)
            if draft.fact.trigger in triggers.CORRECTIONS
            else draft
            for draft in answer
        )
        return Accepted(course=folded, drafts=drafts)

    def _move_entries(self, course: Course, prepared: Prepared, context: Context) -> Accepted | Refused:
        """Makes entries void here and records them in the other course, if both accept that."""
        arrived = arrive(self, course, prepared, context)
        if isinstance(arrived, Break) and context.other_course:
            other = msgspec.structs.replace(context.other_course, refused=(arrived,))
            context = msgspec.structs.replace(context, other_course=other)
        leaving = msgspec.structs.replace(prepared, data=derive(self.protocol, course, prepared, context))
        answer = self._place(course, (leaving,), context)
        elsewhere = arrived if isinstance(arrived, Arrived) else None
        return msgspec.structs.replace(answer, elsewhere=elsewhere) if isinstance(answer, Accepted) else answer


def _overriding(command: Command, soft: tuple[Refusal, ...]) -> Command:
    """The command, also overriding these soft rules."""
    named = command.override.rules if command.override else ()
    reason = command.override.reason if command.override else examples.REASON
    return msgspec.structs.replace(command, override=Override((*named, *(refusal.rule for refusal in soft)), reason))


def refused(course: Course | None, trigger: str, refusals: tuple[Refusal, ...], together: int | None = None) -> Refused:
    state, version = (course.state, course.version) if course else (None, 0)
    return Refused(trigger=trigger, state=state, version=version, refusals=refusals, together=together)


def _in_states(course: Course | None, drafts: list[Draft]) -> Iterator[Draft]:
    """The drafts of one request, with facts about the record in the state that the command before them leads to."""
    state = course.state if course else ""
    for draft in drafts:
        about_record = draft.fact.trigger in triggers.ABOUT_RECORD
        yield msgspec.structs.replace(draft, from_=state, to=state) if about_record else draft
        state = state if about_record else draft.to


def _place_of(seq: int, commands: list[tuple[int, Prepared]]) -> int | None:
    """The place of a numbered command among several, from 0; None for a single one."""
    return seq - commands[0][0] if len(commands) > 1 else None


def _ask(rule: Rule, case: Case, severity: Severity = "hard") -> Refusal | None:
    return Bound(rule=rule, severity=severity).ask(case)


def _required(refusal: Refusal | None) -> Refusal:
    assert refusal is not None, "a rule that must refuse does not: transitions and the trigger table disagree"
    return refusal


_MACHINES: dict[str, CourseMachine] = {}


def machine_for(protocol: Protocol) -> CourseMachine:
    """The shared machine of a protocol version. It is built once, since building one takes as long as a hundred triggers."""
    known = _MACHINES.get(protocol.digest)
    return known or _MACHINES.setdefault(protocol.digest, CourseMachine(protocol))


@cache
def data_schema(name: str) -> dict[str, Any]:
    """The JSON schema of a trigger's data, complete in itself."""
    row = triggers.row_of(name)
    assert row is not None  # machines have no other names
    return msgspec.json.schema(row.payload)


def decide(protocol: Protocol, course: Course | None, command: Command, context: Context) -> Accepted | Refused:
    """The result of firing a command on a course. Pure.

    Raises CommandInvalid, or TriggerNotPermitted if the actor's role may never fire the trigger.
    """
    return machine_for(protocol).preview(course, (command,), context)
