"""Counting where the group's sessions count, held with this client or without (`count = "held"`), on numbers worked by hand."""

import datetime as dt

import pytest
from support.course_walk import MINUTE, WEEK, S, Walk, covers, group_of_eight, refused_by, replaced

from ipt_workflow.course import counters
from ipt_workflow.course.course import HeldBefore
from ipt_workflow.course.rules import GroupHeld

FIRST_PHASE = ("record_evaluation", "record_inventory", "assign_sick_role", "select_focus", "agree_contract")
LAST_PHASE = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation")


class Member(Walk):
    """The course of one member of a group, which meets once a week."""

    def __init__(self, **changes) -> None:
        super().__init__(replaced(group_of_eight(), **changes) if changes else group_of_eight())
        self.met = 0

    def group(self, attendance: str = "5", *, held: bool = True, **more) -> "Member":
        """The group's next session, as this course gets it."""
        self.met += 1
        if self.met > 1:
            self.now = max(self.now, self.group_at + WEEK)
        self.group_at = self.now
        self.group_session = GroupHeld(f"session-{self.met}", held, "therapist-1")
        self.now -= MINUTE
        self.fire("record_session", attendance=attendance, **more)
        if attendance in {"5", "6"}:
            self.fire("sign_session", session=self.seq("record_session"))
        return self

    def prepared(self) -> "Member":
        """In the first phase, with everything but sessions that the phase asks for."""
        self.in_initial().fire("record_contact", kind="pre_group")
        self.do(*FIRST_PHASE).measure()
        return self

    def fire_contact(self) -> "Member":
        self.fire("record_contact", kind="pre_group")
        return self

    def numbers(self) -> tuple[int, int | None]:
        return self.counted.consumed, self.counted.remaining


def test_who_misses_the_only_initial_session_goes_on():
    walk = Member().prepared().group("3")
    assert walk.counted.attended == {"initial": 1, "middle": 0, "final": 0}
    assert walk.counted.missed["initial"] == 1
    assert walk.numbers() == (1, 7)
    walk.do("begin_middle")
    assert walk.state == "middle"


@pytest.mark.parametrize("attendance", ("2", "3", "4", "7"))
@pytest.mark.parametrize(("held", "counted"), ((True, 1), (False, 0)))
def test_whatever_kept_a_member_away_the_session_counts_where_the_group_held_it(attendance, held, counted):
    walk = Member().prepared().group(attendance, held=held)
    assert walk.counted.attended["initial"] == counted
    assert walk.numbers() == (counted, 8 - counted)
    assert ("phase_sessions_met" in walk.refused("begin_middle")) == (not held)


def test_an_excuse_and_what_the_contract_says_of_misses_change_nothing_of_what_the_group_held():
    for missed_count in (True, False):
        walk = Member().prepared()
        walk.fire("agree_contract", missed_count=missed_count)
        walk.group("3", excused=True)
        assert walk.numbers() == (1, 7)
        walk.do("begin_middle")
        walk.group("2", late_notice=True, held=False)  # the group did not meet: nothing is used up
        assert walk.numbers() == (1, 7)
        walk.group("2", late_notice=True)
        assert walk.numbers() == (2, 6)


def test_every_rule_that_counts_agrees_from_the_first_session_to_the_last():
    """8 sessions: 1, 6, 1. Missed: the 1st, the 3rd, the 5th and the 8th."""
    walk = Member().prepared().group("3")
    assert "phase_session_cap" in refusals_of_a_session(walk, "5")
    assert "phase_session_cap" in refusals_of_a_session(walk, "3")  # held, it would be a second one of one
    walk.do("begin_middle")
    for n, attendance in enumerate(("5", "3", "6", "2", "5", "5"), start=1):
        assert ("phase_sessions_met" in walk.refused("begin_final")) == (n <= 6)
        walk.group(attendance)
        assert walk.counted.attended["middle"] == n
        assert walk.numbers() == (1 + n, 7 - n)
    assert walk.counted.missed == {"initial": 1, "middle": 2, "final": 0}
    assert {"phase_session_cap"} == set(refusals_of_a_session(walk, "5")) == set(refusals_of_a_session(walk, "4"))
    walk.do("announce_ending", "begin_final")
    assert "final_held" in walk.refused("complete")
    walk.group("7")
    assert walk.numbers() == (8, 0)
    assert {"phase_session_cap", "contract_session_cap"} == set(refusals_of_a_session(walk, "5"))
    walk.do(*LAST_PHASE).measure()
    refused_by(walk, "final_attended", "complete", severity="soft", current=0, required=1, remedies=())
    walk.fire("complete", override=("final_attended",))
    assert walk.state == "completed"


def refusals_of_a_session(walk: Member, attendance: str) -> dict:
    """The refusals of the group's next session, by rule."""
    copy = walk.copy()
    copy.now += WEEK
    copy.group_session = GroupHeld("session-next", True, "therapist-1")
    return copy.refused("record_session", attendance=attendance)


def test_a_session_the_group_did_not_hold_meets_no_cap_and_uses_nothing_up():
    walk = Member().prepared().group().group("4", held=False).group("3", held=False)
    assert walk.counted.attended["initial"] == 1
    assert walk.numbers() == (1, 7)


def test_one_of_the_groups_sessions_beyond_a_cap_is_additional_and_only_who_was_there_deviates():
    for attendance, open_deviations in (("5", 1), ("3", 0)):
        walk = Member().prepared().group().group(attendance, kind="additional", reason="The group met twice.")
        assert walk.counted.attended["initial"] == 1
        assert walk.numbers() == (1, 7)
        assert len(walk.c.open_deviations) == open_deviations


def test_the_weeks_of_who_missed_the_first_session_are_the_groups():
    walk = Member().prepared().group("3")
    first = walk.c.sessions[0].at
    clock = counters.clock(walk.c, first + WEEK)
    assert (clock.started_on, clock.week, clock.planned_end) == (first.date(), 2, first.date() + dt.timedelta(weeks=8))


def test_weeks_do_not_begin_before_the_course_does():
    walk = Member().referred().group("3")
    assert counters.clock(walk.c, walk.now) is None
    walk.do("record_consent", "start")
    assert walk.counted.attended["initial"] == 0


def test_where_a_phase_counts_what_was_attended_the_group_having_met_is_not_enough():
    phases = tuple(replaced(phase, count="attended") for phase in group_of_eight().phases)
    walk = Member(phases=phases, id="attended", digest="attended".ljust(64, "0")).prepared().group("3")
    assert walk.numbers() == (0, 8)
    refused_by(walk, "phase_sessions_met", "begin_middle", current=0)


def test_a_session_recorded_as_missed_and_amended_to_attended_counts_once():
    walk = Member().prepared().group("3")
    entry = walk.seq("record_session")
    walk.fire(
        "amend", data={"supersedes": entry, "data": {"attendance": "6", "participants": ["client", "group"]}}, reason="Came late."
    )
    (session,) = walk.c.sessions
    assert (session.attendance, session.group_session, session.group_held, session.given_by) == (
        "6",
        "session-1",
        True,
        "therapist-1",
    )
    assert walk.numbers() == (1, 7)


@covers("pre_group_met")
def test_the_individual_meeting_before_the_group_is_asked_for():
    walk = Member().in_initial().do(*FIRST_PHASE)
    walk.measure()
    walk.fire("record_contact", kind="check_in")
    walk.now += WEEK
    walk.group("3")
    refused_by(walk, "pre_group_met", "begin_middle", current=0, remedies=("record_contact",))
    walk.fire("record_contact", S, kind="pre_group")
    assert walk.refused("begin_middle") == {}
    assert walk.c.contacted["pre_group"] == 1


# Who joins late: numbers worked by hand


def joined_late(held: int, walk: Member | None = None) -> Member:
    """A member whose group had met for as many weeks, once a week, before the session that comes next."""
    walk = walk or Member().prepared()
    walk.now += WEEK
    walk.held_before = HeldBefore(sessions=held, since=walk.now - held * WEEK)
    return walk


def completes(walk: Member) -> None:
    """Without an override."""
    walk.do(*LAST_PHASE).measure()
    walk.do("complete")
    assert (walk.state, walk.c.overrides) == ("completed", 0)


def test_who_joins_in_week_3_of_8_has_the_rest_to_attend():
    """8 sessions: 1, 6, 1. Before her: 2. Hers: 1, 4, 1."""
    walk = joined_late(2).group()
    assert walk.numbers() == (3, 5)
    clock = counters.clock(walk.c, walk.now)
    assert (clock.week, clock.weeks, clock.planned_end) == (3, 8, clock.started_on + 6 * WEEK)
    walk.do("begin_middle")
    for n in range(1, 5):
        refused_by(walk, "phase_sessions_met", "begin_final", current=n - 1, required="at least 4", alone=False)
        walk.group()
        assert walk.numbers() == (3 + n, 5 - n)
    assert {"phase_session_cap"} == set(refusals_of_a_session(walk, "5"))
    walk.do("announce_ending", "begin_final")
    assert "final_held" in walk.refused("complete")
    walk.group()
    assert walk.numbers() == (8, 0)
    completes(walk)
    assert walk.counted.attended == {"initial": 1, "middle": 4, "final": 1}


def test_who_joins_for_the_last_three_sessions_has_one_of_each_phase():
    walk = joined_late(5).group()
    walk.do("begin_middle")
    refused_by(walk, "phase_sessions_met", "begin_final", current=0, required="at least 1", alone=False)
    walk.group().do("announce_ending", "begin_final").group()
    completes(walk)


def test_in_the_final_phase_too_what_must_be_attended_counts_from_joining():
    """8 sessions: 1, 5, 2. Before her: 5, of which the middle phase takes 4 and the final one 1. Hers: 1, 1, 1."""
    initial, middle, final = group_of_eight().phases
    phases = (
        initial,
        replaced(middle, sessions_min=5, sessions_max=5),
        replaced(final, sessions_min=2, sessions_max=2),
    )
    walk = joined_late(5, Member(phases=phases, id="two-final", digest="two-final".ljust(64, "0")).prepared())
    walk.group().do("begin_middle")
    walk.group().do("announce_ending", "begin_final")
    refused_by(walk, "final_held", "complete", current=0, required=1, alone=False)
    walk.group()
    completes(walk)


def test_a_contract_from_joining_has_the_sessions_and_weeks_that_are_left():
    walk = joined_late(2, Member().in_initial().fire_contact())
    terms = {"client_agrees": True, "therapist_agrees": True}
    both = {"sessions", "weeks"}
    for sessions, weeks, outside in ((5, 6, {"sessions"}), (6, 5, {"weeks"}), (5, 5, both), (8, 6, {"weeks"})):
        refusal = walk.refused("agree_contract", sessions=sessions, weeks=weeks, **terms)["contract_in_range"]
        assert set(refusal.parameters["outside"]) == outside
    walk.fire("agree_contract", sessions=6, weeks=6, **terms)
    assert walk.c.contract.from_joining
    walk.do("record_evaluation", "record_inventory", "assign_sick_role", "select_focus").measure()
    walk.now += MINUTE
    walk.group()
    assert walk.numbers() == (1, 5)
    assert counters.clock(walk.c, walk.now).week == 1
    walk.do("begin_middle")
    for _ in range(4):
        walk.group()
    walk.do("announce_ending", "begin_final")
    assert walk.numbers() == (5, 1)
    walk.group()
    completes(walk)


def test_an_amendment_of_attendance_leaves_what_was_held_before():
    walk = joined_late(2).group("3")
    corrected = {"attendance": "6", "participants": ["client", "group"]}
    walk.fire("amend", data={"supersedes": walk.seq("record_session"), "data": corrected}, reason="Came late.")
    assert walk.c.held_before == walk.held_before
    assert walk.numbers() == (3, 5)


def test_a_session_of_another_group_replaces_what_the_first_had_held_before():
    walk = joined_late(2).group()
    walk.held_before = None
    walk.do("begin_middle")
    walk.group()
    assert (walk.c.held_before, walk.numbers()) == (None, (2, 6))
