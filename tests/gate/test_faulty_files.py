"""Faults that a file can have and still load. The gate finds and names each."""

import pytest
from support.faulty_protocols import also_requiring, found, replaced, small, with_contract, with_phase, without

from ipt_workflow import gate
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import Bounds, PhaseRule

RECOMMENDED = "middle_sessions_recommended"


def recommending(sessions: int) -> tuple[PhaseRule, ...]:
    return (PhaseRule(rule=RECOMMENDED, parameters={"minimum": sessions}),)


def test_the_protocol_that_the_faults_are_planted_in_has_none():
    report = gate.examine(CourseMachine(small()))
    assert report.findings == ()
    assert report.ok


@pytest.mark.matrix(3)
@pytest.mark.parametrize(
    ("protocol", "claim", "says"),
    (
        pytest.param(
            with_phase("middle", rules=recommending(30)),
            "every_rule_can_pass",
            f"{RECOMMENDED} always refuses begin_final",
            id="more sessions recommended than a contract has",
        ),
        pytest.param(
            with_phase("middle", rules=recommending(0)),
            "every_rule_matters",
            f"{RECOMMENDED} never refuses begin_final",
            id="a recommendation that everybody follows",
        ),
        pytest.param(
            with_phase("middle", rules=recommending(1)),
            "every_rule_matters",
            f"{RECOMMENDED} is never the only obstacle to begin_final",
            id="a recommendation that is a demand already",
        ),
        pytest.param(
            also_requiring("initial", "recurrence_plan"),
            "every_rule_can_pass",
            "recurrence_planned always refuses begin_middle",
            id="a task of the last phase asked of the first",
        ),
        pytest.param(
            also_requiring("middle", "gains"),
            "a_plain_course_completes",
            "gains_recorded",
            id="a task of the last phase asked of the middle",
        ),
        pytest.param(
            also_requiring("initial", "sick_role_relinquished"),
            "a_plain_course_completes",
            "begin_middle is refused by sick_role_relinquished",
            id="a sick role that must be there and be given up, each before the phase is left",
        ),
        pytest.param(
            replaced(small(), sick_role=replaced(small().sick_role, mode="not_used")),
            "every_rule_can_pass",
            "sick_role_resolved always refuses begin_middle",
            id="a sick role that is asked for and not used",
        ),
        pytest.param(
            replaced(
                with_phase("initial", requires=without("initial", "sick_role")),
                sick_role=replaced(small().sick_role, mode="not_used"),
            ),
            "every_rule_matters",
            "sick_role_relinquished never refuses complete",
            id="a sick role that is given up and never given",
        ),
        pytest.param(
            replaced(small(), measures=tuple(spec for spec in small().measures if spec.aim == "symptoms")),
            "every_rule_can_pass",
            "end_of_every_aim always refuses complete",
            id="aims that no scale speaks to",
        ),
        pytest.param(
            with_contract(weeks=Bounds(1, 1), grace_days=0),
            "a_plain_course_completes",
            "within_planned_end",
            id="fewer weeks than the sessions take",
        ),
        pytest.param(
            with_contract(cadence_days=40),
            "a_plain_course_completes",
            "within_planned_end",
            id="sessions too far apart for the weeks",
        ),
        pytest.param(
            with_contract(sessions=Bounds(1, 3)),
            "a_plain_course_completes",
            "contract_agreed",
            id="fewer sessions than the phases need",
        ),
        pytest.param(
            with_contract(sessions=Bounds(220, 230), weeks=Bounds(220, 230)),
            "a_plain_course_completes",
            "the example of agree_contract is invalid: data.sessions must be at most 200",
            id="more sessions than any contract can have",
        ),
        pytest.param(
            replaced(small(), focus=replaced(small().focus, areas=("grief",), max=1, discouraged=("grief",))),
            "a_plain_course_completes",
            "focus_selected",
            id="no area but one that is advised against",
        ),
        pytest.param(
            with_phase("middle", requires=(*small().phase("middle").requires, "contracted_weeks")),
            "a_plain_course_completes",
            "contracted_weeks_served",
            id="weeks that must be over before the last phase begins",
        ),
    ),
)
def test_a_fault_of_a_file_is_found(protocol, claim, says):
    assert found(CourseMachine(protocol), claim, says)


def test_a_course_that_cannot_be_completed_is_found_where_it_gets_stuck():
    machine = CourseMachine(also_requiring("initial", "recurrence_plan"))
    finding = found(machine, "an_ending_is_reachable", "from initial the course cannot be completed")
    assert finding.trace == ("refer", "record_consent", "start")
    assert "recurrence_planned" in finding.why


def test_two_rules_that_exclude_each_other_are_found_though_each_can_be_met():
    """Leaving the first phase requires a sick role that is assigned and one that is given up, which are never both true."""
    machine = CourseMachine(also_requiring("initial", "sick_role_relinquished"))
    report = gate.examine(machine)
    assert report.of("every_rule_can_pass") == ()
    assert {finding.claim for finding in report.findings} >= {"an_ending_is_reachable", "a_plain_course_completes"}
