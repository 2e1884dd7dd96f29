"""Random courses: after any trigger, legal or not, now or late, the invariants of `domain.md` 6.1 hold.

Hypothesis chooses who fires which trigger with what, or does a week's proper work; the walk checks after each step that the fold of the
entries is the course. Nothing random is outside Hypothesis, and the examples are the same in every run.
"""

import datetime as dt
from itertools import pairwise

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.course_walk import FIRST_PHASE_WORK, HOUR, LAST_PHASE_WORK, MINUTE, STAGES, WEEK, E, S, T, Walk, ipt, reach

from ipt_workflow import journal
from ipt_workflow.course import Course, counters, triggers, visits
from ipt_workflow.course.fold import current_facts, fold, step, superseded_by, timeline
from ipt_workflow.course.triggers import FIRED_ALONE
from ipt_workflow.errors import CommandInvalid, TriggerNotPermitted
from ipt_workflow.machine import Accepted, Refused

PHASES = ("initial", "middle", "final")
NAMES = tuple(name for name in triggers.names(ipt()) if name not in {"refer", "adopt"})
NEVER_BLOCKED = tuple(row.name for row in triggers.TABLE if row.never_blocked and row.needs is None and row.name != "end_early")
JOINABLE = tuple(name for name in NAMES if name not in FIRED_ALONE)
CHECKED_EVERY = 10  # entries; sealing a whole journal costs more than everything else here

actors = st.sampled_from((T, S, E))
attendances = st.sampled_from(("5", "5", "5", "6", "3", "2", "4", "7"))


class Courses(RuleBasedStateMachine):
    """One course of the default protocol, and every step that tests may try on it."""

    walk: Walk

    @initialize(stage=st.sampled_from(STAGES))
    def begin_somewhere(self, stage: str) -> None:
        self.walk = reach(stage)
        self.sealed = 0

    def tried(self, *bodies: dict, by=T, cosigner=None) -> Accepted | Refused | None:
        """Fires. A refused command changes nothing."""
        before = msgspec.json.encode(self.walk.c), len(self.walk.history)
        self.walk.now += dt.timedelta(minutes=1)
        try:
            answer = self.walk.preview(*bodies, by=by, cosigner=cosigner)
        except (CommandInvalid, TriggerNotPermitted):
            answer = None
        assert (msgspec.json.encode(self.walk.c), len(self.walk.history)) == before
        if isinstance(answer, Accepted):
            self.walk.keep(answer)
        elif answer:
            assert answer.refusals
        return answer

    @rule(name=st.sampled_from(NAMES), by=actors, cosigned=st.booleans(), override=st.booleans())
    def fire_anything(self, name, by, cosigned, override) -> None:
        body = self.walk.example(name, by)
        try:
            answer = self.walk.preview(body, by=by)
        except (CommandInvalid, TriggerNotPermitted):
            return
        if override and isinstance(answer, Refused):
            body["override"] = {
                "rules": [r.rule for r in answer.refusals if r.rule != "later_entries_hold"] or ["final_attended"],
                "reason": "x",
            }
        self.tried(body, by=by, cosigner=S if cosigned and by is T else None)

    @rule(name=st.sampled_from(NEVER_BLOCKED), hours=st.integers(0, 24 * 40))
    def what_is_never_blocked_is_accepted_whenever_it_happened(self, name, hours) -> None:
        by = T
        at = max(self.walk.c.opened_at, self.walk.now - hours * HOUR)
        answer = self.tried({**self.walk.example(name, by), "occurred_at": at.isoformat()}, by=by)
        assert isinstance(answer, Accepted), name

    @precondition(lambda self: self.walk.c.open and self.walk.c.version % 5 == 0)  # seldom, or nothing else would happen
    @rule(hours=st.integers(0, 24 * 60))
    def an_early_ending_is_accepted_whenever_it_happened(self, hours) -> None:
        at = max(self.walk.c.opened_at, self.walk.now - hours * HOUR)
        answer = self.tried({**self.walk.example("end_early"), "occurred_at": at.isoformat()})
        assert isinstance(answer, Accepted)
        assert self.walk.state == "ended_early"

    @rule(attendance=attendances, days=st.integers(0, 21), additional=st.booleans())
    def tell_of_a_session(self, attendance, days, additional) -> None:
        self.walk.now += days * dt.timedelta(days=1)
        more = {"kind": "additional"} if additional and attendance in {"5", "6"} else {}
        self.tried(self.walk.body("record_session", attendance=attendance, reason="It was held.", **more))

    @rule(attendance=attendances, hours=st.integers(1, 24 * 60))
    def tell_late_of_a_session(self, attendance, hours) -> None:
        at = self.walk.now - hours * HOUR
        if at >= self.walk.c.opened_at:
            self.tried(self.walk.body("record_session", attendance=attendance, at=at))

    @precondition(lambda self: self.walk.c.sessions)
    @rule(
        data=st.data(),
        by=st.sampled_from((T, E)),
        attendance=attendances,
        minutes=st.integers(-100, 100),
        lasts=st.sampled_from((20, 50, 120)),
        day_only=st.booleans(),
        linking=st.booleans(),
    )
    def tell_again_of_a_session(self, data, by, attendance, minutes, lasts, day_only, linking) -> None:
        """Tells of a session near another one. If it is refused as the same visit, links it or goes on with a reason."""
        near = data.draw(st.sampled_from(self.walk.c.sessions))
        at = max(self.walk.c.opened_at, near.at + minutes * MINUTE)
        more = {"attendance": attendance, "minutes": lasts, "day_only": day_only, "ref": f"Encounter/{self.walk.c.version}"}
        body = self.walk.body("record_session", by, data=more, at=at)
        answer = self.tried(body, by=by)
        overlaps = [each for each in answer.refusals if each.rule == "overlaps_session"] if isinstance(answer, Refused) else []
        for remedy in (each for refusal in overlaps for each in refusal.remedies):
            sessions = len(self.walk.c.sessions)
            if linking:
                assert isinstance(self.tried({"trigger": remedy.trigger, "data": remedy.data}, by=by), Accepted)
                assert len(self.walk.c.sessions) == sessions
            else:
                self.tried({**body, "override": {"rules": ["overlaps_session"], "reason": "Two visits."}}, by=by)

    @rule()
    def work_of_the_first_phase(self) -> None:
        for name in FIRST_PHASE_WORK:
            self.tried(self.walk.example(name))

    @rule()
    def work_of_the_last_phase(self) -> None:
        for name in LAST_PHASE_WORK:
            self.tried(self.walk.example(name))

    @rule()
    def measure_everything(self) -> None:
        self.walk.measure()

    @rule(weeks=st.integers(1, 4))
    def meet_weekly_and_sign(self, weeks) -> None:
        for _ in range(weeks):
            self.walk.now += WEEK
            if isinstance(self.tried(self.walk.body("record_session")), Accepted):
                self.tried(self.walk.example("sign_session"))

    @rule()
    def go_on(self) -> None:
        """Fires the trigger that leads to the next state, if it may."""
        for name in ("start", "resume", "begin_middle", "announce_ending", "begin_final", "complete"):
            option = self.walk.options(T)[name]
            if option.allowed:
                self.tried(option.example)
                return

    @precondition(lambda self: self.walk.c.version > 2)
    @rule(data=st.data(), by=st.sampled_from((T, S)), void=st.booleans(), hours=st.integers(-48, 48))
    def amend(self, data, by, void, hours) -> None:
        seq = data.draw(st.integers(1, self.walk.c.version))
        fact = self.walk.fact(seq)
        data: dict = (
            {"supersedes": seq, "void": True}
            if void
            else {"supersedes": seq, "occurred_at": (fact.occurred_at + hours * HOUR).isoformat()}
        )
        self.tried({"trigger": "amend", "data": data, "reason": "x"}, by=by)

    @precondition(lambda self: len(self.walk.c.sessions) > 1)
    @rule(data=st.data(), minutes=st.integers(-40, 40), override=st.booleans())
    def amend_the_time_of_a_session_to_that_of_another(self, data, minutes, override) -> None:
        one, other = data.draw(st.permutations(self.walk.c.sessions))[:2]
        latest = superseded_by(self.walk.history)
        seq = one.seq
        while seq in latest:
            seq = latest[seq]
        at = max(self.walk.c.opened_at, other.at + minutes * MINUTE)
        body = {"trigger": "amend", "data": {"supersedes": seq, "occurred_at": at.isoformat()}, "reason": "x"}
        if override:
            body["override"] = {"rules": ["overlaps_session"], "reason": "Two visits."}
        self.tried(body, by=S)

    @rule(first=st.sampled_from(JOINABLE), second=st.sampled_from(JOINABLE), hours=st.integers(0, 72))
    def fire_two_together(self, first, second, hours) -> None:
        bodies = [self.walk.example(first), self.walk.example(second)]
        at = max(self.walk.c.opened_at, self.walk.now - hours * HOUR)
        bodies[0]["occurred_at"] = at.isoformat()
        before = self.walk.c.version
        answer = self.tried(*bodies)
        assert self.walk.c.version == before + (2 if isinstance(answer, Accepted) else 0)

    # domain.md 6.1

    @invariant()
    def phases_come_in_order_none_skipped_none_repeated(self) -> None:
        entered = tuple(_phases_entered(self.walk))
        assert entered == PHASES[: len(entered)]

    @invariant()
    def no_phase_has_more_sessions_than_its_cap(self) -> None:
        """A course with contradicting entries waits for a person. Until then it keeps both."""
        counted = self.walk.counted
        if self.walk.c.contradicted:
            return
        assert counted.attended["initial"] <= (4 if "initial" in self.walk.c.extended else 3)
        assert counted.attended["final"] <= 3

    @invariant()
    def no_more_sessions_are_used_than_were_contracted(self) -> None:
        counted = self.walk.counted
        if counted.contracted is not None and not self.walk.c.contradicted:
            assert counted.consumed <= counted.contracted
            assert counted.remaining == counted.contracted - counted.consumed

    @invariant()
    def one_visit_is_one_session_unless_somebody_said_why(self) -> None:
        facts, sessions, zone = current_facts(self.walk.history), self.walk.c.sessions, self.walk.zone
        for one in sessions:
            for other in visits.same_visit([each for each in sessions if each is not one], one, zone):
                assert "overlaps_session" in facts[one.seq].overridden + facts[other.seq].overridden

    @invariant()
    def beyond_the_first_phase_the_sick_role_is_settled_and_a_session_was_held(self) -> None:
        course = self.walk.c
        if course.phase in {"middle", "final"} and not course.contradicted:
            assert course.sick_role.status != "pending"
            assert self.walk.counted.attended["initial"] >= 1

    @invariant()
    def beyond_the_first_phase_nothing_is_missing_that_was_not_taken_back_since(self) -> None:
        """Amendments must keep order, counts, sick role and duplicates (`machine.md`, Time). Gates read the rest."""
        course = self.walk.c
        if course.phase in {"middle", "final"} and not course.contradicted and not self.walk.seqs("amend"):
            assert course.focus is not None
            assert 1 <= len(course.focus.areas) <= 2
            assert course.contract is not None
            assert course.evaluated

    @invariant()
    def a_completed_course_has_held_its_last_phase_and_done_its_tasks(self) -> None:
        course = self.walk.c
        if course.state == "completed" and not course.contradicted and not self.walk.seqs("amend"):
            assert counters.consumed_in_last(ipt(), course) == 3
            assert course.gains
            assert course.independence
            assert course.recurrence_planned
            assert course.continuation is not None

    @invariant()
    def entries_are_gapless_and_their_recorded_times_never_go_back(self) -> None:
        history = self.walk.history
        assert [fact.seq for fact in history] == list(range(1, len(history) + 1))
        assert all(one.recorded_at <= two.recorded_at for one, two in pairwise(history))
        assert all(
            fact.occurred_at <= fact.recorded_at for fact in history if fact.trigger not in {"book_session", "record_session"}
        )

    @invariant()
    def the_fold_is_the_course_and_the_chain_holds(self) -> None:
        assert fold(self.walk.history) == self.walk.c
        if len(self.walk.history) - self.sealed >= CHECKED_EVERY:
            self.sealed = len(self.walk.history)
            check_journal(self.walk)

    @invariant()
    def the_course_survives_being_stored(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(self.walk.c), type=type(self.walk.c)) == self.walk.c

    def teardown(self) -> None:
        if hasattr(self, "walk") and self.walk.course:
            check_journal(self.walk)


def _phases_entered(walk: Walk) -> list[str]:
    """The phases in the order that the folded course saw them, each change once."""
    seen: list[str] = []
    course: Course | None = None
    for placed in timeline(walk.history):
        course = step(course, placed)
        if course.phase and seen[-1:] != [course.phase]:
            seen.append(course.phase)
    return seen


def check_journal(walk: Walk) -> None:
    entries = walk.entries()
    assert journal.check_chain(((e.canonical, e.hash, e.salt, e.sealed) for e in entries), "clinic", "course-1").fault is None
    assert journal.replay(entries) == walk.c


FEW = settings(
    max_examples=10,
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


class TestCourses(Courses.TestCase):
    settings = FEW


@pytest.mark.rest
class TestManyCourses(Courses.TestCase):
    settings = settings(FEW, max_examples=160)
