"""Faults that only a machine can have: an extra row, a missing rule, a rule with an exception. The gate finds each, with a trace."""

import pytest
from support.faulty_protocols import Sabotaged, found, over, small, softened, unless

from ipt_workflow import gate
from ipt_workflow.course import late_entries
from ipt_workflow.gate import exploration
from ipt_workflow.machine import CourseMachine

LEAVING_MIDDLE = over(small(), "begin_final")
COMPLETING = over(small(), "complete")


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    ("machine", "says", "last"),
    (
        pytest.param(
            Sabotaged(row=("begin_final", "initial", "final"), without=LEAVING_MIDDLE),
            "initial is followed by final",
            "begin_final",
            id="a phase that is skipped",
        ),
        pytest.param(
            Sabotaged(row=("complete", "middle", "completed"), without=COMPLETING),
            "middle is followed by completed",
            "complete",
            id="a last phase that is skipped",
        ),
        pytest.param(
            Sabotaged(row=("begin_middle", "middle", "middle")),
            "middle is followed by middle",
            "begin_middle",
            id="a phase that is begun again",
        ),
        pytest.param(
            Sabotaged(row=("begin_middle", "final", "middle")),
            "final is followed by middle",
            "begin_middle",
            id="a phase that is gone back to",
        ),
        pytest.param(
            Sabotaged(row=("begin_middle", "paused", "middle")),
            "paused is followed by middle",
            "begin_middle",
            id="a phase that begins in a pause",
        ),
        pytest.param(
            Sabotaged(row=("begin_middle", "ended_early", "middle")),
            "a course that left initial is ended_early, and then middle",
            "begin_middle",
            id="an ending that is walked out of",
        ),
        pytest.param(
            Sabotaged(row=("start", "not_suitable", "initial")),
            "is not_suitable, and then initial",
            "start",
            id="a course that starts though it was declined",
        ),
        pytest.param(
            Sabotaged(row=("decline", "middle", "not_suitable")),
            "middle is followed by not_suitable",
            "decline",
            id="a course that is declined in its midst",
        ),
        pytest.param(
            Sabotaged(without=("phase_sessions_met",)),
            "initial is left after 0 sessions and must have 1",
            "begin_middle",
            id="a phase that is left without a session",
        ),
        pytest.param(
            Sabotaged(without=("final_held",)),
            "final is left after 0 sessions and must have 2",
            "complete (overriding ",
            id="a last phase that is cut short",
        ),
    ),
)
def test_phases_out_of_order_are_found(machine, says, last):
    assert found(machine, "phases_in_order", says).trace[-1].startswith(last)


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    "machine",
    (
        pytest.param(Sabotaged(without=("sick_role_resolved",)), id="no rule about it"),
        pytest.param(Sabotaged(judging={"sick_role_resolved": softened}), id="a soft rule about it"),
        pytest.param(
            Sabotaged(judging={"sick_role_resolved": unless(lambda case: case.course.extended)}), id="none once it is extended"
        ),
        pytest.param(
            Sabotaged(judging={"sick_role_resolved": unless(lambda case: case.course.interruptions)}), id="none after a pause"
        ),
        pytest.param(
            Sabotaged(judging={"sick_role_resolved": unless(lambda case: any(not each.attended for each in case.course.sessions))}),
            id="none after a miss",
        ),
        pytest.param(
            Sabotaged(
                judging={
                    "sick_role_resolved": unless(lambda case: case.course.contract and case.course.focus and case.course.measures)
                }
            ),
            id="none once the other paperwork is done",
        ),
    ),
)
def test_a_second_phase_without_the_sick_role_is_found(machine):
    finding = found(
        machine, "sick_role_before_second_phase", "middle begins while the sick role is pending, and the protocol demands it"
    )
    assert finding.trace[-1].startswith("begin_middle")


def test_a_sick_role_that_is_waived_without_a_supervisor_is_found():
    finding = found(Sabotaged(without=("waiver_agreed",)), "sick_role_before_second_phase", "is waived without a supervisor")
    assert finding.trace == ("refer", "record_consent", "start", "waive_sick_role (alone)")


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    ("machine", "says", "last"),
    (
        pytest.param(
            Sabotaged(without=("phase_session_cap",)),
            "initial has 3 sessions and may have 2",
            "record_session (held)",
            id="no rule about a phase's sessions",
        ),
        pytest.param(
            Sabotaged(judging={"phase_session_cap": unless(lambda case: case.data["attendance"] == "6")}),
            "initial has 3 sessions and may have 2",
            "record_session (held late)",
            id="none about a session that began late",
        ),
        pytest.param(
            Sabotaged(judging={"phase_session_cap": unless(lambda case: case.context.actor.role == "ehr")}),
            "initial has 3 sessions and may have 2",
            "record_session (recorded by an EHR)",
            id="none for an EHR",
        ),
        pytest.param(
            Sabotaged(without=("phase_session_cap", "contract_session_cap", "final_remaining")),
            "sessions were held of 5 that are contracted",
            "record_session (held)",
            id="no rule about the contract's sessions",
        ),
        pytest.param(
            Sabotaged(without=("contract_in_range",)),
            "a contract of 5 sessions is agreed without a supervisor; the range is exactly 6",
            "agree_contract (out of range)",
            id="no rule about a contract's range",
        ),
        pytest.param(
            Sabotaged(without=("supervisor_agrees",)),
            "initial is extended without a supervisor",
            "extend_phase (alone)",
            id="an extension that nobody agreed to",
        ),
        pytest.param(
            Sabotaged(without=("extension_allowed",)),
            "initial is extended a second time",
            "extend_phase",
            id="a second extension",
        ),
    ),
)
def test_more_sessions_than_the_caps_are_found(machine, says, last):
    assert found(machine, "session_caps_hold", says).trace[-1] == last


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    ("machine", "says", "last"),
    (
        pytest.param(
            Sabotaged(without=("within_planned_end",)),
            "a session is held 15 days after the planned end",
            "record_session (held too late)",
            id="no rule about the planned end",
        ),
        pytest.param(
            Sabotaged(judging={"within_planned_end": unless(lambda case: case.course.phase == "final")}),
            "a session is held 15 days after the planned end",
            "record_session (held too late)",
            id="none in the last phase",
        ),
        pytest.param(
            Sabotaged(without=("contract_in_range",)),
            "a contract of 5 weeks is agreed without a supervisor; the range is exactly 6",
            "agree_contract (out of range)",
            id="no rule about a contract's range",
        ),
    ),
)
def test_more_weeks_than_the_caps_are_found(machine, says, last):
    assert found(machine, "week_cap_holds", says).trace[-1] == last


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    ("trigger", "rule", "state"),
    (
        ("record_measure", "contract_agreed", "referred"),
        ("end_early", "evaluation_recorded", "referred"),
        ("record_contact", "consent_given", "referred"),
        ("raise_risk", "focus_selected", "initial"),
        ("note", "gains_recorded", "middle"),
        ("refer_on", "no_unsigned_session", "initial"),
        ("withdraw_consent", "no_open_deviation", "initial"),
        ("record_contact", "phase_sessions_met", "paused"),
        ("review_risk", "no_acute_risk", "initial"),
        ("record_session", "formulation_accepted", "initial"),
        ("record_measure", "final_remaining", "middle"),
    ),
)
def test_care_that_waits_is_found(trigger, rule, state):
    machine = Sabotaged(beside={trigger: (rule,)})
    finding = found(machine, "care_is_never_blocked", f"{trigger} is refused while {state}, by {rule}")
    assert finding.trace[-1].startswith(trigger)


@pytest.mark.matrix(5)
@pytest.mark.parametrize(
    "rule", ("baseline_of_every_aim", "no_acute_risk", "focus_worked", "final_attended", "alternative_offered")
)
def test_a_rule_that_always_passes_is_found(rule):
    machine = Sabotaged(judging={rule: unless(lambda _case: True)})
    assert found(machine, "every_rule_matters", f"{rule} never refuses")


def test_a_machine_that_finds_no_signature_after_the_date_of_a_step_is_found(monkeypatch):
    monkeypatch.setattr(late_entries, "on_record", lambda course, _facts: course)
    finding = found(CourseMachine(small()), "a_plain_course_completes", "begin_middle is refused by no_unsigned_session")
    assert finding.trace[-1] == "record_session (held)"


def test_a_step_that_escapes_its_rules_by_a_false_date_is_found():
    dated_back = unless(lambda case: case.at < case.context.now)
    machine = Sabotaged(judging=dict.fromkeys(over(small(), "begin_middle"), dated_back))
    finding = found(machine, "phases_in_order", "initial is left after 0 sessions")
    assert finding.trace[-1] == "begin_middle (dated to the start)"


def test_a_rule_that_never_passes_is_found():
    found(
        Sabotaged(beside={"begin_middle": ("gains_recorded",)}),
        "every_rule_can_pass",
        "gains_recorded always refuses begin_middle",
    )


def test_a_rule_that_another_hides_is_found():
    machine = Sabotaged(judging={"evaluation_recorded": unless(lambda case: case.course.inventory)})
    assert found(machine, "every_rule_matters", "evaluation_recorded is never the only obstacle to begin_middle")


def test_the_way_to_a_fault_is_the_shortest():
    report = gate.examine(Sabotaged(without=("phase_session_cap",)))
    finding = next(each for each in report.of("session_caps_hold") if "initial has 3 sessions" in each.why)
    assert [step for step in finding.trace if step != "sign_session"] == [
        "refer", "record_consent", "start", "record_session (held)", "record_session (held)", "record_session (held)",
    ]  # fmt: skip


def test_what_is_not_looked_at_to_the_end_is_not_called_proved(monkeypatch):
    monkeypatch.setattr(exploration, "COURSES_MAX", 40)
    report = gate.examine(CourseMachine(small()))
    assert report.cut_off
    assert not report.ok
    assert report.findings == ()
    assert {report.holds(claim) for claim in gate.CLAIMS} == {None}
