"""`retention` at the command line: what it prints for people and for programs, and how it ends."""

import json

import pytest
from support import databases, marks, retention, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

BY = ("--as", "admin-1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two clients whose courses ended long ago, by the clock of this machine."""
    clients = []

    async def fill(clinic):
        clients.extend(await retention.due(clinic, "EHR-1", "EHR-2"))
        await marks.mark(clinic, "hold", ref="EHR-2")

    return service_walk.database(tmp_path_factory.mktemp("retention"), fill), clients


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    """Runs a command on a copy, expects its exit code, and returns the result."""
    settings, _ = made
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(settings, tmp_path).database_url)

    def run(*arguments: str, code: int = 0):
        result = CliRunner().invoke(app, ["retention", *arguments])
        assert result.exit_code == code, result.output
        return result

    return run


def read(cli, *arguments: str):
    return json.loads(cli(*arguments, "--json").stdout)


def test_an_example_is_adopted_as_it_stands_or_changed_and_ended(cli):
    names = [each["name"] for each in read(cli, "examples")]
    assert "germany-record" in names
    assert "could be put in force, beside 1 others" in cli("adopt", "germany-record", *BY, "--dry-run").stdout
    assert "floor of P10Y" in cli("adopt", "germany-record", *BY).stdout
    assert "floor of P30Y" in cli("adopt", "england-mental-health", "--period", "P30Y", *BY).stdout
    assert [each["period"] for each in read(cli, "policies")] == ["P1M", "P10Y", "P30Y"]
    assert "germany-record has ended" in cli("end", "germany-record", *BY).stdout
    assert len(read(cli, "policies")) == 2
    assert len(read(cli, "policies", "--ended")) == 3
    assert "in force" in cli("policies").stdout


def test_a_policy_of_ones_own_names_every_part_and_what_is_missing_is_said(cli):
    assert "kind" in cli("adopt", "mine", *BY, code=2).stderr
    own = ("--kind", "record", "--jurisdiction", "AT", "--bound", "floor", "--period", "P10Y", "--anchor", "last_contact")
    assert "mine is in force" in cli("adopt", "mine", *own, "--citation", "§ 51 ÄrzteG", *BY).stdout


def test_records_that_are_due_are_listed_kept_and_erased_and_one_on_hold_stays(cli, made):
    first, held = made[1]
    assert [(each["client"], len(each["holds"])) for each in read(cli, "due")["items"]] == [(first, 0), (held, 1)]
    assert "on hold" in cli("due").stdout
    assert f"--after {first}" in cli("due", "--limit", "1").stdout
    assert "would be" in cli("erase", first, *BY, "--dry-run").stdout
    deed = json.loads(cli("erase", first, held, *BY, "--json", code=1).stdout)
    assert deed["counts"] == {"erased": 1, "held": 1}
    assert "kept" in cli("keep", held, "--until", "2046-01-01", "--ground", "claims", *BY).stdout
    assert read(cli, "due")["items"] == []
    assert [each["decision"] for each in read(cli, "decisions")] == ["erase", "keep"]
    assert "erase" in cli("decisions").stdout


def test_what_cannot_be_decided_says_why(cli, made):
    assert "until" in cli("keep", made[1][0], "--until", "2001-01-01", "--ground", "claims", *BY, code=1).stderr
    assert "--born" in cli("erase", *made[1], "--born", "1990-01-01", *BY, code=2).stderr
    assert "not due" in cli("reap", "access_log", "2023-01", *BY, code=1).stderr
    assert "month" in cli("reap", "access_log", "2023-13", *BY, code=2).stderr
    assert "--role must be" in cli("end", "england", *BY, "--role", "boss", code=2).stderr


def test_months_are_listed(cli):
    assert read(cli, "months") == {"due": [], "reaped": []}
    assert "what stops it" in cli("months").stdout
