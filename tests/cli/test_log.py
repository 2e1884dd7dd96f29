"""`log`: keys, how the log stands, and a new origin after an older database was put back."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from support import service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.service.audit.log_state import LogState, SignedSize

ORIGIN = "ipt-workflow/log/default"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def folder(imported, tmp_path, monkeypatch) -> Path:
    """Where the keys will be, for commands on a database that holds a course."""
    monkeypatch.setenv("IPT_LOG_KEY_FILE", str(tmp_path / "log.keys"))
    service_walk.with_clinic(imported.settings, service_walk.open_course)
    return tmp_path


def test_keys_are_made_once_in_a_file_that_nobody_else_reads(folder):
    made = answer("log", "key")
    file = folder / "log.keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made["origin"] == ORIGIN
    assert [ipt_verify.read_vkey(each).kind for each in made["keys"]] == [ipt_verify.ED25519, ipt_verify.ML_DSA_44]
    assert answer("log", "key") == made
    assert run("log", "key").stdout.split() == made["keys"]


@pytest.mark.usefixtures("folder")
def test_keys_are_changed_by_adding_new_ones_and_removing_old_ones():
    before = answer("log", "key")["keys"]
    both = answer("log", "key", "--add")["keys"]
    assert both[:2] == before
    for each in before:
        left = answer("log", "key", "--remove", ipt_verify.read_vkey(each).id.hex())["keys"]
    assert left == both[2:]


@pytest.mark.usefixtures("folder")
def test_a_key_that_is_not_there_is_not_removed():
    answer("log", "key")
    refused = run("log", "key", "--remove", "00000000")
    assert refused.exit_code == 1
    assert "no key with the id 00000000" in refused.stderr


@pytest.mark.usefixtures("folder")
def test_the_log_is_signed_and_shown():
    answer("log", "key")
    shown = answer("log", "sign")
    checkpoint = ipt_verify.read_checkpoint(ipt_verify.read_note(shown["checkpoint"]).text)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, shown["size"])
    assert ipt_verify.holds(ipt_verify.read_vkey(shown["keys"][0]), ipt_verify.read_note(shown["checkpoint"]))
    said = run("log", "show")
    assert said.exit_code == 0
    assert f"{ORIGIN}: {shown['size']} leaves." in said.stdout


@pytest.mark.usefixtures("imported")
def test_without_keys_it_is_said_how_to_make_them():
    refused = run("log", "show")
    assert refused.exit_code == 1
    assert "ipt-workflow log key" in refused.stderr


def test_an_older_database_is_shown_and_resumed(folder):
    answer("log", "key")
    signed = answer("log", "sign")
    LogState(folder / "log.keys").know(ORIGIN, SignedSize(signed["size"] + 7, "root"))
    shown = run("log", "show")
    assert shown.exit_code == 1
    assert "It is an older database" in shown.stderr
    assert run("log", "sign").exit_code == 1
    begun = answer("log", "resume", "--reason", "The backup of the night before was put back.")
    assert (begun["origin"], begun["kept_size"], begun["lost_size"]) == (f"{ORIGIN}/2", signed["size"], signed["size"] + 7)
    assert run("log", "show").exit_code == 0
    refused = run("log", "resume", "--reason", "Again.")
    assert refused.exit_code == 1
    assert "nothing to resume" in refused.stderr
