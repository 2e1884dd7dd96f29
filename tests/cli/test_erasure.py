"""`client erase` and `client erasures`, and the register that is kept apart."""

import json

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a command on a database with two clients: `command(*arguments)` returns exit code and output."""

    async def fill(clinic):
        for ref in ("EHR-1", "EHR-2"):
            await service_walk.open_course(clinic, ref)

    settings = service_walk.database(tmp_path, fill)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, ["client", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    run.settings = settings
    return run


ERASE = ("erase", "EHR-1", "--as", "admin-1", "--ground", "objection")


def test_a_dry_run_first_and_then_the_erasure(command):
    assert "It would remove (the client objected (GDPR 17(1)(c))):" in command(*ERASE, "--dry-run")
    assert json.loads(command("erasures", "--json")) == []
    printed = command(*ERASE)
    assert "Removed (the client objected" in printed
    assert "- backups, replicas and archives: " in printed
    (line,) = json.loads(command("erasures", "--json"))
    assert (line["person"], line["via"], line["counts"]["client_reference"]) == ("admin-1", "cli", 1)
    assert line["id"] in command("erasures")
    assert "no client with this reference" in command(*ERASE, code=1)


def test_one_entry(command):
    ((course,),) = databases.select(command.settings, "SELECT min(id) FROM course")
    done = json.loads(command("erase", "--as", "admin-1", "--ground", "unlawful", "--course", course, "--seq", "1", "--json"))
    assert done["removed"]["entry_texts"] == [f"{course} 1"]


def test_a_register_that_was_kept_apart_is_repeated(command, tmp_path):
    ((client,),) = databases.select(command.settings, "SELECT id FROM client WHERE ref = 'EHR-1'")
    kept = tmp_path / "register.json"
    kept.write_text(json.dumps([{"id": "one", "client": client, "course": None, "seq": None, "ground": "objection", "counts": {}}]))
    again = ("erase", "--again", "--as", "admin-1", "--register", str(kept))
    (done,) = json.loads(command(*again, "--json"))
    assert (done["again_of"], done["ground"]) == ("one", "objection")
    assert "0 erasures repeated." in command(*again)
    assert databases.select(command.settings, "SELECT count(*) FROM client WHERE ref IS NULL") == [(1,)]


def test_what_is_wrong_is_said(command, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    assert "ground" in command("erase", "EHR-1", "--as", "admin-1", code=2)
    assert "--as" in command("erase", "EHR-1", "--ground", "objection", code=2)
    assert "belongs to --again" in command(*ERASE, "--register", str(wrong), code=2)
    assert "in the register" in command(*ERASE, "--again", code=2)
    assert "is not what" in command("erase", "--again", "--as", "admin-1", "--register", str(wrong), code=1)
    assert "cannot be read" in command("erase", "--again", "--as", "admin-1", "--register", str(tmp_path), code=1)
