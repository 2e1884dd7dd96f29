"""`audit verify` reads the log too; with a checkpoint that was kept, only what is newer; on both databases."""

import json

import pytest
from support import checkpoints, service_walk, tampering
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.course.triggers import Command
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_keys, verification
from ipt_workflow.store import log

NOTE = Command("note", {"text": "She called."})


@pytest.fixture
def scene(database_url, tmp_path, monkeypatch):
    """A clinic with a course, whose log is signed; `verify` is the command, with a file that keeps a checkpoint."""
    monkeypatch.setenv("IPT_DATABASE_URL", database_url)

    class Scene:
        kept = tmp_path / "kept"
        course = None

        def on(self, work):
            settings = configuration.load({"IPT_DATABASE_URL": database_url})
            return service_walk.with_clinic(settings, work, VirtualClock(service_walk.START))

        def grow(self, times=3):
            async def work(clinic):
                self.course = self.course or await service_walk.open_course(clinic)
                for _ in range(times):
                    await service_walk.fire(clinic, self.course, NOTE)
                return await checkpoints.sign(clinic)

            return self.on(work)

        def tamper(self, *statements):
            self.on(lambda clinic: tampering.run(clinic, *statements))

        def verify(self, *more, code=0):
            result = CliRunner().invoke(app, ["audit", "verify", "--kept", str(self.kept), *more])
            assert result.exit_code == code, result.output
            return result

        def size(self):
            return ipt_verify.read_checkpoint(ipt_verify.read_note(self.kept.read_text()).text).size

    return Scene()


def test_the_first_time_everything_is_read_and_then_what_is_new(scene):
    scene.grow()
    assert "4 entries of 1 courses are as they were written" in scene.verify().stdout
    first = scene.size()
    scene.grow()
    found = json.loads(scene.verify("--json").stdout)
    assert (found["ok"], found["since"], found["leaves"] > 3, found["courses"]) == (True, first, True, 0)
    second = scene.size()
    assert second > first
    assert f"continues the checkpoint of size {second}" in scene.verify().stdout
    assert "7 entries of 1 courses" in scene.verify("--all").stdout


def test_what_was_changed_before_the_kept_checkpoint_is_for_all_and_what_is_newer_is_found_at_once(scene):
    scene.grow()
    scene.verify()
    scene.grow()
    scene.tamper("UPDATE entry SET person = 'other' WHERE seq = 6")
    kept = scene.kept.read_bytes()
    refused = scene.verify(code=1)
    assert f"Course {scene.course}, entry 6, position" in refused.stderr
    assert scene.kept.read_bytes() == kept
    scene.tamper("UPDATE entry SET person = 'therapist-1' WHERE seq = 6", "UPDATE entry SET person = 'other' WHERE seq = 2")
    scene.verify()
    assert "entry 2" in scene.verify("--all", code=1).stderr


def test_a_log_that_does_not_continue_the_kept_checkpoint_is_found(scene):
    note = scene.grow()
    checkpoint = ipt_verify.read_checkpoint(note.text)
    scene.kept.write_text(str(log_keys.signed(checkpoint._replace(root=b"x" * 32).text(), checkpoints.KEYS, 0)))
    assert "does not begin with the tree" in scene.verify(code=1).stderr
    assert "does not begin with the tree" in scene.verify("--all", code=1).stderr
    scene.kept.write_text(ipt_verify.header_of(log_keys.signed(checkpoint._replace(size=10_000).text(), checkpoints.KEYS, 0)))
    assert "the checkpoint that was kept has 10000" in scene.verify(code=1).stderr


def test_a_header_of_a_delivery_can_be_kept(scene):
    scene.kept.write_text(ipt_verify.header_of(scene.grow()))
    scene.grow()
    assert "continues the checkpoint" in scene.verify().stdout


def test_a_file_that_holds_no_checkpoint_or_one_of_a_stranger_is_named(scene, monkeypatch, tmp_path):
    scene.grow()
    scene.kept.write_text("nonsense")
    assert "It is no checkpoint of this log" in scene.verify(code=1).stderr
    stranger = log_keys.of_log(log_keys.new_file(), checkpoints.ORIGIN)
    (tmp_path / "policy").write_text(f"log {stranger[0].key.vkey()}\nquorum none\n")
    monkeypatch.setenv("IPT_LOG_POLICY_FILE", str(tmp_path / "policy"))
    scene.kept.unlink()
    scene.verify()
    assert "no log of the policy has signed it" in scene.verify(code=1).stderr


def test_without_its_quorum_a_checkpoint_is_not_kept(scene, monkeypatch, tmp_path):
    scene.grow()
    witness = log_keys.of_witness(log_keys.new_file(), "partner.example/witness")[0]
    (tmp_path / "policy").write_text(f"witness w {witness.key.vkey()}\nquorum w\n")
    monkeypatch.setenv("IPT_LOG_POLICY_FILE", str(tmp_path / "policy"))
    assert "No checkpoint has its quorum" in scene.verify().stderr
    assert not scene.kept.exists()


def test_a_kept_checkpoint_is_for_the_whole_log(scene):
    assert "leave out --course" in scene.verify("--course", "x", code=2).stderr
    assert "leave out" in scene.verify("--chains", code=2).stderr


def test_everything_names_what_is_not_in_the_log_and_what_the_log_alone_knows(scene):
    scene.grow()
    size = scene.on(lambda clinic: clinic.read(log.size))
    found = scene.on(verification.verify)
    assert (found.ok, found.leaves) == (True, size)
    scene.tamper("DELETE FROM log_leaf WHERE kind = 'entry' AND seq = 2")
    found = scene.on(verification.verify)
    assert found.first_bad == {"course": scene.course, "seq": 2, "fault": "log_leaf: the entry is not in the log"}


def test_a_whole_course_that_was_removed_is_found_by_the_log(scene):
    scene.grow()
    scene.tamper(
        *(f"DELETE FROM {table}" for table in ("entry_data", "entry")),
        "DELETE FROM course",
    )
    found = scene.on(verification.verify)
    assert (found.ok, found.courses, found.first_bad["fault"]) == (False, 0, "entry: it is missing")
