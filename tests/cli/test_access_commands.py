"""`ipt-workflow cover` and `restriction`: who sees a course beside its therapist, without a server."""

import datetime as dt
import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app

THERAPIST, COLLEAGUE = ("--as", "therapist-1"), ("--as", "therapist-2")
SUPERVISOR, SECOND = ("--as", "supervisor-1"), ("--as", "supervisor-2", "--role", "supervisor")
NOTE = ("note", "--data", '{"text": "Called."}')


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a course, and its id."""
    ids = []

    async def fill(clinic):
        ids.append(await service_walk.open_course(clinic))

    return service_walk.database(tmp_path_factory.mktemp("access"), fill), ids[0]


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    """Runs a command with `--json` and returns what it prints; `cli.course` is the course."""
    settings, course = made
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(settings, tmp_path).database_url)

    def run(*args: str, code: int = 0):
        result = CliRunner().invoke(app, [*args, "--json"])
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return json.loads(result.stdout) if code == 0 else result.stderr

    run.course = course
    return run


def covered(days: int) -> tuple[str, ...]:
    until = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()
    return ("cover", "arrange", "therapist-1", "therapist-2", "--until", until, "--reason", "Annual leave", "--client-informed")


def test_cover_is_arranged_used_listed_and_ended(cli):
    fire = ("course", "fire", cli.course, *NOTE, *COLLEAGUE)
    assert "no such course" in cli(*fire, code=1)
    arranged = cli(*covered(14), *THERAPIST)
    assert (arranged["status"], arranged["client_told"], arranged["courses"]) == ("in_force", True, None)
    cli(*fire)
    assert [each["id"] for each in cli("cover", "list")] == [arranged["id"]]
    assert cli("cover", "end", arranged["id"], *COLLEAGUE)["status"] == "ended"
    assert "no such course" in cli(*fire, code=1)
    assert "ask a supervisor" in cli(*covered(22), *THERAPIST, code=1)
    assert cli(*covered(22), *SUPERVISOR, "--role", "supervisor")["set_role"] == "supervisor"


def test_a_restriction_is_set_shown_and_lifted(cli):
    fire = ("course", "fire", cli.course, *NOTE, *SECOND)
    cli("restriction", "set", cli.course, "--reason", "The client works here.", "--admit", "supervisor-1", *SUPERVISOR)
    assert cli("restriction", "show", cli.course)["people"] == ["supervisor-1"]
    assert "no such course" in cli(*fire, code=1)
    cli("restriction", "lift", cli.course, *SUPERVISOR)
    cli(*fire)
    assert "not restricted" in cli("restriction", "show", cli.course, code=1)
