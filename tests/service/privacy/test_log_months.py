"""Months of the audit log that a ceiling wants gone: they go when a person decides so, and the log still proves what was in them."""

import datetime as dt
import json

import pytest
import sqlalchemy as sa
from support import checkpoints, databases, marks, service_walk, tampering
from support.retention import ADMIN, adopt, policy
from support.service_walk import AUDITOR, START, THERAPIST

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.errors import CommandInvalid, Forbidden
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import log_verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.privacy.log_months import LogMonths, ToReap
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import log
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema import tables

CEILING = policy("gone", kind="access_log", bound="ceiling", period="P3Y", anchor="recorded")
JANUARY = ToReap(kind="access_log", month="2026-01")


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """Reads of a course in January and in February 2026, and cover that was arranged between."""
    courses = []

    async def fill(clinic):
        courses.append(await service_walk.open_course(clinic))
        for _ in range(3):
            await CourseReads(clinic).course(THERAPIST, courses[0])
        await adopt(clinic, policy())
        clinic.clock.advance(dt.timedelta(days=31))
        await CourseReads(clinic).course(THERAPIST, courses[0])
        await fan_out.bring_up_to_date(clinic)

    return service_walk.database(tmp_path_factory.mktemp("reaping"), fill, server), courses


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it, on the first of February 2029: `clinic(test)` with `test(clinic, course)`."""
    settings, (course,) = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(
        copied, lambda clinic: test(clinic, course), VirtualClock(START.replace(year=2029, month=2, day=1))
    )


async def checkpoint(clinic, size: int | None = None) -> None:
    """Keeps a checkpoint of the log."""
    size = await clinic.read(log.size) if size is None else size
    root = (await clinic.read(log.root, size)).hex()
    row = {"organisation": "default", "size": size, "origin": "o", "root": root, "note": "n\n", "cosignatures": ""}
    await clinic.database.write(lambda c: c.execute(sa.insert(tables.log_checkpoint), {**row, "created_at": START}) and None)


async def kept(clinic) -> list[tuple[str, str]]:
    """The audit records that are there, by month and kind."""
    select = sa.select(tables.audit_event.c.recorded_at, tables.audit_event.c.kind).order_by(tables.audit_event.c.recorded_at)
    rows = await clinic.database.read(lambda connection: connection.execute(select).all())
    return [(f"{row.recorded_at:%Y-%m}", row.kind) for row in rows]


async def reap(clinic, asked: ToReap = JANUARY, *, dry_run: bool = False):
    return await LogMonths(clinic).reap(ADMIN, lambda: asked, dry_run=dry_run)


def test_a_month_is_due_when_the_term_of_its_last_day_has_passed(clinic):
    async def test(clinic, _):
        await adopt(clinic, CEILING)
        await checkpoint(clinic)
        (due,) = await LogMonths(clinic).due(AUDITOR)
        assert (due.kind, due.month, due.records, due.since) == ("access_log", "2026-01", 3, dt.date(2029, 2, 1))
        assert (due.policies, due.because) == (("gone",), None)
        clinic.clock.set(START.replace(year=2029, month=1, day=31))
        assert await LogMonths(clinic).due(AUDITOR) == []

    clinic(test)


def test_the_records_go_and_their_leaves_stay_and_still_prove(clinic):
    async def test(clinic, course):
        await adopt(clinic, CEILING)
        await checkpoint(clinic)
        size = await clinic.read(log.size)
        before, root = await clinic.read(log.leaves, 0, size), await clinic.read(log.root, size)
        rehearsed = await reap(clinic, dry_run=True)
        assert (rehearsed.dry_run, rehearsed.month.records, rehearsed.reaped) == (True, 3, None)
        assert ("2026-01", "read") in await kept(clinic)
        done = await reap(clinic)
        reaped = done.reaped
        assert [each for each in await kept(clinic) if each[0] == "2026-01"] == [("2026-01", "config")]
        assert ("2026-02", "read") in await kept(clinic)
        assert await clinic.read(log.leaves, 0, size) == before
        assert await clinic.read(log.root, size) == root
        gone = {position for first, last in reaped.positions for position in range(first, last + 1)}
        assert len(gone) == reaped.records == 3
        there = set(await _ids(clinic))
        assert {each.position for each in before if each.kind == "record" and each.record not in there} == gone
        assert (reaped.checkpoint_size, reaped.checkpoint, reaped.person) == (size, "n\n", "admin-1")
        assert await LogMonths(clinic).reaped(AUDITOR) == [reaped]
        assert await LogMonths(clinic).due(AUDITOR) == []

    clinic(test)


def test_a_verification_knows_what_was_removed_rightly_by_the_record_of_it_alone(clinic):
    async def test(clinic, course):
        await adopt(clinic, CEILING)
        await checkpoints.sign(clinic)
        await reap(clinic)
        await fan_out.bring_up_to_date(clinic)
        assert (await log_verification.verify_log(clinic, whole=True)).fault is None
        deed = "(SELECT id FROM audit_event WHERE action = 'audit log reaped')"
        await tampering.run(clinic, f"UPDATE audit_event SET action = 'other' WHERE id = {deed}")
        assert (await log_verification.verify_log(clinic, whole=True)).fault.fault == "audit_event: the record is missing"

    clinic(test)


async def _ids(clinic) -> list[str]:
    return list(
        await clinic.database.read(lambda connection: connection.execute(sa.select(tables.audit_event.c.id)).scalars().all())
    )


def test_the_deed_is_a_record_of_the_log_with_what_went(clinic):
    async def test(clinic, _):
        await adopt(clinic, CEILING)
        await checkpoint(clinic)
        reaped = (await reap(clinic)).reaped
        record = (await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="config", actor="admin-1"), Position(), 100))[-1]
        assert record.action == "audit log reaped"
        row = await clinic.database.read(
            lambda c: c.execute(sa.select(tables.audit_event.c.canonical).where(tables.audit_event.c.id == record.id)).scalar()
        )
        details = json.loads(bytes(row))["details"]
        assert (details["kind"], details["month"], details["records"]) == ("access_log", "2026-01", 3)
        assert details["positions"] == [
            [*each] for each in reaped.positions
        ]  # by which the verifier knows that they are gone rightly
        assert details["checkpoint"]["size"] == reaped.checkpoint_size
        await fan_out.bring_up_to_date(clinic)
        assert await clinic.read(log.leaf_of_record, record.id) is not None

    clinic(test)


def test_a_month_that_names_a_client_on_hold_stays(clinic):
    async def test(clinic, _):
        await adopt(clinic, CEILING)
        await checkpoint(clinic)
        await marks.mark(clinic, "hold")
        (due,) = await LogMonths(clinic).due(AUDITOR)
        assert (due.stopped_by, len(due.holds)) == ("hold", 1)
        with pytest.raises(CommandInvalid, match="holds"):
            await reap(clinic)

    clinic(test)


def test_a_month_stays_while_no_checkpoint_covers_it(clinic):
    async def test(clinic, _):
        await adopt(clinic, CEILING)
        await checkpoint(clinic, 1)
        assert [each.stopped_by for each in await LogMonths(clinic).due(AUDITOR)] == ["no_checkpoint"]
        with pytest.raises(CommandInvalid, match="IPT_LOG_KEY_FILE"):
            await reap(clinic)

    clinic(test)


def test_a_month_stays_while_a_floor_keeps_it(clinic):
    async def test(clinic, _):
        await checkpoint(clinic)
        await adopt(clinic, policy("kept", kind="access_log", period="P3Y", anchor="recorded"), CEILING)
        assert [each.stopped_by for each in await LogMonths(clinic).due(AUDITOR)] == [None]
        with pytest.raises(CommandInvalid, match="contradicts"):
            await adopt(clinic, policy("longer", kind="access_log", period="P5Y", anchor="recorded"))

    clinic(test)


@pytest.mark.parametrize("asked", (ToReap(kind="access_log", month="2026-02"), ToReap(kind="disclosure_log", month="2026-01")))
def test_what_is_not_due_cannot_be_reaped(clinic, asked):
    async def test(clinic, _):
        await adopt(clinic, CEILING)
        await checkpoint(clinic)
        before = await kept(clinic)
        with pytest.raises(CommandInvalid, match="not due"):
            await reap(clinic, asked)
        assert await kept(clinic) == before

    clinic(test)


def test_without_a_ceiling_no_month_is_due_and_an_auditor_reaps_nothing(clinic):
    async def test(clinic, _):
        await checkpoint(clinic)
        await adopt(clinic, policy("kept", kind="access_log", period="P1M", anchor="recorded"))
        assert await LogMonths(clinic).due(AUDITOR) == []
        with pytest.raises(Forbidden):
            await LogMonths(clinic).reap(AUDITOR, lambda: JANUARY)

    clinic(test)
