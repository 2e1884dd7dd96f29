"""Versions of protocols: listed, compared, proved, and courses moved from one to another a page at a time."""

import pytest
from support import databases, protocol_versions, service_walk
from support.service_walk import SUPERVISOR, THERAPIST

from ipt_workflow import gate
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound
from ipt_workflow.machine import machine_for
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.protocols.versions import MoveOrder, ProtocolVersions
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.values.faults import shaped

ADMIN = Principal(person="admin-1", role="admin")
REASON = "The clinic takes up the new version."


@pytest.fixture
def two(tmp_path):
    """Runs `work` on a clinic with three courses under ipt@2, while there is an ipt@3 that demands more."""
    settings = databases.empty(tmp_path)
    folder = protocol_versions.config(tmp_path / "config", protocol_versions.SMALLER_CAP, protocol_versions.HARD_TIMELINE)

    async def opened(clinic):
        return [await service_walk.open_course(clinic, f"EHR-{number}") for number in range(3)]

    ids = service_walk.with_clinic(settings, opened)

    def run(work):
        with_both = protocol_versions.settings_with(settings, folder)
        return service_walk.with_clinic(with_both, lambda clinic: work(clinic, ProtocolVersions(clinic), ids))

    return run


async def stored_settings(clinic, _versions, _ids):
    return clinic.settings


def test_every_version_is_listed_also_one_whose_file_is_gone(two):
    both = two(stored_settings)

    async def work(clinic):
        found = await ProtocolVersions(clinic).of(ADMIN, "ipt")
        assert [(each.protocol.version, each.in_force) for each in found] == [(2, True), (3, False)]
        with pytest.raises(CommandInvalid, match="file is gone"):
            await ProtocolVersions(clinic).plan(SUPERVISOR, "ipt", 2, 3)

    service_walk.with_clinic(protocol_versions.settings_with(both, protocol_versions.CONFIG), work)


def test_versions_are_compared_value_by_value(two):
    async def work(_clinic, versions, _ids):
        found = {each.key: each for each in await versions.differences(THERAPIST, "ipt", 2, 3)}
        assert set(found) == {"phases[initial].sessions_max", "phases[initial].sessions_max_extended", "phases[initial].soft"}
        cap = found["phases[initial].sessions_max"]
        assert (cap.before.value, cap.after.value) == (3, 2)
        assert cap.after.sources[0].source.startswith("S3")

    two(work)


def test_a_version_that_does_not_exist_is_not_found(two):
    async def work(_clinic, versions, _ids):
        for call in (
            versions.one(ADMIN, "ipt", 99),
            versions.of(ADMIN, "nothing"),
            versions.differences(ADMIN, "ipt", 2, 99),
            versions.proof(ADMIN, "ipt", 99),
            versions.plan(ADMIN, "ipt", 99, 2),
        ):
            with pytest.raises(NotFound):
                await call

    two(work)


def test_a_supervisor_sees_the_courses_of_a_plan_and_an_administrator_their_numbers_alone(two):
    async def work(clinic, versions, ids):
        plan = await versions.plan(SUPERVISOR, "ipt", 2, 3)
        assert [each.course for each in plan.moves] == ids
        assert (plan.kinds, plan.next) == ({"carries_over": 3}, None)
        assert plan.because == {}
        numbers = await versions.plan(ADMIN, "ipt", 2, 3)
        assert (numbers.kinds, numbers.moves) == (plan.kinds, [])
        records = await AuditLog(clinic).page(service_walk.AUDITOR, AuditFilters(kind="read", actor="admin-1"), Position(), 10)
        assert [(each.action, sorted(each.courses)) for each in records] == [("migration plan", sorted(ids))]

    two(work)


def test_a_course_that_the_supervisor_does_not_see_is_neither_shown_nor_moved(two):
    async def work(clinic, versions, ids):
        await Restrictions(clinic).restrict(ADMIN, ids[0], lambda: NewRestriction(people=(), reason="The client works here."))
        plan = await versions.plan(SUPERVISOR, "ipt", 2, 3)
        assert [each.course for each in plan.moves] == ids[1:]
        moved = await versions.move(SUPERVISOR, "ipt", 2, 3, MoveOrder(courses=tuple(ids), reason=REASON))
        assert {each.course: each.became for each in moved} == {ids[0]: "unknown", ids[1]: "moved", ids[2]: "moved"}

    two(work)


def test_chosen_courses_are_moved_once(two):
    async def work(clinic, versions, ids):
        order = MoveOrder(courses=(ids[1],), reason=REASON)
        (moved,) = await versions.move(SUPERVISOR, "ipt", 2, 3, order)
        assert (moved.course, moved.became) == (ids[1], "moved")
        (again,) = await versions.move(SUPERVISOR, "ipt", 2, 3, order)
        assert again.became == "there_already"
        entries = await CourseReads(clinic).history(SUPERVISOR, ids[1], 0, 10)
        assert [(each.trigger, each.reason) for each in entries[1:]] == [("migrate_protocol", REASON)]

    two(work)


def test_an_order_names_courses_and_not_too_many(two):
    async def work(_clinic, versions, ids):
        for courses in ((), ("no course",), ("\x00" * 36,)):
            with pytest.raises(CommandInvalid):
                shaped(MoveOrder, {"courses": courses, "reason": REASON})
        with pytest.raises(CommandInvalid, match="at most 100"):
            await versions.move(SUPERVISOR, "ipt", 2, 3, MoveOrder(courses=(ids[0],) * 101, reason=REASON))
        with pytest.raises(CommandInvalid, match="choose another"):
            await versions.plan(SUPERVISOR, "ipt", 2, 2)

    two(work)


def test_only_those_who_may_try_a_protocol_plan_and_only_a_supervisor_moves(two):
    async def work(_clinic, versions, ids):
        with pytest.raises(Forbidden):
            await versions.plan(THERAPIST, "ipt", 2, 3)
        with pytest.raises(Forbidden):
            await versions.proof(THERAPIST, "ipt", 2)
        with pytest.raises(Forbidden):
            await versions.move(ADMIN, "ipt", 2, 3, MoveOrder(courses=tuple(ids), reason=REASON))

    two(work)


@pytest.mark.rest
def test_a_proof_is_worked_out_elsewhere_and_kept(two):
    async def work(clinic, versions, _ids):
        protocol = clinic.catalogue.get("ipt-group", 2)
        assert await clinic.installation.proofs.of(protocol, patience=0) is None  # nobody waits longer than they like
        found = None
        while found is None:
            found = await versions.proof(ADMIN, "ipt-group", 2)
        assert found == gate.examine(machine_for(protocol))
        assert found.ok
        assert await clinic.installation.proofs.of(protocol, patience=0) == found

    two(work)
