"""An auditor with a laptop, the one-file verifier and last month's checkpoint finds what somebody did who knows the database's password.

`scripts/tamper.py` plants it. What the auditor runs is the file alone, on the bundle that the clinic hands out after the deed.
"""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa
from support import service_walk, signed_logs
from support.signed_logs import OWN, SignedLogs
from support.two_clinics import OTHER

from ipt_workflow.journal import Checked
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import courses, integrity
from ipt_workflow.store.schema import tables


def script() -> ModuleType:
    path = Path(__file__).parents[3] / "scripts" / "tamper.py"
    spec = importlib.util.spec_from_file_location("tamper_script", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tamper = script()
EVERY = [*tamper.TAMPERINGS, tamper.OLDER_STATE, tamper.OTHER_LOG]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str | None) -> SignedLogs:
    return signed_logs.made(tmp_path_factory.mktemp("tampered"), server)


class Auditor:
    """A laptop with the file, a policy of the auditor's own and what they kept."""

    def __init__(self, folder: Path, made: SignedLogs) -> None:
        self.folder = folder
        self.refused: list[str] = []
        shutil.copy(ipt_verify.__file__, folder / "ipt_verify.py")
        (folder / "policy.txt").write_text(made.policy, encoding="utf-8")
        (folder / "kept.txt").write_text(made.kept, encoding="utf-8")

    def verify(self, settings: Settings) -> int:
        """The exit code of verifying the bundle that the clinic hands out."""
        self.refused = service_walk.with_clinic(settings, lambda clinic: signed_logs.exported(clinic, self.folder / "log.zip"))
        given = [str(self.folder / name) for name in ("policy.txt", "kept.txt", "log.zip")]
        return ipt_verify.main(["--policy", given[0], "--kept", *given[1:]])

    def verify_alone(self) -> subprocess.CompletedProcess[str]:
        """The same by the file alone, with no package in reach, on the bundle of before."""
        command = [sys.executable, "-I", "-S", "ipt_verify.py", "--policy", "policy.txt", "--kept", "kept.txt", "log.zip"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)


@pytest.fixture
def auditor(tmp_path: Path, made: SignedLogs) -> Auditor:
    return Auditor(tmp_path, made)


def test_nothing_is_found_in_an_honest_log(made: SignedLogs, auditor: Auditor, tmp_path: Path) -> None:
    assert auditor.verify(signed_logs.copy(made.now, tmp_path)) == 0
    alone = auditor.verify_alone()
    assert (alone.returncode, alone.stdout.splitlines()[-1], alone.stderr) == (0, "All holds.", "")


# The last line of what the verifier says.
FOUND = {
    "altered-entry": "First bad position: 2.",
    "altered-with-the-log": "First bad position: between 0 and 24.",
    "altered-and-signed": "First bad position: between 0 and 24.",
    "left-out-entry": "First bad position: 4.",
    "put-in-entry": "First bad position: none of those that can be seen here.",
    "reordered": "First bad position: 20.",
    "replaced-text": "First bad position: 2.",
    "altered-record": "First bad position: 1.",
    "left-out-record": "First bad position: 1.",
    "put-in-record": "First bad position: none of those that can be seen here.",
    "cut-off-end": "First bad position: 13.",
    "older-state": "First bad position: 13.",
    "other-log": "First bad position: 0.",
}


# What the service itself finds out before it signs, since it knows what it signed before.
NOT_SIGNED = {"altered-with-the-log", "altered-and-signed", "cut-off-end", "older-state", "other-log"}


@pytest.mark.parametrize("name", EVERY)
def test_every_tampering_is_found(
    made: SignedLogs, auditor: Auditor, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    forged = signed_logs.copy(made.now, tmp_path)
    backup = made.backup.database_url if name == tamper.OLDER_STATE else None
    other = OTHER if name == tamper.OTHER_LOG else None
    asyncio.run(tamper.tamper(forged.database_url, OWN, name, from_url=backup, other=other))
    assert auditor.verify(forged) == 1
    assert capsys.readouterr().out.splitlines()[-1] == FOUND[name]
    assert bool(auditor.refused) == (name in NOT_SIGNED)


@pytest.mark.parametrize("name", ["altered-entry", "put-in-entry", "cut-off-end"])
def test_the_chains_alone_do_not_show_what_a_thorough_forger_did(made: SignedLogs, tmp_path: Path, name: str) -> None:
    forged = signed_logs.copy(made.now, tmp_path)
    asyncio.run(tamper.tamper(forged.database_url, OWN, name))

    async def checked(clinic: Clinic) -> list[tuple[str, Checked]]:
        return await clinic.read(integrity.check_courses, await clinic.read(courses.course_ids, "", 10))

    assert [found.fault for _, found in service_walk.with_clinic(forged, checked)] == [None] * (1 if name == "cut-off-end" else 2)


async def with_records_of_before(clinic: Clinic) -> None:
    """Some work whose records have no bytes yet, as a version without a log wrote them."""

    def emptied(connection: sa.Connection, organisation: str) -> None:
        forger = tamper.Forger(connection, organisation)
        with tamper.unguarded(connection):
            forger.update(tables.audit_event, {"canonical": None, "hash": None}, tables.audit_event.c.id.in_(waiting))
            forger.update(tables.log_outbox, {"hash": None})

    course = await service_walk.open_course(clinic, "EHR-3")
    await CourseReads(clinic).course(service_walk.THERAPIST, course)
    waiting = await clinic.read(
        lambda connection, organisation: [row["id"] for row in tamper.Forger(connection, organisation).all(tables.log_outbox)]
    )
    assert waiting
    await clinic.write(emptied)
    await signed_logs.some_work(clinic, course, 1)


def test_records_of_a_version_without_a_log_hold(made: SignedLogs, auditor: Auditor, tmp_path: Path) -> None:
    settings = signed_logs.copy(made.now, tmp_path)
    service_walk.with_clinic(settings, with_records_of_before)
    assert auditor.verify(settings) == 0
