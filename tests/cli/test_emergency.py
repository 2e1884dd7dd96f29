"""`ipt-workflow emergency` and `audit unmask`: emergency access and its review without a server."""

import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

DUTY, SUPERVISOR = ("--as", "therapist-2"), ("--as", "supervisor-1")
WHY = ("--code", "ETREAT", "--reason", "She called at night.")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a started course, its id, and its client's reference."""
    found = []

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start")
        found.extend([course, (await clinic.courses.get(course)).client_ref])

    return service_walk.database(tmp_path_factory.mktemp("emergency"), fill), found


class Cli:
    def __init__(self, course: str, client: str) -> None:
        self.course, self.client = course, client

    def __call__(self, *args: str, code: int = 0):
        result = CliRunner().invoke(app, list(args))
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    def json(self, *args: str, code: int = 0):
        return json.loads(self(*args, "--json", code=code).stdout)

    def started(self, *more: str) -> str:
        return self.json("emergency", "start", self.client, *WHY, *DUTY, *more)["id"]


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    settings, found = made
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(settings, tmp_path).database_url)
    return Cli(*found)


def test_access_is_started_listed_ended_and_reviewed(cli):
    access = cli.started("--minutes", "30")
    assert access in cli("emergency", "list", "--waiting").stdout
    shown = cli("emergency", "show", access).stdout
    assert "She called at night." in shown
    assert cli.course in shown
    assert "therapist-2 (ETREAT)" in cli("emergency", "end", access, *DUTY).stdout
    assert "review: justified, by supervisor-1" in cli("emergency", "review", access, "justified", *SUPERVISOR).stdout
    assert access not in cli("emergency", "list", "--waiting").stdout
    assert "reviewed already" in cli("emergency", "review", access, "justified", *SUPERVISOR, code=1).stderr


def test_it_is_recorded_as_done_at_the_command_line(cli):
    access = cli.json("emergency", "start", cli.client, *WHY, *DUTY)
    assert (access["person"], access["via"]) == ("therapist-2", "cli")


def test_a_crisis_call_takes_two_commands(cli):
    cli.started()
    call = ("course", "fire", cli.course, "record_contact", "--data", '{"kind": "crisis", "minutes": 20}')
    assert "record_contact" in cli(*call, *DUTY).stdout
    refused = cli("course", "fire", cli.course, "record_session", "--data", '{"attendance": "5"}', *DUTY, code=1)
    assert "Emergency access does not allow record_session" in refused.stderr


def test_what_is_wrong_is_said(cli):
    assert "minutes" in cli("emergency", "start", cli.client, *WHY, *DUTY, "--minutes", "481", code=2).stderr
    assert "No client has this reference" in cli("emergency", "start", "EHR-none", *WHY, *DUTY, code=1).stderr
    assert "their own emergency access" in _own(cli)
    assert "There is no such emergency access" in cli("emergency", "show", "nothing", code=1).stderr


def _own(cli: Cli) -> str:
    access = cli.json("emergency", "start", cli.client, *WHY, *SUPERVISOR, "--role", "supervisor")["id"]
    return cli("emergency", "review", access, "justified", *SUPERVISOR, code=1).stderr


def test_an_auditor_unmasks_where_the_organisation_asks_for_it(cli):
    unmask = ("audit", "unmask", cli.course, "--reason", "A complaint.")
    assert "needs no unmasking" in cli(*unmask, code=1).stderr
    cli("organisation", "change", "default", "--auditor-text", "unmask")
    assert "Auditors read sealed text: unmask." in cli("organisation", "show", "default").stdout
    assert "can be read until" in cli(*unmask).stdout
    assert cli.json(*unmask, "--minutes", "5")["course"] == cli.course
