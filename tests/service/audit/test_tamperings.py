"""An auditor with a laptop, the one-file verifier and last month's checkpoint finds what somebody did who knows the database's password.

`scripts/tamper.py` plants it. What the auditor runs is the file alone, on the bundle that the clinic hands out after the deed.
"""

import asyncio
import datetime as dt
import importlib.util
import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk, staff
from support.two_clinics import OTHER

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.errors import Forbidden
from ipt_workflow.journal import Checked
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.log_exports import LogExports
from ipt_workflow.service.audit.log_keys import CheckpointSigner
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.organisations import NewOrganisation, Organisations
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import courses, integrity, log
from ipt_workflow.store.schema import tables

NOW, SEEDS = 1_700_000_000, log_keys.new_file()
OWN = "default"


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


class Installation(NamedTuple):
    """Two organisations in a database as it is, and as a backup has it, with the checkpoint that the auditor kept between the two."""

    now: Settings
    backup: Settings
    kept: str


def keys(organisation: str) -> tuple[CheckpointSigner, ...]:
    return log_keys.of_log(SEEDS, f"clinic.example/{organisation}")


def policy(organisation: str) -> str:
    return f"log {keys(organisation)[0].key.vkey()}\nquorum none\n"


def sign(connection: sa.Connection, organisation: str) -> SignedNote:
    """Signs the log as it is, and keeps the checkpoint in the database."""
    size = log.size(connection, organisation)
    root = log.root(connection, organisation, size)
    origin = f"clinic.example/{organisation}"
    note = log_keys.signed(Checkpoint(origin, size, root).text(), keys(organisation), NOW)
    row = {"organisation": organisation, "size": size, "origin": origin, "root": ipt_verify.encoded(root), "note": str(note)}
    connection.execute(sa.insert(tables.log_checkpoint), {**row, "created_at": service_walk.START})
    return note


async def some_work(clinic: Clinic, course: str, number: int = 6) -> SignedNote:
    """Notes and reads. Returns the checkpoint after them."""
    for each in range(number):
        clinic.clock.advance(dt.timedelta(minutes=1))
        await service_walk.fire(clinic, course, Command("note", {"text": f"She called {each} times."}))
        await CourseReads(clinic).course(service_walk.THERAPIST, course)
    await fan_out.bring_up_to_date(clinic)
    return await clinic.write(sign)


async def begin(clinic: Clinic) -> None:
    """Some work in both organisations."""
    operator = Principal(person="operator-1", role="operator", via="cli")
    clinics = Clinics(clinic)
    await Organisations(clinic, clinics).create(operator, lambda: NewOrganisation(id=OTHER, title="South"))
    other = await clinics.of(OTHER)
    await other.database.write(staff.add, OTHER)
    await some_work(other, await service_walk.open_course(other))
    await some_work(clinic, await service_walk.open_course(clinic))


async def go_on(clinic: Clinic) -> str:
    """A month later: more work on the course. Returns the checkpoint."""
    (course,) = await clinic.read(courses.course_ids, "", 2)
    clinic.clock.advance(dt.timedelta(days=30))
    return str(await some_work(clinic, course))


async def begin_another(clinic: Clinic) -> None:
    """Another month later: one more course."""
    clinic.clock.advance(dt.timedelta(days=60))
    await some_work(clinic, await service_walk.open_course(clinic, "EHR-2"), 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str | None) -> Installation:
    backup = databases.empty(tmp_path_factory.mktemp("backup"), server)
    service_walk.with_clinic(backup, begin)
    now = databases.copy(backup, tmp_path_factory.mktemp("now"))
    kept = service_walk.with_clinic(now, go_on)
    service_walk.with_clinic(now, begin_another)
    return Installation(now, backup, kept)


class Auditor:
    """A laptop with the file, a policy of the auditor's own and what they kept."""

    def __init__(self, folder: Path, kept: str) -> None:
        self.folder = folder
        shutil.copy(ipt_verify.__file__, folder / "ipt_verify.py")
        (folder / "policy.txt").write_text(policy(OWN), encoding="utf-8")
        (folder / "kept.txt").write_text(kept, encoding="utf-8")

    def verify(self, settings: Settings) -> int:
        """The exit code of verifying the bundle that the clinic hands out."""
        service_walk.with_clinic(settings, self._exported)
        given = [str(self.folder / name) for name in ("policy.txt", "kept.txt", "log.zip")]
        return ipt_verify.main(["--policy", given[0], "--kept", *given[1:]])

    def verify_alone(self) -> subprocess.CompletedProcess[str]:
        """The same by the file alone, with no package in reach, on the bundle of before."""
        command = [sys.executable, "-I", "-S", "ipt_verify.py", "--policy", "policy.txt", "--kept", "kept.txt", "log.zip"]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)

    async def _exported(self, clinic: Clinic) -> None:
        with (self.folder / "log.zip").open("wb") as target:
            note = await clinic.read(newest)
            await LogExports(clinic).write(service_walk.AUDITOR, target, note, policy(OWN), texts=True)


def newest(connection: sa.Connection, organisation: str) -> SignedNote:
    table = tables.log_checkpoint
    found = sa.select(table.c.note).where(table.c.organisation == organisation).order_by(table.c.size.desc()).limit(1)
    return ipt_verify.read_note(connection.execute(found).scalar())


@pytest.fixture
def auditor(tmp_path: Path, made: Installation) -> Auditor:
    return Auditor(tmp_path, made.kept)


def test_nothing_is_found_in_an_honest_log(made: Installation, auditor: Auditor, tmp_path: Path) -> None:
    assert auditor.verify(databases.copy(made.now, tmp_path)) == 0
    alone = auditor.verify_alone()
    assert (alone.returncode, alone.stdout.splitlines()[-1], alone.stderr) == (0, "All holds.", "")


# What the last line of the verifier names, where it is one position: the second entry, the third and so on of the course.
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


@pytest.mark.parametrize("name", EVERY)
def test_every_tampering_is_found(
    made: Installation, auditor: Auditor, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    forged = databases.copy(made.now, tmp_path)
    backup = made.backup.database_url if name == tamper.OLDER_STATE else None
    other = OTHER if name == tamper.OTHER_LOG else None
    asyncio.run(tamper.tamper(forged.database_url, OWN, name, from_url=backup, other=other))
    assert auditor.verify(forged) == 1
    assert capsys.readouterr().out.splitlines()[-1] == FOUND[name]


@pytest.mark.parametrize("name", ["altered-entry", "put-in-entry", "cut-off-end"])
def test_the_chains_alone_do_not_show_what_a_thorough_forger_did(made: Installation, tmp_path: Path, name: str) -> None:
    forged = databases.copy(made.now, tmp_path)
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
    await some_work(clinic, course, 1)


def test_records_of_a_version_without_a_log_hold(made: Installation, auditor: Auditor, tmp_path: Path) -> None:
    settings = databases.copy(made.now, tmp_path)
    service_walk.with_clinic(settings, with_records_of_before)
    assert auditor.verify(settings) == 0


def test_texts_go_along_only_if_they_are_asked_for_and_may_be_read(made: Installation, auditor: Auditor, tmp_path: Path) -> None:
    settings = databases.copy(made.now, tmp_path)

    async def masked(clinic: Clinic) -> list[bool]:
        known = []
        for texts, rule in ((False, "open"), (True, "open"), (True, "never")):
            clinic.access_rules = msgspec.structs.replace(clinic.access_rules, auditor_text=rule)
            target = io.BytesIO()
            await LogExports(clinic).write(service_walk.AUDITOR, target, await clinic.read(newest), policy(OWN), texts=texts)
            with zipfile.ZipFile(target) as archive:
                known.append(b"She called" in archive.read(ipt_verify.ENTRIES))
        return known

    assert service_walk.with_clinic(settings, masked) == [False, True, False]


def test_only_auditors_take_the_log_away(made: Installation, tmp_path: Path) -> None:
    async def taken(clinic: Clinic) -> None:
        await LogExports(clinic).write(service_walk.SUPERVISOR, io.BytesIO(), await clinic.read(newest), policy(OWN))

    with pytest.raises(Forbidden):
        service_walk.with_clinic(databases.copy(made.now, tmp_path), taken)
