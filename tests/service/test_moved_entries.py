"""A move of entries is one commit in two courses, on both databases: whole or not at all, emptied where it was wrong, verified."""

import asyncio
import datetime as dt

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Forbidden, StaleVersion, TransitionRefused, TriggerNotPermitted
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import moved_entries
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema import tables

DAY = dt.timedelta(days=1)
WORDS = "Spoke of her sister."
UNWELL = {"instrument": "phq9", "items": [1] * 8 + [2]}


async def told(clinic, course: str, trigger: str, data: dict, principal=THERAPIST, **more) -> int:
    clinic.clock.advance(dt.timedelta(minutes=1))
    done = await service_walk.fire(clinic, course, Command(trigger, data, **more), principal)
    return done.entries[-1].seq


async def two_courses(clinic) -> None:
    """A session with its scale, review and signature, in the course of the wrong one of two clients."""
    wrong, right = [await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")]
    for course in (wrong, right):
        await service_walk.walk(clinic, course, "record_consent", "start")
    clinic.clock.advance(DAY)
    session = await told(clinic, wrong, "record_session", {"attendance": "5", "ref": "Appointment/7", "comment": WORDS})
    await told(clinic, wrong, "amend", {"supersedes": session, "data": {"minutes": 45}}, reason=WORDS)
    await told(clinic, wrong, "record_measure", UNWELL)
    await told(clinic, wrong, "review_risk", {"level": "monitored", "plan": WORDS})
    await told(clinic, wrong, "sign_session", {"session": session, "summary": WORDS})


SESSION, AMENDED, SCALE, REVIEW, SIGNATURE = range(4, 9)


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    return service_walk.database(tmp_path_factory.mktemp("moved"), two_courses, server)


@pytest.fixture
def clinic(made, tmp_path):
    """Runs `test(clinic, wrong, right)` on a copy."""
    settings = databases.copy(made, tmp_path)

    def run(test):
        async def inside(clinic):
            found = await CourseReads(clinic).caseload(AUDITOR, Filters(), "", 10)
            return await test(clinic, *(each.id for each in found))

        return service_walk.with_clinic(settings, inside, VirtualClock(service_walk.START + 2 * DAY))

    return run


def move(right: str, *entries: int) -> Command:
    return Command("move_entries", {"course": right, "entries": list(entries)}, reason="Told to the wrong client.")


async def moved(clinic, wrong: str, right: str, principal=SUPERVISOR, entries=(SESSION, SCALE, REVIEW), **more):
    return await service_walk.fire(clinic, wrong, move(right, *entries), principal, **more)


async def versions(clinic, *courses: str) -> list[int]:
    return [(await clinic.courses.get(course)).course.version for course in courses]


async def erased(clinic, course: str) -> list[int]:
    return [entry.written.seq for entry in await clinic.entries(course) if entry.document is None]


def test_both_courses_change_in_one_commit_and_the_words_are_only_in_the_right_one(clinic):
    async def test(clinic, wrong, right):
        before = await versions(clinic, wrong, right)
        done = await moved(clinic, wrong, right)
        assert await versions(clinic, wrong, right) == [before[0] + 1, before[1] + 3]
        assert done.course.id == wrong
        assert await erased(clinic, wrong) == [SESSION, AMENDED, SCALE, REVIEW, SIGNATURE]
        here, there = [await clinic.entries(course) for course in (wrong, right)]
        assert not any(WORDS.encode() in (entry.sealed or b"") for entry in here)
        arrived = there[-3:]
        assert [entry.written.trigger for entry in arrived] == ["record_session", "record_measure", "review_risk"]
        assert [entry.document.data.get("comment") or entry.document.data.get("plan") for entry in arrived] == [WORDS, None, WORDS]
        assert arrived[0].document.data["minutes"] == 45
        assert [entry.written.occurred_at for entry in arrived] == [
            here[seq - 1].written.occurred_at for seq in (SESSION, SCALE, REVIEW)
        ]

    clinic(test)


def test_the_journal_is_whole_and_counts_the_emptied_texts_as_erased(clinic):
    async def test(clinic, wrong, right):
        await moved(clinic, wrong, right)
        found = await verification.verify(clinic)
        assert (found.ok, found.erased, found.first_bad) == (True, 5, None)

    clinic(test)


def test_a_commit_that_fails_at_its_last_step_leaves_both_courses_as_they_were(clinic, monkeypatch):
    def fails(connection, organisation, moved):
        raise RuntimeError("the process stops here")

    async def test(clinic, wrong, right):
        before = await versions(clinic, wrong, right)
        monkeypatch.setattr(moved_entries, "move", fails)
        with pytest.raises(RuntimeError):
            await moved(clinic, wrong, right)
        assert (await versions(clinic, wrong, right), await erased(clinic, wrong)) == (before, [])
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_the_past_is_read_as_it_was_known_then(clinic):
    async def test(clinic, wrong, right):
        before = clinic.clock.now()
        clinic.clock.advance(DAY)
        await moved(clinic, wrong, right)
        reads = CourseReads(clinic)

        async def sessions(**at):
            return [len((await reads.course(SUPERVISOR, course, **at)).sessions) for course in (wrong, right)]

        assert await sessions(known_at=before) == [1, 0]
        assert await sessions(as_of=before) == [0, 1]
        assert await sessions() == [0, 1]

    clinic(test)


def test_every_entry_of_both_courses_is_in_the_audit_log_and_is_published(clinic):
    async def test(clinic, wrong, right):
        await moved(clinic, wrong, right)
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="transition"), Position(), 100)
        latest = [(each.courses, each.action) for each in records if each.actor.person == SUPERVISOR.person]
        triggers = ("record_session", "record_measure", "review_risk")
        assert sorted(latest) == sorted([((wrong,), "move_entries"), *(((right,), each) for each in triggers)])

        def published(connection, organisation):
            rows = connection.execute(sa.select(tables.outbox.c.course_id, tables.outbox.c.seq)).all()
            return {(row.course_id, row.seq) for row in rows}

        last_here, last_there = await versions(clinic, wrong, right)
        expected = {(wrong, last_here), *((right, last_there - each) for each in range(3))}
        assert expected <= await clinic.read(published)

    clinic(test)


def test_a_repeated_request_moves_once(clinic):
    async def test(clinic, wrong, right):
        key = IdempotencyKey("scope", "body")
        first = await moved(clinic, wrong, right, key=key)
        after = await versions(clinic, wrong, right)
        again = await moved(clinic, wrong, right, key=key)
        assert (again.replayed, again.entries[-1].id) == (True, first.entries[-1].id)
        assert await versions(clinic, wrong, right) == after

    clinic(test)


def test_the_version_named_is_that_of_the_course_they_leave(clinic):
    async def test(clinic, wrong, right):
        with pytest.raises(StaleVersion):
            await moved(clinic, wrong, right, version=REVIEW)
        await told(clinic, right, "note", {"text": "Called."})
        await moved(clinic, wrong, right, version=SIGNATURE)
        assert len((await clinic.courses.get(right)).course.sessions) == 1

    clinic(test)


def test_a_write_to_the_other_course_in_between_is_decided_again(clinic):
    """Also if the caller has named the version of the course that the entries leave."""

    async def test(clinic, wrong, right):
        courses, others = Courses(clinic), []
        decide = courses.decisions.arrival

        async def overtaken(principal, arrived):
            change = await decide(principal, arrived)
            if not others:
                others.append(await told(clinic, right, "note", {"text": "Called."}))
            return change

        courses.decisions.arrival = overtaken
        write = Write(decode=lambda: (move(right, SESSION, SCALE, REVIEW),), version=SIGNATURE)
        done = await courses.fire(SUPERVISOR, wrong, write)
        numbers = [each["to"] for each in done.entries[-1].structural["moved"]]
        assert numbers == [others[0] + 1, others[0] + 2, others[0] + 3]
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_a_cosigned_move_with_a_version_is_decided_again_if_the_other_course_changes_meanwhile(clinic):
    async def test(clinic, wrong, right):
        proposals, others = Proposals(clinic), []
        decide = proposals.decisions.arrival
        proposal = await proposals.propose(
            THERAPIST, wrong, Write(decode=lambda: (move(right, SESSION, SCALE, REVIEW),), version=SIGNATURE)
        )

        async def overtaken(principal, arrived):
            change = await decide(principal, arrived)
            if not others:
                others.append(await told(clinic, right, "note", {"text": "Called."}))
            return change

        proposals.decisions.arrival = overtaken
        done = await proposals.cosign(SUPERVISOR, proposal.id, version=SIGNATURE)
        numbers = [each["to"] for each in done.entries[-1].structural["moved"]]
        assert numbers == [others[0] + 1, others[0] + 2, others[0] + 3]

    clinic(test)


def test_moves_in_both_directions_at_once_both_succeed(clinic):
    async def test(clinic, wrong, right):
        note = await told(clinic, right, "note", {"text": "Prefers evenings."})
        contact = await told(clinic, wrong, "record_contact", {"kind": "check_in"})
        there, back = move(right, contact), move(wrong, note)
        await asyncio.gather(service_walk.fire(clinic, wrong, there, THERAPIST), service_walk.fire(clinic, right, back, THERAPIST))
        assert [(await clinic.courses.get(course)).course.contacts for course in (wrong, right)] == [0, 1]
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_the_actor_must_see_both_courses(clinic):
    async def test(clinic, wrong, right):
        await told(clinic, right, "transfer", {"therapist": "therapist-2", "handover": "All was told."}, SUPERVISOR, reason="Left.")
        before = await versions(clinic, wrong, right)
        for other in (right, wrong, "0197c8f2-7d3a-7c1e-9f60-2f5b6f0c1a11"):
            with pytest.raises(TransitionRefused) as refused:
                await moved(clinic, wrong, other, THERAPIST, (SESSION,))
            assert [each.message_id for each in refused.value.refusals] == ["other_course_accepts.unknown"]
        assert await versions(clinic, wrong, right) == before

    clinic(test)


def test_a_move_of_risk_waits_for_a_supervisor_who_cosigns_both_sides(clinic):
    async def test(clinic, wrong, right):
        with pytest.raises(TransitionRefused) as refused:
            await moved(clinic, wrong, right, THERAPIST)
        assert [each.rule for each in refused.value.refusals] == ["move_agreed"]
        proposals = Proposals(clinic)
        command = move(right, SESSION, SCALE, REVIEW)
        write = Write(decode=lambda: (command,), version_required=False)
        proposal = await proposals.propose(THERAPIST, wrong, write)
        await proposals.cosign(SUPERVISOR, proposal.id)
        written = [*(await clinic.entries(wrong))[-1:], *(await clinic.entries(right))[-3:]]
        assert {(each.written.actor.person, each.written.cosigned_by) for each in written} == {("therapist-1", "supervisor-1")}
        assert (await verification.verify(clinic)).ok

    clinic(test)


def test_a_preview_shows_the_move_and_writes_nothing(clinic):
    async def test(clinic, wrong, right):
        before = await versions(clinic, wrong, right)
        write = Write(decode=lambda: (move(right, SESSION),), version_required=False)
        preview = await Courses(clinic).preview(THERAPIST, wrong, write)
        assert (preview.option.allowed, preview.course.sessions) == (True, ())
        assert await versions(clinic, wrong, right) == before

    clinic(test)


def test_an_auditor_and_an_ehr_move_nothing(clinic):
    async def test(clinic, wrong, right):
        for role, error in (("auditor", Forbidden), ("ehr", TriggerNotPermitted)):
            with pytest.raises(error):
                await moved(
                    clinic, wrong, right, Principal(person="x", role=role, via="api"), (SESSION,), triggers=("move_entries",)
                )

    clinic(test)


def test_the_reason_of_an_entry_goes_with_it(clinic):
    async def test(clinic, wrong, right):
        seq = await told(
            clinic, wrong, "record_measure", {"instrument": "gad7", "not_obtained": True}, reason="Had forgotten her glasses."
        )
        await moved(clinic, wrong, right, THERAPIST, (seq,))
        assert (await clinic.entries(right))[-1].document.reason == "Had forgotten her glasses."

    clinic(test)


def test_a_kept_copy_of_the_wrong_course_can_be_checked_against_the_emptied_one(clinic):
    """The hashes of what was moved stay, so an export of before still proves itself."""

    async def test(clinic, wrong, right):
        before = [entry.hash for entry in await clinic.entries(wrong)]
        await moved(clinic, wrong, right)
        assert [entry.hash for entry in await clinic.entries(wrong)][:-1] == before
        assert msgspec.structs.asdict((await clinic.entries(wrong))[SESSION - 1])["sealed"] is None

    clinic(test)
