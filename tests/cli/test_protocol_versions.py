"""`protocol migrate` and `protocol replay` on the demonstration."""

import json
import os

import pytest
from support import databases, protocol_versions, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service import demo

MOVING = ("protocol", "migrate", "--from", "ipt@2", "--to", "ipt@3")
APPLY = (*MOVING, "--apply", "--as", "supervisor-1", "--reason", "The clinic takes up the new version.")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    settings = databases.empty(tmp_path_factory.mktemp("cli-moving"))
    service_walk.with_clinic(settings, demo.make, SystemClock())
    return settings


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    """The command line on a copy of it, where there are two versions."""
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(made, tmp_path).database_url)
    folder = protocol_versions.config(tmp_path / "config", protocol_versions.SMALLER_CAP, protocol_versions.HARD_TIMELINE)
    monkeypatch.setenv("IPT_CONFIG_DIR", str(folder))

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, [str(each) for each in arguments])
        assert result.exit_code == code, (arguments, result.exit_code, result.output, result.exception)
        return result

    return run


def planned(cli) -> dict:
    return json.loads(cli(*MOVING, "--plan", "--json").stdout)


def test_a_plan_lists_every_live_course_by_kind_with_why(cli):
    lines = cli(*MOVING, "--plan").stdout.splitlines()
    kinds = [line.split("  ")[0] for line in lines[: lines.index("")]]
    assert kinds == sorted(kinds)
    assert {kind: kinds.count(kind) for kind in kinds} == {"carries over": 28, "new gaps": 5, "stuck": 2}
    assert "Newly required: timeline_recorded (hard, begin_middle)." in "\n".join(lines)
    assert "phase_session_cap (2)" in lines[-1]
    assert "DEMO-" not in "\n".join(lines)


def test_a_plan_in_json_is_one_document_with_a_summary(cli):
    plan = planned(cli)
    assert (plan["from"], plan["to"]) == ("ipt@2", "ipt@3")
    assert plan["summary"] == {"carries_over": 28, "new_gaps": 5, "stuck": 2}
    assert len(plan["courses"]) == 35
    assert {each["move"]["kind"] for each in plan["courses"]} == set(plan["summary"])


def test_a_plan_is_made_for_a_file_that_is_not_in_force_and_leaves_it_so(cli, tmp_path):
    file = protocol_versions.write(tmp_path, 4, protocol_versions.LARGER_CAP)
    plan = json.loads(cli("protocol", "migrate", "--from", "ipt@2", "--to", "ipt@4", "--plan", "--file", file, "--json").stdout)
    assert plan["summary"] == {"carries_over": 35}
    assert "There is no protocol ipt@4" in cli("protocol", "migrate", "--from", "ipt@2", "--to", "ipt@4", "--plan", code=2).stderr


def test_all_clean_courses_are_moved_and_everything_verifies(cli):
    moved = cli(*APPLY, "--courses", "all-clean").stdout
    assert moved.splitlines()[-1] == "28 moved"
    assert "as they were written" in cli("audit", "verify").stdout
    assert planned(cli)["summary"] == {"new_gaps": 5, "stuck": 2}
    assert cli(*APPLY, "--courses", "all-clean").stdout == "No course was moved.\n"


def test_courses_are_chosen_by_ids_and_what_is_not_moved_fails(cli):
    by_kind = {each["move"]["kind"]: each["course"] for each in planned(cli)["courses"]}
    ids = f"{by_kind['carries_over']},{by_kind['new_gaps']}"
    assert json.loads(cli(*APPLY, "--courses", ids, "--json").stdout)["summary"] == {"moved": 2}
    again = json.loads(cli(*APPLY, "--courses", f"{ids},{by_kind['stuck']}", "--json", code=1).stdout)
    assert again["summary"] == {"there_already": 2, "stuck": 1}
    assert cli(*APPLY, "--courses", ids).stdout.splitlines()[-1] == "2 there already"


def test_courses_are_chosen_by_a_file(cli, tmp_path):
    ids = [each["course"] for each in planned(cli)["courses"] if each["move"]["kind"] == "new_gaps"]
    file = tmp_path / "chosen.txt"
    file.write_text("# reviewed on Monday\n" + "\n".join(ids[:3]) + "\n\n", encoding="utf-8")
    assert cli(*APPLY, "--courses", file).stdout.splitlines()[-1] == "3 moved"
    assert planned(cli)["summary"] == {"carries_over": 28, "new_gaps": 2, "stuck": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    (
        (MOVING, "--plan or --apply"),
        ((*MOVING, "--plan", "--apply"), "--plan or --apply"),
        ((*MOVING, "--apply"), "--apply needs --courses, --reason, --as"),
        ((*MOVING, "--apply", "--courses", "x", "--as", "y"), "--apply needs --reason"),
        (("protocol", "migrate", "--from", "ipt@2", "--to", "ipt-uk@2", "--plan"), "two versions of one protocol"),
        (("protocol", "migrate", "--from", "ipt@2", "--to", "ipt@2", "--plan"), "two versions of one protocol"),
        (("protocol", "migrate", "--from", "ipt@9", "--to", "ipt@2", "--plan"), "There is no protocol ipt@9"),
    ),
)
def test_what_is_asked_for_wrongly_is_told(cli, arguments, message):
    assert message in cli(*arguments, code=2).stderr


def test_a_file_of_another_version_is_not_taken_for_this_one(cli, tmp_path):
    file = protocol_versions.write(tmp_path, 4)
    assert "--file holds ipt@4" in cli(*MOVING, "--plan", "--file", file, code=2).stderr
    assert "--file works with --plan only" in cli(*APPLY, "--courses", "all-clean", "--file", file, code=2).stderr


def test_a_replay_tells_what_is_newly_refused_and_newly_allowed_by_rule(cli, tmp_path):
    smaller = protocol_versions.write(tmp_path, 4, protocol_versions.SMALLER_CAP)
    replayed = cli("protocol", "replay", smaller).stdout
    assert "2 of them newly refused" in replayed
    assert "phase_session_cap" in replayed
    larger = protocol_versions.write(tmp_path, 4, protocol_versions.LARGER_CAP)
    found = json.loads(cli("protocol", "replay", larger, "--examples", 1, "--json").stdout)
    assert (found["protocol"], found["courses"], found["newly_refused"], found["newly_allowed"]) == (
        "ipt@4",
        sum(plan.count for plan in demo.PLANS if plan.protocol == "ipt"),
        0,
        1,
    )
    assert found["allowed_by"]["phase_session_cap"]["count"] == 1
    assert len(found["allowed_by"]["phase_session_cap"]["examples"]) == 1


def test_a_replay_that_finds_nothing_new_says_so_in_one_line(cli, tmp_path):
    replayed = cli("protocol", "replay", protocol_versions.write(tmp_path, 4)).stdout
    assert len(replayed.splitlines()) == 1
    assert "0 of them newly refused" in replayed


def test_a_faulty_candidate_is_told_with_its_faults(cli, tmp_path):
    file = protocol_versions.write(tmp_path, 4, ("sessions_min = 1\nsessions_max = 3\n", "sessions_min = 9\nsessions_max = 3\n"))
    assert "phases[0]" in cli("protocol", "replay", file, code=1).stderr
