"""Replay of recorded courses under a candidate protocol: what it would newly refuse and newly allow, by rule."""

import datetime as dt

import msgspec
import pytest
from support import databases, protocol_versions, service_walk

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.errors import Forbidden, TransitionRefused
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service import demo
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.protocols.migration import Mover
from ipt_workflow.service.protocols.replay import Trial
from ipt_workflow.service.writes import Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

COURSES = sum(plan.count for plan in demo.PLANS if plan.protocol == "ipt")
NOW = service_walk.START + dt.timedelta(days=365)


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    settings = databases.empty(tmp_path_factory.mktemp("trying"), server)
    service_walk.with_clinic(settings, demo.make, VirtualClock(NOW))
    return settings


@pytest.fixture
def tried(made, tmp_path):
    """Tries a candidate on the demonstration and on what `work` adds to it. `replaced` are the changes to the default protocol."""

    def run(*replaced, work=None, examples=3):
        settings = databases.copy(made, tmp_path)
        file = protocol_versions.write(tmp_path, 3, *replaced)

        async def inside(clinic):
            if work:
                await work(clinic)
            candidate = load_catalogue([file], clinic.settings.instruments, KNOWN_RULES).get("ipt")
            return await Trial(clinic, candidate, examples).run(service_walk.AUDITOR)

        return service_walk.with_clinic(settings, inside, VirtualClock(NOW + dt.timedelta(hours=1)))

    return run


def counts(by_rule) -> dict[str, int]:
    return {name: each.count for name, each in by_rule.items()}


async def in_middle(clinic) -> str:
    found = await clinic.database.read(
        lambda c: stored_courses.caseload(
            c, clinic.organisation, Filters(state="middle", therapist="therapist-1"), "", 1, clinic.clock.now()
        )
    )
    return found[0].course.id


async def attempt(clinic, course_id, *commands):
    write = Write(decode=lambda: commands, version_required=False)
    with pytest.raises(TransitionRefused) as refused:
        await Courses(clinic).fire(service_walk.THERAPIST, course_id, write)
    return [each.rule for each in refused.value.refusals]


def test_the_same_numbers_refuse_and_allow_nothing_new(tried):
    found = tried()
    assert (found.protocol, found.courses) == ("ipt@3", COURSES)
    assert found.transitions > 500
    assert (found.refusals, found.not_judged) == (1, 0)
    assert (found.newly_refused, found.newly_allowed, found.refused_by, found.allowed_by) == (0, 0, {}, {})


def test_a_smaller_cap_newly_refuses_the_sessions_beyond_it_and_names_them(tried):
    found = tried(protocol_versions.SMALLER_CAP)
    assert counts(found.refused_by) == {"phase_session_cap": 2}
    assert found.newly_refused == 2
    assert {(each.seq is not None, each.trigger) for each in found.refused_by["phase_session_cap"].examples} == {
        (True, "record_session")
    }
    assert found.allowed_by == {}


def test_a_larger_cap_newly_allows_the_session_that_was_refused(tried):
    found = tried(protocol_versions.LARGER_CAP)
    assert counts(found.allowed_by) == {"phase_session_cap": 1}
    (example,) = found.allowed_by["phase_session_cap"].examples
    assert (example.seq, example.trigger) == (None, "record_session")
    assert found.newly_allowed == 1


def test_without_one_requirement_a_refusal_by_other_rules_too_is_not_newly_allowed(tried):
    async def work(clinic):
        rules = await attempt(clinic, await in_middle(clinic), Command("begin_final", override=None))
        assert "ending_announced" in rules

    assert tried(work=work).newly_allowed == 0
    relaxed = ('requires = ["ending_announced"]', "requires = []")
    found = tried(relaxed, work=work)
    assert found.newly_allowed == 0, "other rules refuse it still"
    assert found.refusals == 2


def test_a_new_requirement_newly_refuses_the_moves_that_lacked_it(tried):
    found = tried(('  "baseline",\n]', '  "baseline",\n  "parent_contact",\n]'))
    assert set(found.refused_by) == {"parent_involved"}
    assert {each.trigger for each in found.refused_by["parent_involved"].examples} == {"begin_middle"}
    assert found.refused_by["parent_involved"].count > 20
    assert len(found.refused_by["parent_involved"].examples) == 3


def test_no_more_examples_are_kept_than_requested(tried):
    found = tried(protocol_versions.SMALLER_CAP, examples=1)
    assert [len(each.examples) for each in found.refused_by.values()] == [1]
    assert counts(found.refused_by) == {"phase_session_cap": 2}


def test_a_refused_command_is_judged_by_its_data(tried):
    async def work(clinic):
        course_id = await in_middle(clinic)
        terms = {"sessions": 20, "weeks": 16, "client_agrees": True, "therapist_agrees": True}
        assert await attempt(clinic, course_id, Command("amend_contract", terms, reason="More is needed.")) == ["contract_in_range"]

    assert tried(work=work).newly_allowed == 0
    found = tried(("sessions = { min = 12, max = 16 }", "sessions = { min = 12, max = 20 }"), work=work)
    assert counts(found.allowed_by) == {"contract_in_range": 1}


def test_several_commands_that_were_refused_together_are_not_judged(tried):
    async def work(clinic):
        await attempt(clinic, await in_middle(clinic), Command("note", {"text": "x"}), Command("begin_final"))

    assert tried(work=work).not_judged == 1


def test_a_late_entry_is_judged_where_it_was_placed(tried):
    """A late session of the first phase is judged in that phase, not in the phase that the course has reached."""

    async def work(clinic):
        course_id = await in_middle(clinic)
        course = (await clinic.courses.get(course_id)).course
        held = [session.at for session in course.sessions if session.phase == "initial"][-1]
        data = {"attendance": "5", "kind": "session", "medium": "face_to_face", "minutes": 50, "participants": ["client"]}
        for seconds in (1, 2):
            another = Override(("overlaps_session",), "Two visits.")
            late = Command("record_session", data, held + dt.timedelta(seconds=seconds), override=another)
            write = Write(decode=lambda late=late: (late,), version_required=False)
            if seconds == 1:
                await Courses(clinic).fire(service_walk.THERAPIST, course_id, write)
            else:
                assert await attempt(clinic, course_id, late) == ["phase_session_cap"]

    assert counts(tried(protocol_versions.SMALLER_CAP, work=work).refused_by) == {"phase_session_cap": 3}
    assert counts(tried(protocol_versions.LARGER_CAP, work=work).allowed_by) == {"phase_session_cap": 2}


def test_a_late_session_is_judged_by_the_sessions_after_its_place_too(tried):
    async def work(clinic):
        course_id = await in_middle(clinic)
        first = (await clinic.courses.get(course_id)).course.sessions[0]
        late = Command("record_session", {"attendance": "5"}, first.at - dt.timedelta(seconds=30))
        assert await attempt(clinic, course_id, late) == ["overlaps_session"]

    assert tried(work=work).not_judged == 0


def test_a_refusal_keeps_codes_and_numbers_of_the_command_and_none_of_its_words(tried):
    async def work(clinic):
        course_id = await in_middle(clinic)
        secret = Command("record_gains", {"gains": ["Speaks to her sister again"]}, reason="She said so herself.")
        assert await attempt(clinic, course_id, secret) == ["state_allows"]
        kept = await clinic.database.read(
            lambda c: c.exec_driver_sql("SELECT command FROM audit_event WHERE command IS NOT NULL").fetchall()
        )
        texts = [bytes(row[0]).decode() for row in kept]
        assert msgspec.json.decode(texts[-1])["data"] == {"gains": [True]}
        assert not any("sister" in text or "herself" in text for text in texts)

    tried(work=work)


def test_moved_courses_are_judged_by_the_version_in_force_at_each_time(made, tmp_path):
    """A trial of the new version finds nothing new in the entries after the move."""
    folder = protocol_versions.config(tmp_path / "config", protocol_versions.HARD_TIMELINE)

    async def work(clinic):
        mover = Mover(clinic, clinic.protocol("ipt", 2), clinic.protocol("ipt", 3))
        moved = [each async for batch in mover.move_clean(service_walk.SUPERVISOR, "New.") for each in batch]
        assert len(moved) > 20
        found = await Trial(clinic, clinic.protocol("ipt", 3)).run(service_walk.AUDITOR)
        assert (found.newly_refused, found.newly_allowed) == (0, 0)

    settings = protocol_versions.settings_with(databases.copy(made, tmp_path), folder)
    service_walk.with_clinic(settings, work, VirtualClock(NOW + dt.timedelta(hours=1)))


def test_reading_for_a_trial_is_recorded_and_asks_the_policy(made, tmp_path):
    async def work(clinic):
        trial = Trial(clinic, clinic.protocol("ipt", None))
        with pytest.raises(Forbidden):
            await trial.run(service_walk.THERAPIST)
        await trial.run(service_walk.AUDITOR)
        records = await AuditLog(clinic).page(service_walk.AUDITOR, AuditFilters(kind="read"), Position(), 1000)
        (read,) = [each for each in records if each.action == "protocol trial"]
        assert len(read.courses) == COURSES

    service_walk.with_clinic(databases.copy(made, tmp_path), work, VirtualClock(NOW + dt.timedelta(hours=1)))
