"""An installation of two organisations with signed logs, for tests that take a log away or forge it."""

import datetime as dt
import shutil
from pathlib import Path
from typing import NamedTuple

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.service.audit.log_exports import LogExports
from ipt_workflow.service.audit.log_state import SUFFIX
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.organisations import NewOrganisation, Organisations
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import courses
from support import databases, service_walk, staff
from support.two_clinics import OTHER

OWN, KEYS = "default", "log.keys"
OPERATOR = Principal(person="operator-1", role="operator", via="cli")
MONTH = dt.timedelta(days=30)


class SignedLogs(NamedTuple):
    """The database as it is and as a backup has it, with the checkpoint that the auditor kept between the two, and the auditor's policy."""

    now: Settings
    backup: Settings
    kept: str
    policy: str


def made(folder: Path, server: str | None) -> SignedLogs:
    (folder / KEYS).write_text(log_keys.new_file(), encoding="utf-8")
    for name in ("backup", "now"):
        (folder / name).mkdir()
    backup = _signing(databases.empty(folder / "backup", server), folder)
    service_walk.with_clinic(backup, _begin)
    now = _signing(databases.copy(backup, folder / "now"), folder)
    kept, keys = service_walk.with_clinic(now, _go_on)
    service_walk.with_clinic(now, _begin_another)
    return SignedLogs(now, backup, kept, "".join(f"log {each}\n" for each in keys) + "quorum none\n")


def copy(settings: Settings, folder: Path, keys_of: Settings | None = None) -> Settings:
    """A copy of a database, and of the files with keys, which may be those of a later time."""
    keys = Path((keys_of or settings).log_key_file)
    for name in (keys.name, keys.name + SUFFIX):
        shutil.copy(keys.with_name(name), folder)
    return _signing(databases.copy(settings, folder), folder)


async def some_work(clinic: Clinic, course: str, number: int = 6) -> str:
    """Notes and reads. Returns the checkpoint after them."""
    for each in range(number):
        clinic.clock.advance(dt.timedelta(minutes=1))
        await service_walk.fire(clinic, course, Command("note", {"text": f"She called {each} times."}))
        await CourseReads(clinic).course(service_walk.THERAPIST, course)
    await fan_out.bring_up_to_date(clinic)
    return (await Checkpoints(clinic).sign()).note


async def exported(clinic: Clinic, path: Path, *, texts: bool = True) -> list[str]:
    """Takes the log away. Returns why it was not signed, if it was not."""
    refused: list[str] = []
    with path.open("wb") as target:
        await LogExports(clinic).write(service_walk.AUDITOR, target, texts=texts, unsigned=refused.append)
    return refused


async def _begin(clinic: Clinic) -> None:
    """Some work in both organisations."""
    clinics = Clinics(clinic)
    await Organisations(clinic, clinics).create(OPERATOR, lambda: NewOrganisation(id=OTHER, title="South"))
    other = await clinics.of(OTHER)
    await other.database.write(staff.add, OTHER)
    await some_work(other, await service_walk.open_course(other))
    await some_work(clinic, await service_walk.open_course(clinic))


async def _go_on(clinic: Clinic) -> tuple[str, tuple[str, ...]]:
    """A month later: more work on the course. Returns the checkpoint, and the keys of the log."""
    (course,) = await clinic.read(courses.course_ids, "", 2)
    clinic.clock.advance(MONTH)
    return await some_work(clinic, course), (await Checkpoints(clinic).show()).keys


async def _begin_another(clinic: Clinic) -> None:
    """Another month later: one more course."""
    clinic.clock.advance(2 * MONTH)
    await some_work(clinic, await service_walk.open_course(clinic, "EHR-2"), 1)


def _signing(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"log_key_file": str(folder / KEYS)})
