"""`course move-entries`: what was told of the wrong client goes to the right one's course, without a server."""

import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two courses of one therapist. The first has a session."""

    async def fill(clinic):
        first, second = [await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")]
        await service_walk.walk(clinic, second, "record_consent", "start")
        await service_walk.walk(clinic, first, "record_consent", "start", "record_session")

    return service_walk.database(tmp_path_factory.mktemp("cli"), fill)


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    monkeypatch.setenv("IPT_DATABASE_URL", databases.copy(made, tmp_path).database_url)

    def run(*args: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert result.exit_code == code, (result.output, result.exception)
        return result.stdout

    return run


def test_a_move_is_previewed_and_made_on_the_command_line(cli):
    courses = json.loads(cli("course", "list", "--json"))
    wrong, right = [each["id"] for each in courses]
    move = ("course", "move-entries", wrong, right, "--entry", 4, "--as", "therapist-1", "--reason", "The wrong client.")
    assert json.loads(cli(*move, "--dry-run"))["option"]["allowed"]
    assert "move_entries: initial -> initial" in cli(*move)
    assert [len(each["sessions"]) for each in json.loads(cli("course", "list", "--json"))] == [0, 1]
    cli(*move, code=1)
    cli("audit", "verify")
