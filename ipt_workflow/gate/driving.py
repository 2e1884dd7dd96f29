"""Firing triggers on the machine, and watching what comes of each: claims are checked with every step that is accepted."""

import datetime as dt
import re
from typing import Any

import msgspec

from ipt_workflow import examples, triggers
from ipt_workflow.errors import CommandInvalid, TriggerNotPermitted
from ipt_workflow.gate import claims
from ipt_workflow.gate.abstraction import SUPERVISOR, THERAPIST, Path, Spot, context, leaving
from ipt_workflow.gate.claims import Finding
from ipt_workflow.machine import Accepted, CourseMachine, Refused
from ipt_workflow.refusal import Refusal
from ipt_workflow.rules import Actor
from ipt_workflow.triggers import Command

BEGINNING = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
MOMENT = dt.timedelta(minutes=1)
FINDINGS_MAX = 20  # of one claim
NUMBERS = re.compile(r"[0-9]+")


class Driver:
    """One machine, and all that was seen of it. `passed` and `stood` hold, for what leaves a phase, which rules did."""

    def __init__(self, machine: CourseMachine) -> None:
        self.machine = machine
        self.protocol = machine.protocol
        self.found: dict[tuple[str, str], Finding] = {}
        self.passed: set[tuple[str, str]] = set()
        self.stood: set[tuple[str, str]] = set()
        self.tried = 0

    def find(self, claim: str, why: str, path: Path | None = None, *more: str) -> None:
        """Keeps the first refutation of a claim for one reason, whatever its numbers: exploring nearest first, it has the shortest way."""
        reason = (claim, NUMBERS.sub("", why))
        if sum(each == claim for each, _ in self.found) < FINDINGS_MAX:
            self.found.setdefault(reason, Finding(claim, why, (*(path.steps() if path else ()), *more)))

    def open(self) -> Spot:
        """A course that was just referred."""
        accepted = self.machine.preview(None, (self._command(None, "refer", BEGINNING, THERAPIST),), context(BEGINNING, THERAPIST))
        assert isinstance(accepted, Accepted), "a first referral meets no other course"
        return Spot(course=accepted.course, now=BEGINNING, path=Path(None, "refer"))

    def fire(
        self,
        spot: Spot,
        name: str,
        by: Actor = THERAPIST,
        *,
        cosigner: Actor | None = None,
        after: dt.timedelta = MOMENT,
        override: tuple[str, ...] = (),
        says: str = "",
        exception: str = "",
        data: dict[str, Any] | None = None,
        reason: str | None = None,
    ) -> Spot | Refused:
        """Fires the example of a trigger, changed by `data`. `exception` marks courses that went this way."""
        self.tried += 1
        now = spot.now + after
        command = self._command(spot, name, now, by, data or {}, override, reason)
        answer = self.machine.preview(spot.course, (command,), context(now, by, cosigner))
        if claims.leaves_a_phase(name) and (isinstance(answer, Accepted) or not override):
            self._judge(name, answer)
        if isinstance(answer, Refused):
            return answer
        step = f"{name}{f' ({says})' if says else ''}"
        after_it = Spot(
            course=answer.course,
            now=now,
            exception=exception or spot.exception,
            path=Path(spot.path, step),
        )
        self._watch(spot, name, answer, after_it)
        return after_it

    def paperwork(self, spot: Spot, **changed: dict[str, Any]) -> Spot:
        """Does all that the refusals of what comes next name as remedies, and that is no session and changes no state.

        Remedies may have remedies of their own: it goes on as long as that changes what stands.
        """
        stood: tuple[Refusal, ...] = ()
        while True:
            name = leaving(self.machine, spot.course)
            if name is None:
                return spot
            answer = self.fire(spot, name)
            if isinstance(answer, Spot):
                return spot
            if answer.refusals == stood:
                return spot
            stood = answer.refusals
            wanted = dict.fromkeys(
                remedy.trigger for refusal in answer.refusals for remedy in refusal.remedies if self._is_paper(remedy.trigger)
            )
            for trigger in wanted:
                done = self.fire(spot, trigger, data=changed.get(trigger))
                spot = done if isinstance(done, Spot) else spot

    def standing(self, spot: Spot) -> frozenset[str]:
        """The rules that stand against what comes next."""
        name = leaving(self.machine, spot.course)
        answer = self.fire(spot, name) if name else None
        return frozenset(refusal.rule for refusal in answer.refusals) if isinstance(answer, Refused) else frozenset()

    def _is_paper(self, name: str) -> bool:
        row = triggers.find(name, self.protocol)
        return row is not None and row.to is None and name not in NO_PAPER

    def _command(
        self,
        spot: Spot | None,
        name: str,
        now: dt.datetime,
        by: Actor,
        data: dict[str, Any] | None = None,
        override: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> Command:
        body = examples.example(self.protocol, spot.course if spot else None, name, context(now, by))
        body["data"] = {**body["data"], **(data or {})}
        if reason:
            body["reason"] = reason
        if override:
            body["override"] = {"rules": list(override), "reason": "To see whether it passes."}
        return msgspec.convert(body, Command)

    def _judge(self, name: str, answer: Accepted | Refused) -> None:
        told = answer.drafts[-1].overridden if isinstance(answer, Accepted) else [refusal.rule for refusal in answer.refusals]
        stands = set(told)
        if "state_allows" in stands:
            return
        for bound in self.machine.bound[name]:
            (self.stood if bound.rule.name in stands else self.passed).add((name, bound.rule.name))

    def _watch(self, before: Spot, name: str, answer: Accepted, after: Spot) -> None:
        draft = answer.drafts[-1]
        seen = {
            "phases_in_order": claims.order_broken(self.machine, before.course, after.course),
            "sick_role_before_second_phase": claims.sick_role_missing(self.machine, before.course, after.course, draft.overridden),
            "session_caps_hold": claims.cap_exceeded(self.machine, after.course) if name == "record_session" else None,
        }
        if name == "record_session" and after.course.sessions[-1].counts:
            seen["week_cap_holds"] = claims.too_late(self.machine, before.course, after.now)
        for claim, why in seen.items():
            if why:
                self.find(claim, why, after.path)

    def reopen(self, spot: Spot) -> None:
        """Takes an ending back: that leads to where it left from, and nowhere else."""
        ending, back = spot.course.ending, self.fire(spot, "reopen", SUPERVISOR)
        if ending and isinstance(back, Spot) and back.course.state != ending.left:
            self.find("phases_in_order", f"a course that left {ending.left} is reopened in {back.course.state}", back.path)

    def care(self, spot: Spot) -> None:
        """Whether what must never be blocked is accepted here."""
        for name in self.machine.triggers:
            row = triggers.find(name, self.protocol)
            if row is None or not row.never_blocked or spot.course.state not in triggers.states(self.protocol, row.sources, name):
                continue
            try:
                answer = self.fire(spot, name)
            except (CommandInvalid, TriggerNotPermitted) as error:
                self.find("care_is_never_blocked", f"{name} cannot be said: {error}", spot.path)
                continue
            if isinstance(answer, Refused):
                rules = ", ".join(refusal.rule for refusal in answer.refusals)
                self.find("care_is_never_blocked", f"{name} is refused while {spot.course.state}, by {rules}", spot.path, name)


NO_PAPER = frozenset(
    {"record_session", "sign_session", "attest_session", "acknowledge_deviation", "amend_contract", "extend_phase", "amend", "transfer"}
)  # fmt: skip
