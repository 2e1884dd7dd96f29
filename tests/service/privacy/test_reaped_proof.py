"""The log still proves everything after a month of it was removed: for `audit verify`, and for an auditor who has the one-file verifier alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from support import retention, service_walk, signed_logs
from support.service_walk import AUDITOR, START
from support.signed_logs import SignedLogs

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.log_months import LogMonths, ToReap
from ipt_workflow.store.schema import tables

CEILING = retention.policy("gone", kind="access_log", bound="ceiling", period="P3Y", anchor="recorded")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, server: str | None) -> SignedLogs:
    return signed_logs.made(tmp_path_factory.mktemp("reaped"), server)


def three_years_later(settings: Settings, work) -> object:
    return service_walk.with_clinic(settings, work, VirtualClock(START.replace(year=2029, month=2, day=2)))


async def reap(clinic: Clinic) -> int:
    """Removes what is due, and signs the log. Returns how many records went."""
    await retention.adopt(clinic, CEILING)
    due = await LogMonths(clinic).due(AUDITOR)
    assert [(each.month, each.stopped_by) for each in due] == [("2026-01", None)]
    done = await LogMonths(clinic).reap(retention.ADMIN, lambda: ToReap(kind="access_log", month="2026-01"))
    await fan_out.bring_up_to_date(clinic)
    await Checkpoints(clinic).sign()
    assert done.reaped
    return done.reaped.records


def by_the_file(folder: Path, made: SignedLogs, settings: Settings) -> subprocess.CompletedProcess:
    """What the auditor's laptop says of the bundle that the clinic hands out."""
    shutil.copy(ipt_verify.__file__, folder / "ipt_verify.py")
    (folder / "policy.txt").write_text(made.policy, encoding="utf-8")
    (folder / "kept.txt").write_text(made.kept, encoding="utf-8")
    three_years_later(settings, lambda clinic: signed_logs.exported(clinic, folder / "log.zip"))
    command = [sys.executable, "ipt_verify.py", "--policy", "policy.txt", "--kept", "kept.txt", "log.zip"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_after_a_month_was_removed_the_log_verifies_from_a_checkpoint_of_before(made: SignedLogs, tmp_path: Path) -> None:
    settings = signed_logs.copy(made.now, tmp_path)
    gone = three_years_later(settings, reap)
    found = by_the_file(tmp_path, made, settings)
    assert found.returncode == 0, found.stdout
    assert f"removed, as a record says: {gone}" in found.stdout
    assert three_years_later(settings, lambda clinic: AuditLog(clinic).verify(AUDITOR)).ok


def test_one_more_record_that_went_with_the_month_is_found(made: SignedLogs, tmp_path: Path) -> None:
    settings = signed_logs.copy(made.now, tmp_path)

    async def take_one_more(clinic: Clinic) -> None:
        await reap(clinic)
        event, subject = tables.audit_event, tables.audit_subject
        ours = (event.c.organisation == signed_logs.OWN, event.c.kind == "read")
        oldest = sa.select(event.c.id).where(*ours).order_by(event.c.recorded_at).limit(1)

        def delete(connection: sa.Connection) -> None:
            for table in (subject, event):  # what the owner of the tables can do
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql(f"DROP TRIGGER guard_{table.name}_delete")
                else:
                    connection.exec_driver_sql(f"ALTER TABLE {table.name} DISABLE TRIGGER USER")
            taken = connection.execute(oldest).scalar_one()
            connection.execute(sa.delete(subject).where(subject.c.event_id == taken))
            connection.execute(sa.delete(event).where(event.c.id == taken))

        await clinic.database.write(delete)

    three_years_later(settings, take_one_more)
    found = by_the_file(tmp_path, made, settings)
    assert found.returncode == 1
    assert "is missing, and no record says why" in found.stdout
    assert not three_years_later(settings, lambda clinic: AuditLog(clinic).verify(AUDITOR)).ok
