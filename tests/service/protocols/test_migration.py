"""Migration of the demonstration's caseload: moves are previewed, each is one entry, and the courses go on under the new version."""

import asyncio
import datetime as dt
from collections import Counter

import msgspec
import pytest
from support import databases, protocol_versions, service_walk

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import carry_over, examples
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Forbidden, TransitionRefused
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service import demo
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.protocols.migration import Mover, course_ids
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.writes import Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

NOW = service_walk.START + dt.timedelta(days=365)
REASON = "The clinic takes up the new version."
EVERY = Filters()


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """The demonstration, made while there was only one version."""
    settings = databases.empty(tmp_path_factory.mktemp("moving"), server)
    service_walk.with_clinic(settings, demo.make, VirtualClock(NOW))
    return settings


@pytest.fixture
def two(made, tmp_path):
    """Runs `work` on a copy of it with two versions. The second has a smaller first phase and a hard timeline rule."""
    settings = databases.copy(made, tmp_path)
    folder = protocol_versions.config(tmp_path / "config", protocol_versions.SMALLER_CAP, protocol_versions.HARD_TIMELINE)

    def run(work):
        return service_walk.with_clinic(
            protocol_versions.settings_with(settings, folder), work, VirtualClock(NOW + dt.timedelta(hours=1))
        )

    return run


def mover(clinic) -> Mover:
    return Mover(clinic, clinic.protocol("ipt", 2), clinic.protocol("ipt", 3))


async def every_plan(clinic) -> dict:
    return {each.course: each async for batch in mover(clinic).plans(service_walk.SUPERVISOR) for each in batch}


async def outcomes(moves) -> dict:
    return {each.course: each async for batch in moves for each in batch}


async def clean(clinic) -> dict:
    return await outcomes(mover(clinic).move_clean(service_walk.SUPERVISOR, REASON))


async def chosen(clinic, *ids) -> dict:
    return await outcomes(mover(clinic).move(service_walk.SUPERVISOR, ids, REASON))


async def courses(clinic) -> dict:
    found = await clinic.database.read(
        lambda c: stored_courses.caseload(c, clinic.organisation, EVERY, "", 1000, clinic.clock.now())
    )
    return {stored.course.id: stored.course for stored in found}


async def fire(clinic, course_id, name, principal=None, **more):
    """Fires the example of a trigger a minute later, by the course's therapist. `more` replaces its fields."""
    clinic.clock.advance(dt.timedelta(minutes=1))
    course = (await courses(clinic))[course_id]
    by = principal or Principal(person=course.therapist, role="therapist", via="api")
    context = clinic.context(by, clinic.clock.now())
    body = {**examples.example(clinic.machine_of(course).protocol, course, name, context), **more}
    write = Write(decode=lambda: (msgspec.convert(body, Command),), version_required=False)
    return await Courses(clinic).fire(by, course_id, write)


# Previewed


def test_every_live_course_is_planned_and_no_other(two):
    async def work(clinic):
        plans, known = await every_plan(clinic), (await courses(clinic)).values()
        live = {each.id for each in known if each.open and each.protocol == "ipt"}
        assert set(plans) == live
        kinds = Counter(plan.move.kind for plan in plans.values())
        assert kinds == {"carries_over": 28, "new_gaps": 5, "stuck": 2}
        for plan in plans.values():
            names = [each.name for each in plan.move.obstacles or plan.move.gaps]
            assert names == {"carries_over": [], "new_gaps": ["timeline_recorded"], "stuck": ["phase_session_cap"]}[plan.move.kind]

    two(work)


def test_a_course_of_any_form_carries_over_to_a_version_that_is_the_same(two):
    async def work(clinic):
        for course in (await courses(clinic)).values():
            machine = clinic.machine_of(course)
            same = msgspec.structs.replace(machine.protocol, version=99, digest=f"{machine.protocol.id:0<64}")
            context = clinic.context(
                service_walk.SUPERVISOR, clinic.clock.now(), history=journal.facts(await clinic.entries(course.id))
            )
            move = machine.plan(course, same, context)
            assert move.kind == "carries_over", (course.protocol, course.state, move.explanation)

    two(work)


def test_what_any_course_carries_over_to_any_form_can_be_computed(two):
    async def work(clinic):
        for course in (await courses(clinic)).values():
            old = clinic.machine_of(course).protocol
            for new in clinic.protocols:
                for to_first in (True, False):
                    data = carry_over.entry_data(
                        course, old, new, clinic.context(service_walk.SUPERVISOR, clinic.clock.now()), to_first=to_first
                    )
                    move = carry_over.move(data)
                    assert (move.from_, move.to) == (old.key, new.key)
                    assert (move.kind == "carries_over") == (move.explanation == "Everything carries over.")

    two(work)


def test_planning_changes_no_course_and_is_recorded_with_every_course_it_read(two):
    async def work(clinic):
        before = await courses(clinic)
        plans = await every_plan(clinic)
        assert await courses(clinic) == before
        records = await AuditLog(clinic).page(service_walk.AUDITOR, AuditFilters(kind="read"), Position(), 1000)
        (read,) = [each for each in records if each.action == "migration plan"]
        assert set(read.courses) == set(plans)

    two(work)


def test_a_plan_says_nothing_about_clients(two):
    async def work(clinic):
        text = msgspec.json.encode(list((await every_plan(clinic)).values())).decode()
        assert "DEMO-" not in text
        assert not any(area in text for area in clinic.protocol("ipt", 2).focus.areas)
        assert not any(course.client in text for course in (await courses(clinic)).values())

    two(work)


def test_a_therapist_neither_plans_nor_moves(two):
    async def work(clinic):
        with pytest.raises(Forbidden):
            await outcomes(mover(clinic).plans(service_walk.THERAPIST))
        for role in ("auditor", "admin"):
            with pytest.raises(Forbidden):
                await outcomes(mover(clinic).move_clean(Principal(person="x", role=role, via="cli"), REASON))

    two(work)


# Applied


def test_every_clean_course_is_moved_by_one_entry_and_verifies(two):
    async def work(clinic):
        before, plans = await courses(clinic), await every_plan(clinic)
        moved = await clean(clinic)
        after = await courses(clinic)
        assert {each.became for each in moved.values()} == {"moved"}
        assert set(moved) == {course_id for course_id, plan in plans.items() if plan.move.kind == "carries_over"}
        for course_id, course in after.items():
            if course_id in moved:
                assert (course.protocol_version, course.version) == (3, before[course_id].version + 1)
                assert (course.state, course.phase, course.sessions) == (
                    before[course_id].state,
                    before[course_id].phase,
                    before[course_id].sessions,
                )
            else:
                assert course == before[course_id]
        found = await verification.verify(clinic)
        assert found.ok, found.first_bad
        entry = (await CourseReads(clinic).history(service_walk.SUPERVISOR, next(iter(moved)), 0, 500))[-1]
        assert (entry.trigger, entry.reason, entry.actor.person, entry.from_) == (
            "migrate_protocol",
            REASON,
            service_walk.SUPERVISOR.person,
            entry.to,
        )
        assert (entry.move.from_, entry.move.to, entry.move.kind) == ("ipt@2", "ipt@3", "carries_over")

    two(work)


def test_a_second_run_moves_nothing_and_skips_courses_that_have_moved(two):
    async def work(clinic):
        moved = await clean(clinic)
        before = await courses(clinic)
        assert await clean(clinic) == {}
        again = await chosen(clinic, *moved)
        assert {each.became for each in again.values()} == {"there_already"}
        assert await courses(clinic) == before

    two(work)


def test_courses_with_new_gaps_are_moved_if_chosen_and_stuck_ones_never(two):
    async def work(clinic):
        plans = await every_plan(clinic)
        by_kind = {
            kind: [i for i, plan in plans.items() if plan.move.kind == kind] for kind in ("new_gaps", "stuck", "carries_over")
        }
        known = (await courses(clinic)).values()
        ended = next(each.id for each in known if not each.open and each.protocol == "ipt")
        other = next(each.id for each in known if each.protocol != "ipt")
        some = (by_kind["new_gaps"][0], by_kind["stuck"][0], by_kind["carries_over"][0], ended, other, "no-such-course")
        became = {course_id: each.became for course_id, each in (await chosen(clinic, *some, *some)).items()}
        assert became == dict(zip(some, ("moved", "stuck", "moved", "ended", "other_protocol", "unknown"), strict=True))
        numbers = {course_id: course.protocol_version for course_id, course in (await courses(clinic)).items()}
        assert {i for i, number in numbers.items() if number == 3} == {some[0], some[2]}
        gap = (await CourseReads(clinic).course(service_walk.SUPERVISOR, some[0])).requirements
        assert ("timeline_recorded", "hard") in [(each.rule, each.severity) for each in gap if not each.met]

    two(work)


def test_a_course_that_was_changed_after_it_was_planned_is_a_conflict_and_can_be_tried_again(two):
    async def work(clinic):
        course_id = next(
            i for i, plan in (await every_plan(clinic)).items() if plan.move.kind == "carries_over" and plan.state == "middle"
        )
        moving = mover(clinic)
        planned_then = moving._planned

        async def overtaken(principal, found):
            planned = await planned_then(principal, found)
            await fire(clinic, course_id, "note")
            return planned

        moving._planned = overtaken
        (outcome,) = (await outcomes(moving.move(service_walk.SUPERVISOR, [course_id], REASON))).values()
        assert outcome.became == "conflict"
        assert (await courses(clinic))[course_id].protocol_version == 2
        assert (await chosen(clinic, course_id))[course_id].became == "moved"

    two(work)


def test_two_runs_at_once_move_each_course_once(two):
    async def work(clinic):
        first, second = await asyncio.gather(clean(clinic), clean(clinic))
        both = Counter(each.became for each in (*first.values(), *second.values()))
        assert set(both) <= {"moved", "conflict", "refused"}
        assert both["moved"] == 28
        history = {course_id: await clinic.entries(course_id) for course_id in first}
        assert all(sum(entry.written.trigger == "migrate_protocol" for entry in entries) == 1 for entries in history.values())
        assert (await verification.verify(clinic)).ok

    two(work)


# Gone on with


def test_courses_not_chosen_go_on_under_the_old_version(two):
    async def work(clinic):
        plans = await every_plan(clinic)
        stuck = next(i for i, plan in plans.items() if plan.move.kind == "stuck")
        await clean(clinic)
        done = await fire(clinic, stuck, "note")
        assert (done.course.protocol_version, done.course.counters.caps["initial"]) == (2, 3)
        assert done.entries[0].protocol_digest == clinic.protocol("ipt", 2).digest
        assert (await verification.verify(clinic)).ok

    two(work)


def test_a_moved_course_goes_on_to_completion_and_verifies(two):
    async def work(clinic):
        course_id = next(i for i, c in (await courses(clinic)).items() if c.state == "middle" and len(c.sessions) == 2)
        await chosen(clinic, course_id)
        for _ in range(20):
            course = (await courses(clinic))[course_id]
            machine, now = clinic.machine_of(course), clinic.clock.now()
            left = requirements(machine.protocol, machine.bound, course, now, clinic.context(service_walk.SUPERVISOR, now))
            if not [refusal for _, refusal in left[1] if refusal and refusal.rule == "final_remaining"]:
                break
            clinic.clock.advance(dt.timedelta(days=7))
            await fire(clinic, course_id, "record_session")
            await fire(clinic, course_id, "sign_session")
        await fire(clinic, course_id, "announce_ending")
        await fire(clinic, course_id, "begin_final")
        for _ in range(3):
            clinic.clock.advance(dt.timedelta(days=7))
            await fire(clinic, course_id, "record_session")
            await fire(clinic, course_id, "sign_session")
        for name, more in demo.WORK:
            await fire(clinic, course_id, name, **more)
        done = await fire(clinic, course_id, "complete", **demo.WEEKS)
        assert (done.course.state, done.course.protocol_version) == ("completed", 3)
        assert (await verification.verify(clinic)).ok

    two(work)


def test_a_late_entry_from_before_the_move_is_placed_there_and_judged_by_the_version_of_that_time(two):
    async def work(clinic):
        course_id = next(
            i for i, plan in (await every_plan(clinic)).items() if plan.move.kind == "carries_over" and plan.state == "middle"
        )
        held = [session.at for session in (await courses(clinic))[course_id].sessions if session.phase == "initial"][-1]
        await chosen(clinic, course_id)
        third, fourth = ((held + dt.timedelta(seconds=seconds)).isoformat() for seconds in (1, 2))
        another = {"rules": ["overlaps_session"], "reason": "Two visits."}
        done = await fire(clinic, course_id, "record_session", occurred_at=third, override=another)
        assert done.entries[0].protocol_digest == clinic.protocol("ipt", 2).digest
        assert (done.course.counters.attended["initial"], done.course.counters.caps["initial"]) == (3, 2)
        assert done.course.protocol_version == 3
        with pytest.raises(TransitionRefused) as refused:
            await fire(clinic, course_id, "record_session", occurred_at=fourth, override=another)
        (refusal,) = refused.value.refusals
        assert (refusal.rule, refusal.required) == ("phase_session_cap", "fewer than 3"), "as the version of that time had it"
        assert (await verification.verify(clinic)).ok

    two(work)


def test_a_course_is_read_as_it_was_before_the_move(two):
    async def work(clinic):
        course_id = next(i for i, plan in (await every_plan(clinic)).items() if plan.move.kind == "carries_over")
        before = clinic.clock.now()
        clinic.clock.advance(dt.timedelta(minutes=1))
        await chosen(clinic, course_id)
        reader = CourseReads(clinic)
        assert (await reader.course(service_walk.SUPERVISOR, course_id)).protocol_version == 3
        assert (await reader.course(service_walk.SUPERVISOR, course_id, known_at=before)).protocol_version == 2

    two(work)


def test_a_course_goes_on_without_the_file_of_its_old_version(two, tmp_path):
    async def work(clinic):
        await clean(clinic)

    two(work)
    (tmp_path / "config" / "protocols" / "ipt.toml").unlink()

    async def later(clinic):
        assert (await verification.verify(clinic)).ok
        old = next(protocol for protocol in clinic.protocols if protocol.key == "ipt@2")
        plans = [
            each async for batch in Mover(clinic, old, clinic.protocol("ipt", 3)).plans(service_walk.SUPERVISOR) for each in batch
        ]
        assert {plan.move.kind for plan in plans} == {"new_gaps", "stuck"}

    two(later)


def test_chosen_ids_are_read_from_lines_and_commas():
    assert list(course_ids(["a, b,", "", "# a comment", "c  # another"])) == ["a", "b", "c"]
