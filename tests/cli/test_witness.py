"""`ipt-workflow witness`: an auditor's laptop or a partner clinic cosigns checkpoints, by files or over HTTP."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote, Submission, leaf_hash
from ipt_workflow.service.audit import log_keys

ORIGIN, NAME = "clinic.example/default", "auditor.example/stick"
LOG = log_keys.of_log(log_keys.new_file(), ORIGIN)
LEAVES = [leaf_hash(b"%d" % number) for number in range(20)]
TILES = tree.reader(tree.added(0, LEAVES, tree.reader({})))


def submitted(old: int, size: int, root: bytes | None = None) -> str:
    checkpoint = Checkpoint(ORIGIN, size, root or tree.root(size, TILES))
    return str(Submission(old, tree.consistency(old, size, TILES) if old else (), str(log_keys.signed(checkpoint.text(), LOG, 0))))


@pytest.fixture
def stick(tmp_path):
    """A folder with the log's keys; runs a command in it."""
    (tmp_path / "logs").write_text("".join(f"log {each.key.vkey()}\n" for each in LOG))
    options = {
        "key": ["--name", NAME, "--key-file", str(tmp_path / "key")],
        "show": ["--state", str(tmp_path / "state")],
    }
    every = [*options["key"], "--logs", str(tmp_path / "logs"), *options["show"]]

    def run(command: str, *more: str, code: int = 0, given: str | None = None):
        made = CliRunner().invoke(app, ["witness", command, *more, *options.get(command, every)], input=given)
        assert made.exit_code == code, made.output
        return made

    run.options = every
    return run


def test_keys_are_made_once_and_are_private(stick, tmp_path):
    shown = stick("key").stdout.splitlines()
    assert [ipt_verify.read_vkey(each).kind for each in shown] == [ipt_verify.COSIGNATURE, ipt_verify.ML_DSA_44]
    assert json.loads(stick("key", "--json").stdout) == {"keys": shown}
    assert (tmp_path / "key").stat().st_mode & 0o077 == 0


def test_a_checkpoint_is_cosigned_by_files_and_a_rewritten_one_is_not(stick, tmp_path):
    keys = [ipt_verify.read_vkey(each) for each in stick("key").stdout.splitlines()]
    (tmp_path / "submission").write_text(submitted(0, 7))
    assert "Give " in stick("sign", str(tmp_path / "submission"), "--to", str(tmp_path / "cosignature")).stdout
    note = ipt_verify.read_note((tmp_path / "cosignature").read_text())
    assert ipt_verify.holds(LOG[0].key, note)
    assert ipt_verify.holds(keys[0], note)
    piped = ipt_verify.read_note(stick("sign", "-", given=submitted(7, 13)).stdout)
    assert ipt_verify.read_checkpoint(piped.text).size == 13
    assert ipt_verify.holds(keys[0], piped)
    assert len(json.loads(stick("sign", "-", "--json", given=submitted(13, 13)).stdout)["cosignatures"]) == 2
    assert "not cosigned" in stick("sign", "-", given=submitted(13, 14, leaf_hash(b"rewritten")), code=1).stderr
    assert "up to size 13" in stick("sign", "-", given=submitted(7, 15), code=1).stderr
    assert json.loads(stick("show", "--json").stdout) == [
        {"origin": ORIGIN, "size": 13, "root": ipt_verify.encoded(tree.root(13, TILES))}
    ]
    assert ORIGIN in stick("show").stdout


@pytest.mark.parametrize(
    ("file", "content", "code", "sentence"),
    [
        ("key", "ed25519 short\n", 1, "Line 1 of the key file"),
        ("key", "\udcff", 1, "not UTF-8"),
        ("logs", "quorum none\n", 2, "names no log"),
        ("logs", "log nonsense\nquorum none\n", 2, "Line 1 of the policy"),
        ("state", "{", 1, "Restore it from a copy"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(stick, tmp_path, file, content, code, sentence):
    stick("key")
    (tmp_path / file).write_bytes(content.encode("utf-8", errors="surrogateescape"))
    for command in ("sign", "serve"):
        more = ("-",) if command == "sign" else ()
        assert sentence in stick(command, *more, given=submitted(0, 7), code=code).output


@pytest.mark.parametrize("name", ["", "two words", "a+b", "ä", "x" * 201])
def test_a_name_that_no_note_can_carry_is_refused(tmp_path, name):
    made = CliRunner().invoke(app, ["witness", "key", "--name", name, "--key-file", str(tmp_path / "key")])
    assert (made.exit_code, "--name must have" in made.stderr, (tmp_path / "key").exists()) == (2, True, False)


def test_a_witness_serves_until_it_is_interrupted(stick, tmp_path):
    keys = [ipt_verify.read_vkey(each) for each in stick("key").stdout.splitlines()]
    with socket.create_server(("127.0.0.1", 0)) as free:
        unused_port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from ipt_workflow.cli import main; main()",
            "witness",
            "serve",
            *stick.options,
            "--port",
            str(unused_port),
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    try:
        assert process.stdout.readline().startswith("Listening on ")
        address = f"http://127.0.0.1:{unused_port}/add-checkpoint"
        answer = None
        while answer is None and process.poll() is None:
            with suppress(urllib.error.URLError):  # it is about to listen
                answer = urllib.request.urlopen(urllib.request.Request(address, submitted(0, 7).encode(), method="POST")).read()
        note = ipt_verify.read_note(submitted(0, 7).partition("\n\n")[2] + answer.decode())
        assert ipt_verify.holds(keys[0], SignedNote(note.text, note.signatures))
        assert process.stdout.readline() == "200  cosigned\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
