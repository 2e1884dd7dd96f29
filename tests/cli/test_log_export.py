"""`log export` and `ipt-verify`: a log is taken away by one command, and verified by another."""

import json
from pathlib import Path

import pytest
from click.testing import Result
from support import service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.journal.proof import ipt_verify


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["log", *arguments])


@pytest.fixture
def folder(imported, tmp_path, monkeypatch) -> Path:
    """With a database that holds a course, and no keys yet."""
    monkeypatch.setenv("IPT_LOG_KEY_FILE", str(tmp_path / "log.keys"))
    service_walk.with_clinic(imported.settings, service_walk.open_course)
    return tmp_path


def test_a_log_is_signed_taken_away_and_verified(folder, capsys):
    keys = json.loads(run("key", "--json").stdout)["keys"]
    (folder / "policy").write_text("".join(f"log {each}\n" for each in keys) + "quorum none\n")
    taken = run("export", "--to", str(folder / "log.zip"), "--texts", "--json")
    assert (taken.exit_code, taken.stderr) == (0, "")
    made = json.loads(taken.stdout)
    assert (made["origin"], Path(made["file"])) == ("ipt-workflow/log/default", folder / "log.zip")
    assert ipt_verify.main(["--policy", str(folder / "policy"), "--kept", str(folder / "kept"), str(folder / "log.zip")]) == 0
    said = capsys.readouterr().out
    assert f"{made['size']} leaves" in said
    assert "Entries: 1 (without text: 0). Courses: 1." in said
    again = run("export", "--to", str(folder / "log.zip"))
    assert "Verify it with ipt_verify.py" in again.stdout
    assert ipt_verify.main(["--policy", str(folder / "policy"), "--kept", str(folder / "kept"), str(folder / "log.zip")]) == 0
    assert sorted(path.name for path in folder.glob("log.zip*")) == ["log.zip"]


def test_a_log_that_was_never_signed_is_not_written(folder):
    failed = run("export", "--to", str(folder / "log.zip"))
    assert failed.exit_code == 1
    assert "IPT_LOG_KEY_FILE: the file cannot be read" in failed.stderr
    assert not list(folder.glob("log.zip*"))


def test_a_file_that_cannot_be_written_is_named(folder):
    assert run("key").exit_code == 0
    failed = run("export", "--to", str(folder / "nowhere" / "log.zip"))
    assert failed.exit_code == 1
    assert "the file cannot be written" in failed.stderr
