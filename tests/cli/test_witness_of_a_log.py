"""`ipt-workflow witness` from the log's side: who cosigns it, and the files that somebody carries there and back."""

import json

import pytest
from support import checkpoints, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.service.audit import log_keys

NAME = "auditor.example/stick"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A database with a signed log, whose policy names a stick and a witness that is away. Runs `witness` commands."""

    async def fill(clinic):
        await service_walk.open_course(clinic)
        await checkpoints.sign(clinic)

    settings = service_walk.database(tmp_path, fill)
    (tmp_path / "stick.key").write_text(log_keys.new_file())
    stick = log_keys.of_witness((tmp_path / "stick.key").read_text(), NAME)[0].key
    away = log_keys.of_witness(log_keys.new_file(), "away.example/w")[0].key
    lines = "".join(f"log {each.key.vkey()}\n" for each in checkpoints.KEYS)
    policy = (
        f"{lines}witness stick {stick.vkey()}\nwitness away {away.vkey()} http://127.0.0.1:9/\ngroup q any stick away\nquorum q\n"
    )
    (tmp_path / "policy").write_text(policy)
    for name, value in {
        "IPT_DATABASE_URL": settings.database_url,
        "IPT_LOG_POLICY_FILE": str(tmp_path / "policy"),
        "IPT_DEVELOPMENT": "true",
    }.items():
        monkeypatch.setenv(name, value)

    def invoke(*arguments: str, code: int = 0):
        made = CliRunner().invoke(app, ["witness", *arguments])
        assert made.exit_code == code, made.output
        return made

    return invoke


def test_a_submission_is_carried_to_a_stick_and_the_cosigned_checkpoint_back(run, tmp_path):
    submission, cosigned = str(tmp_path / "submission"), str(tmp_path / "cosigned")
    assert "stick    by files" in run("list").stdout
    assert "The quorum has been missing for" in run("list").stdout
    assert "continues size 0" in run("request", "stick", "--to", submission).stdout
    files = ["--key-file", str(tmp_path / "stick.key"), "--logs", str(tmp_path / "policy"), "--state", str(tmp_path / "state")]
    run("sign", submission, "--name", NAME, *files, "--to", cosigned)
    assert run("take", cosigned).stdout == "The cosignatures of stick are kept.\n"
    assert json.loads(run("take", cosigned, "--json").stdout) == {"witnesses": ["stick"]}
    found = json.loads(run("list", "--json").stdout)
    assert (found["size"], found["unwitnessed_seconds"]) == (1, 0)
    assert [(each["witness"], each["size"]) for each in found["witnesses"]] == [("stick", 1), ("away", None)]
    assert json.loads(run("request", "stick", "--to", submission, "--json").stdout)["from"] == 1
    assert ipt_verify.read_submission((tmp_path / "submission").read_text()).old_size == 1


def test_a_witness_that_is_away_is_named_with_the_reason(run):
    assert "away: The witness away cannot be reached." in run("submit", code=1).stderr
    (found,) = json.loads(run("submit", "--json", code=1).stdout)
    assert (found["witness"], found["outcome"], found["size"]) == ("away", "unusable", 1)


def test_what_cannot_be_done_is_said(run, tmp_path, monkeypatch):
    assert "no such witness. It has stick, away" in run("request", "nobody", "--to", str(tmp_path / "x"), code=1).stderr
    (tmp_path / "cosigned").write_bytes(b"\xff")
    assert "It is no cosigned checkpoint" in run("take", str(tmp_path / "cosigned"), code=1).stderr
    monkeypatch.setenv("IPT_LOG_POLICY_FILE", str(tmp_path / "missing"))
    assert "IPT_LOG_POLICY_FILE: the file cannot be read" in run("list", code=1).stderr
    monkeypatch.setenv("IPT_LOG_POLICY_FILE", "")
    assert "No witness is to be asked" in run("submit").stdout
