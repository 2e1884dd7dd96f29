"""The gate: every planted fault is found and named, with a way that leads to it; what is abstract agrees with the machine."""

import json
import random
import tomllib
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipt_workflow import gate
from ipt_workflow.cli import app
from ipt_workflow.gate.abstraction import Spot, key
from ipt_workflow.gate.driving import Driver
from ipt_workflow.gate.exploring import MISSES_MAX, Exploration, moves
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocol import Bounds, PhaseRule, Protocol
from ipt_workflow.protocol_files import load_catalogue, read_definition
from ipt_workflow.rules import REGISTRY, Bound

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "config" / "protocols").glob("*.toml"))


@cache
def ipt() -> Protocol:
    return load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments").get("ipt")


@cache
def of_file(path: Path) -> Protocol:
    return read_definition(tomllib.loads(path.read_text(encoding="utf-8")), ipt().instruments)


def replaced(protocol: Protocol, **changes) -> Protocol:
    return type(protocol)(**{name: changes.get(name, getattr(protocol, name)) for name in protocol.__struct_fields__})


def with_phase(phase_id: str, **changes) -> Protocol:
    """The default protocol with one phase changed."""
    phases = [
        type(spec)(**{name: changes.get(name, getattr(spec, name)) for name in spec.__struct_fields__})
        if spec.id == phase_id
        else spec
        for spec in ipt().phases
    ]
    return replaced(ipt(), phases=tuple(phases))


def also_requiring(phase_id: str, artefact: str) -> Protocol:
    return with_phase(phase_id, requires=(*ipt().phase(phase_id).requires, artefact))


def with_contract(**changes) -> Protocol:
    contract = ipt().contract
    return replaced(ipt(), contract=type(contract)(**{n: changes.get(n, getattr(contract, n)) for n in contract.__struct_fields__}))


# Faults that a file can have and still load


@pytest.mark.parametrize(
    ("protocol", "claim", "says"),
    (
        pytest.param(
            with_phase("middle", rules=(PhaseRule(rule="middle_sessions_recommended", parameters={"minimum": 30}),)),
            "every_rule_can_pass",
            "middle_sessions_recommended always stands against begin_final",
            id="more sessions recommended than a contract has",
        ),
        pytest.param(
            with_phase("middle", rules=(PhaseRule(rule="middle_sessions_recommended", parameters={"minimum": 0}),)),
            "every_rule_matters",
            "middle_sessions_recommended never stands against begin_final",
            id="a recommendation that everybody follows",
        ),
        pytest.param(
            also_requiring("initial", "recurrence_plan"),
            "every_rule_can_pass",
            "recurrence_planned always stands against begin_middle",
            id="a task of the last phase asked of the first",
        ),
        pytest.param(
            also_requiring("middle", "gains"),
            "a_plain_course_completes",
            "gains_recorded",
            id="a task of the last phase asked of the middle",
        ),
        pytest.param(
            replaced(ipt(), sick_role=type(ipt().sick_role)(mode="not_used")),
            "every_rule_can_pass",
            "sick_role_resolved always stands against begin_middle",
            id="a sick role that is asked for and not used",
        ),
        pytest.param(
            replaced(
                with_phase("initial", requires=tuple(name for name in ipt().first.requires if name != "sick_role")),
                sick_role=type(ipt().sick_role)(mode="not_used"),
            ),
            "every_rule_matters",
            "sick_role_relinquished never stands against complete",
            id="a sick role that is given up and never given",
        ),
        pytest.param(
            replaced(ipt(), measures=tuple(spec for spec in ipt().measures if spec.aim == "symptoms")),
            "every_rule_can_pass",
            "end_of_every_aim always stands against complete",
            id="aims that no scale speaks to",
        ),
        pytest.param(
            with_contract(weeks=Bounds(2, 2), grace_days=0),
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
            with_contract(sessions=Bounds(1, 4)),
            "a_plain_course_completes",
            "contract_agreed",
            id="fewer sessions than the phases need",
        ),
        pytest.param(
            replaced(ipt(), focus=type(ipt().focus)(areas=("grief",), max=1, discouraged=("grief",))),
            "a_plain_course_completes",
            "focus_selected",
            id="no area but one that is advised against",
        ),
    ),
)
def test_a_fault_of_a_file_is_found(protocol, claim, says):
    report = gate.examine(CourseMachine(protocol))
    assert any(finding.claim == claim and says in finding.why for finding in report.findings), report.findings


# Faults that only a machine can have: what the rules are for


class Sabotaged(CourseMachine):
    """The default machine without some rules, with others over some triggers, or with rows of its own."""

    def __init__(self, *, without=(), beside=None, more=None) -> None:
        self.more = more or {}
        super().__init__(ipt())
        for name, bound in self.bound.items():
            kept = tuple(each for each in bound if each.rule.name not in without)
            self.bound[name] = (*kept, *(beside or {}).get(name, ()))

    def _rows(self, name):
        more = self.more.get(name)
        return [*super()._rows(name), *([{**more, "conditions": [self._lawful]}] if more else [])]


def over(name: str) -> Bound:
    """A rule as it is bound to a trigger that it was not made for."""
    return Bound(rule=REGISTRY[name], severity="hard")


@pytest.mark.parametrize(
    ("machine", "claim", "says", "last"),
    (
        pytest.param(
            Sabotaged(without=("sick_role_resolved",)),
            "sick_role_before_second_phase",
            "middle begins while the sick role is pending",
            "begin_middle",
            id="no rule about the sick role",
        ),
        pytest.param(
            Sabotaged(without=("phase_session_cap",)),
            "session_caps_hold",
            "initial has 4 sessions and may have 3",
            "record_session (held)",
            id="no rule about a phase's sessions",
        ),
        pytest.param(
            Sabotaged(without=("phase_session_cap", "contract_session_cap", "final_remaining")),
            "session_caps_hold",
            "sessions were held of",
            "record_session (held)",
            id="no rule about the contract's sessions",
        ),
        pytest.param(
            Sabotaged(without=("within_planned_end",)),
            "week_cap_holds",
            "days after the planned end",
            "record_session (held too late)",
            id="no rule about the planned end",
        ),
        pytest.param(
            Sabotaged(beside={"record_measure": (over("contract_agreed"),)}),
            "care_is_never_blocked",
            "record_measure is refused while referred, by contract_agreed",
            "record_measure",
            id="a measure that waits for a contract",
        ),
        pytest.param(
            Sabotaged(beside={"end_early": (over("evaluation_recorded"),)}),
            "care_is_never_blocked",
            "end_early is refused while referred, by evaluation_recorded",
            "end_early",
            id="an ending that waits for paperwork",
        ),
        pytest.param(
            Sabotaged(beside={"raise_risk": (over("focus_selected"),)}),
            "care_is_never_blocked",
            "raise_risk is refused while initial, by focus_selected",
            "raise_risk",
            id="a risk that waits for a problem area",
        ),
        pytest.param(
            Sabotaged(beside={"complete": (over("gains_recorded"), over("reopen_window"))}),
            "every_rule_matters",
            "reopen_window never stands against complete",
            None,
            id="a rule that is over the wrong trigger",
        ),
    ),
)
def test_a_fault_of_a_machine_is_found_with_the_shortest_way_to_it(machine, claim, says, last):
    findings = [finding for finding in gate.examine(machine).findings if finding.claim == claim and says in finding.why]
    assert findings
    assert (findings[0].trace[-1] if findings[0].trace else None) == last


def test_a_phase_that_is_skipped_is_found():
    row = {"trigger": "begin_final", "source": "initial", "dest": "final"}
    machine = Sabotaged(
        more={"begin_final": row},
        without=("final_remaining", "ending_announced", "phase_sessions_met", "focus_worked", "middle_sessions_recommended"),
    )
    findings = [finding for finding in gate.examine(machine).findings if finding.claim == "phases_in_order"]
    assert findings[0].why == "initial is followed by final"
    assert findings[0].trace[-1].startswith("begin_final")


def test_a_phase_that_is_gone_back_to_is_found():
    row = {"trigger": "begin_middle", "source": "final", "dest": "middle"}
    findings = [
        finding for finding in gate.examine(Sabotaged(more={"begin_middle": row})).findings if finding.claim == "phases_in_order"
    ]
    assert findings[0].why == "final is followed by middle"


# What ships


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_everything_that_is_claimed_holds_of_a_protocol_that_ships(path):
    report = gate.examine(CourseMachine(of_file(path)))
    assert report.findings == ()
    assert report.courses < 20_000, "the exploration was cut off"


# The abstraction


@cache
def explored(path: Path) -> Exploration:
    exploration = Exploration(Driver(CourseMachine(of_file(path))))
    exploration.run()
    return exploration


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ("ipt", "group-of-eight"))
def test_random_courses_meet_exactly_what_was_explored(name, seed):
    """The same moves, from another course that is taken for the same, lead to courses that are taken for the same."""
    path = ROOT / ("tests/config" if name == "group-of-eight" else "config/protocols") / f"{name}.toml"
    exploration, chance = explored(path), random.Random(f"{name} {seed}")
    driver = exploration.driver
    spot = driver.open()
    for _ in range(60):
        standing = driver.standing(spot)
        here = key(driver.machine, spot, standing)
        assert here in exploration.onward, spot.path.steps()
        tried = list(moves(driver, spot, standing))
        for move, there in tried:
            led = key(driver.machine, there, driver.standing(there)) if isinstance(there, Spot) else None
            bounded = move == "miss" and move not in exploration.onward[here]
            assert bounded or exploration.onward[here][move] == led, (move, spot.path.steps())
        onward = [there for move, there in tried if isinstance(there, Spot) and there.course.open]
        if not onward:
            break
        spot = chance.choice(onward)
    assert MISSES_MAX == 1, "more misses would be told apart where a contract counts them"


def test_every_claim_is_documented():
    text = (ROOT / "docs" / "gate.md").read_text(encoding="utf-8")
    assert [name for name in gate.CLAIMS if f"| `{name}` |" not in text] == []


# From the command line


def test_lint_tells_that_everything_holds_and_what_does_not(tmp_path, run_cli):
    good = run_cli("protocol", "lint", str(ROOT / "config" / "protocols" / "ipt.toml"))
    assert good.exit_code == 0
    assert "ipt@1: no faults, and all 9 claims hold" in good.stdout
    text = (ROOT / "config" / "protocols" / "ipt.toml").read_text(encoding="utf-8")
    (tmp_path / "ipt.toml").write_text(text.replace('"baseline",\n', '"baseline",\n  "gains",\n', 1), encoding="utf-8")
    bad = run_cli("protocol", "lint", str(tmp_path / "ipt.toml"), "--json")
    told = json.loads(bad.stdout)
    assert (bad.exit_code, told["ok"], told["faults"]) == (1, False, [])
    claims = {finding["claim"] for finding in told["protocols"][0]["findings"]}
    assert {"every_rule_can_pass", "a_plain_course_completes"} <= claims
    (plain,) = [f for f in told["protocols"][0]["findings"] if f["claim"] == "a_plain_course_completes"]
    assert plain["trace"][:3] == ["refer", "record_consent", "start"]


@pytest.fixture
def run_cli():
    return lambda *arguments: CliRunner().invoke(app, arguments)
