"""A witness keeps what it cosigned before it answers, also when it is killed, and cosigns nothing if it cannot know."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved, Submission, leaf_hash
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.audit import log_keys, witness_state
from ipt_workflow.service.audit.witness_state import Witness, WitnessStateInvalid

ORIGIN, NAME, NOW = "clinic.example/default", "partner.example/witness", 1_700_000_000
LOG, OWN = log_keys.of_log(log_keys.new_file(), ORIGIN), log_keys.of_witness(log_keys.new_file(), NAME)
LOGS = {ORIGIN: [each.key for each in LOG]}
LEAVES = [leaf_hash(b"%d" % number) for number in range(40)]
TILES = tree.reader(tree.added(0, LEAVES, tree.reader({})))
KILLED = """
import os, signal, sys
from pathlib import Path
from ipt_workflow.runtime import kept_files
folder, step = Path(sys.argv[1]), sys.argv[2]
kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if step == "before": kept_files.replace = kill
elif step == "written": os.fsync = kill
elif step == "synced": Path.replace = kill
elif step == "renamed": kept_files._keep_name = kill
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.audit import log_keys, witness_state
own = log_keys.of_witness((folder / "key").read_text(), "partner.example/witness")
logs = witness_state.read_logs((folder / "logs").read_text())
witness_state.Witness(own, logs, folder / "state", SystemClock()).answer(sys.stdin.read())
print("answered")
"""


def submitted(old: int, size: int, root: bytes | None = None) -> str:
    checkpoint = Checkpoint(ORIGIN, size, root or tree.root(size, TILES))
    return str(
        Submission(old, tree.consistency(old, size, TILES) if old else (), str(log_keys.signed(checkpoint.text(), LOG, NOW)))
    )


@pytest.fixture
def file(tmp_path):
    return tmp_path / "state"


def witness(file) -> Witness:
    return Witness(OWN, LOGS, file, SystemClock())


def kept_size(file) -> int:
    note = witness_state.read_state(file).get(ORIGIN)
    return ipt_verify.read_checkpoint(note.text).size if note else 0


def test_what_was_cosigned_is_known_to_the_next_process(file):
    assert witness(file).answer(submitted(0, 7)).status == 200
    assert witness(file).answer(submitted(0, 9)).body == "7\n"
    assert witness(file).answer(submitted(7, 9)).status == 200
    assert witness(file).answer(submitted(9, 9, leaf_hash(b"rewritten"))).status == 422
    note = witness(file).kept()[ORIGIN]
    assert ipt_verify.read_checkpoint(note.text).size == 9
    assert all(ipt_verify.holds(each.key, note) is not False for each in (*LOG, *OWN))
    assert file.stat().st_mode & 0o077 == 0


def test_signatures_of_others_are_not_kept(file):
    other = log_keys.of_log(log_keys.new_file(), "elsewhere.example/log")
    text = Checkpoint(ORIGIN, 7, tree.root(7, TILES)).text()
    assert witness(file).answer(str(Submission(0, (), str(log_keys.signed(text, [*other, *LOG], NOW))))).status == 200
    assert {each.name for each in witness(file).kept()[ORIGIN].signatures} == {ORIGIN, NAME}


def test_of_many_who_submit_at_once_one_is_cosigned_for_each_size(file):
    with ThreadPoolExecutor(8) as pool:
        sizes = list(range(1, 25))
        statuses = list(pool.map(lambda size: witness(file).answer(submitted(0, size)).status, sizes))
    assert sorted(statuses) == [200] + [409] * 23
    assert kept_size(file) == sizes[statuses.index(200)]


@pytest.mark.parametrize(("step", "size"), [("before", 7), ("written", 7), ("synced", 7), ("renamed", 13)])
def test_a_witness_that_is_killed_has_cosigned_nothing_that_it_does_not_know(file, tmp_path, step, size):
    (tmp_path / "key").write_text(log_keys.new_file())
    (tmp_path / "logs").write_text("".join(f"log {each.key.vkey()}\n" for each in LOG))
    assert witness(file).answer(submitted(0, 7)).status == 200
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), step], input=submitted(7, 13), capture_output=True, text=True, env=os.environ
    )
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "")
    assert kept_size(file) == size
    assert witness(file).answer(submitted(size, 13)).status == 200  # the log asks again, and nothing is locked or broken


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": 1}', '{"clinic.example/other": "no note"}', "\udcff"])
def test_a_witness_without_its_memory_cosigns_nothing(file, content):
    file.write_bytes(content.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(WitnessStateInvalid, match="Restore it from a copy"):
        witness(file).answer(submitted(0, 7))
    assert file.read_bytes() == content.encode("utf-8", errors="surrogateescape")


def test_a_checkpoint_under_the_name_of_another_log_is_no_memory(file):
    assert witness(file).answer(submitted(0, 7)).status == 200
    file.write_text(file.read_text().replace(f'"{ORIGIN}":', '"elsewhere.example/log":'))
    with pytest.raises(WitnessStateInvalid):
        witness(file).kept()


def test_the_logs_of_a_witness_are_lines_or_a_whole_policy():
    lines = "".join(f"log {each.key.vkey()}\n" for each in LOG)
    assert witness_state.read_logs(lines) == LOGS
    assert witness_state.read_logs(f"# of the clinic\n{lines}witness w {OWN[0].key.vkey()}\nquorum w\n") == LOGS
    with pytest.raises(NotProved, match="names no log"):
        witness_state.read_logs("quorum none\n")
    with pytest.raises(NotProved, match="Line 1"):
        witness_state.read_logs("log nonsense\n")
