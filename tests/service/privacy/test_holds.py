"""Marks on a client's record are set and ended by people who may, for a reason, and recorded; a hold blocks what would remove something."""

import pytest
from support import databases, service_walk
from support.marks import ADMIN, DEED, end, mark
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST

from ipt_workflow.access.marks import GROUNDS, KINDS, MarkEnd, NewMark
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, PersonNeeded, RecordHeld
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.privacy import holds
from ipt_workflow.service.privacy.marks import Marks
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import holds as stored_holds
from ipt_workflow.store import marks as stored
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.marks import MarkFilters


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        ids.append(await service_walk.open_course(clinic, "EHR-1"))

    return service_walk.database(tmp_path_factory.mktemp("marks"), fill, server), ids[0]


@pytest.fixture
def clinic(made, tmp_path):
    settings, course = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, course))


async def require_none(clinic) -> None:
    client = await clinic.read(stored_courses.client_id, "EHR-1")
    await clinic.write(holds.require_none, client)


def test_a_hold_blocks_and_is_shown_until_it_has_ended(clinic):
    async def test(clinic, _course):
        await require_none(clinic)
        first = await mark(clinic, note="The solicitor wrote.")
        await mark(clinic, ground="complaint", by=ADMIN)
        with pytest.raises(RecordHeld) as refused:
            await require_none(clinic)
        assert [each.partition(" ")[0] for each in refused.value.holds] == ["litigation", "complaint"]
        assert "set by supervisor-1" in refused.value.holds[0]
        await Marks(clinic).end(DEED, first.id, MarkEnd)
        with pytest.raises(RecordHeld, match=": complaint"):
            await require_none(clinic)
        client = await clinic.read(stored_courses.client_id, "EHR-1")
        assert [each.ground for each in (await clinic.read(stored_holds.of_clients, [client]))[client]] == ["complaint"]

    clinic(test)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mark_is_kept_with_who_set_and_ended_it_on_what_ground(clinic, kind):
    async def test(clinic, course):
        ground = next(iter(GROUNDS[kind]))
        new = await mark(clinic, kind, ground, note="By letter.")
        assert (new.in_force, new.courses, new.client_ref, new.note, new.set_by) == (
            True,
            (course,),
            "EHR-1",
            "By letter.",
            "supervisor-1",
        )
        ended = await end(clinic, new.id, note="Settled.")
        assert (ended.in_force, ended.ended_by, ended.end_note, ended.client_informed) == (False, "admin-1", "Settled.", True)
        again = await end(clinic, new.id, DEED, note="Once more.")
        assert again == ended
        listed = await Marks(clinic).page(AUDITOR, MarkFilters(kind=kind), "", 10)
        assert listed == [ended] == [await Marks(clinic).one(AUDITOR, new.id)]
        assert await Marks(clinic).page(AUDITOR, MarkFilters(in_force=True), "", 10) == []
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="access"), Position(), 10)
        deeds = [(each.action, each.rules, each.actor.person, each.courses) for each in records]
        assert deeds == [
            (f"{kind} set", (ground,), "supervisor-1", (course,)),
            (f"{kind} ended", (ground,), "admin-1", (course,)),
        ]

    clinic(test)


def test_the_same_mark_is_in_force_once_and_may_be_set_again_after_it_has_ended(clinic):
    async def test(clinic, _course):
        first = await mark(clinic)
        with pytest.raises(CommandInvalid, match="is in force for this client already"):
            await mark(clinic)
        await Marks(clinic).end(DEED, first.id, MarkEnd)
        assert (await mark(clinic)).id != first.id

    clinic(test)


def test_a_preview_writes_nothing_and_says_what_is_concerned(clinic):
    async def test(clinic, course):
        held = await mark(clinic)
        new = NewMark(kind="restriction", client_ref="EHR-1", ground="unlawful")
        shown = await Marks(clinic).preview(DEED, lambda: new)
        assert (shown.courses, shown.in_force) == ((course,), (held,))
        assert await clinic.read(stored.page, MarkFilters(kind="restriction"), "", 10) == []

    clinic(test)


@pytest.mark.parametrize(
    ("kind", "ground", "fault"),
    [
        ("hold", "unlawful", "ground: must be one of litigation, "),
        ("restriction", "litigation", "ground: must be one of accuracy_contested, "),
        ("objection", "other", "ground: must be one of research_statistics, "),
    ],
)
def test_a_mark_needs_a_ground_of_its_kind(clinic, kind, ground, fault):
    async def test(clinic, _course):
        with pytest.raises(CommandInvalid, match=fault):
            await mark(clinic, kind, ground)

    clinic(test)


def test_a_processing_restriction_is_lifted_only_after_the_client_was_informed(clinic):
    async def test(clinic, _course):
        new = await mark(clinic, "restriction", "unlawful")
        with pytest.raises(CommandInvalid, match=r"client_informed: must be true: .*GDPR 18\(3\)"):
            await Marks(clinic).end(DEED, new.id, MarkEnd)

    clinic(test)


def test_nobody_marks_a_client_who_may_not_or_has_not_just_signed_in(clinic):
    async def test(clinic, _course):
        for who in (THERAPIST, AUDITOR):
            with pytest.raises(Forbidden):
                await mark(clinic, by=who)
        with pytest.raises(PersonNeeded):
            await mark(clinic, by=SUPERVISOR)
        with pytest.raises(Forbidden):
            await Marks(clinic).page(THERAPIST, MarkFilters(), "", 10)
        with pytest.raises(NotFound):
            await Marks(clinic).set(DEED, lambda: NewMark(kind="hold", client_ref="EHR-9", ground="litigation"))
        with pytest.raises(NotFound):
            await Marks(clinic).one(AUDITOR, "nothing")

    clinic(test)
