"""`ipt-workflow proposal` and `course fire --propose`: the verbs of proposals without a server."""

import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

THERAPIST, SUPERVISOR = ("--as", "therapist-1"), ("--as", "supervisor-1")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a started course, and its id."""
    ids = []

    async def fill(clinic):
        ids.append(await service_walk.open_course(clinic))
        await service_walk.walk(clinic, ids[0], "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("proposals"), fill), ids[0]


class Cli:
    def __init__(self, course: str) -> None:
        self.course = course

    def __call__(self, *args: str, code: int = 0):
        result = CliRunner().invoke(app, list(args))
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    def json(self, *args: str, code: int = 0):
        return json.loads(self(*args, "--json", code=code).stdout)

    def proposed(self) -> str:
        fire = ("course", "fire", self.course, "extend_phase", "--reason", "One more.", *THERAPIST)
        return self.json(*fire, "--propose")["id"]


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    settings, course = made
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(settings, tmp_path).database_url)
    return Cli(course)


def test_a_command_is_proposed_shown_and_cosigned(cli):
    proposal = cli.proposed()
    cli("course", "fire", cli.course, "record_measure", "--data", '{"instrument": "phq9", "total": 16}', *THERAPIST)
    assert proposal in cli("proposal", "list", "--status", "waiting").stdout
    assert "record_measure" in cli("proposal", "show", proposal).stdout
    assert "extend_phase: initial -> initial" in cli("proposal", "cosign", proposal, *SUPERVISOR).stdout
    (listed,) = cli.json("proposal", "list")
    assert (listed["status"], listed["entry_seq"], listed["decided_by"]) == ("cosigned", 5, "supervisor-1")
    assert "cosigned already" in cli("proposal", "cosign", proposal, *SUPERVISOR, code=1).stderr


def test_what_the_course_refuses_now_is_said_and_the_proposal_is_declined(cli):
    first, second = cli.proposed(), cli.proposed()
    cli("proposal", "cosign", first, *SUPERVISOR)
    assert "It would be refused now:" in cli("proposal", "show", second).stderr
    refused = cli("proposal", "cosign", second, *SUPERVISOR, code=1)
    assert "extend_phase: 1 rule is not met" in refused.stderr
    assert "declined" in cli("proposal", "decline", second, *SUPERVISOR).stdout


def test_a_version_that_the_cosigner_did_not_see_and_an_unknown_proposal_fail(cli):
    proposal = cli.proposed()
    assert "version 3 now" in cli("proposal", "cosign", proposal, "--version", "2", *SUPERVISOR, code=1).stderr
    assert "no such proposal" in cli("proposal", "show", "unknown", code=1).stderr
    fire = ("course", "fire", cli.course, "note", "--data", '{"text": "x"}', *THERAPIST)
    assert "needs no co-signature" in cli(*fire, "--propose", code=1).stderr
