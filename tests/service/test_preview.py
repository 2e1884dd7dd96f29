"""Previews, options and reads change not a byte of any table, except for one record of the read."""

import sqlite3
from contextlib import closing

import msgspec
import pytest
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound, StaleVersion, TriggerNotPermitted
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store.schema import tables

LOGS = {"audit_event", "audit_subject", "log_outbox", "verification"}  # the result of every verification is kept


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start", "record_session")

    return service_walk.database(tmp_path_factory.mktemp("preview"), fill)


@pytest.fixture
def settings(made, tmp_path):
    return databases.copy(made, tmp_path)


def dump(settings) -> dict[str, list[tuple]]:
    """Every cell of every table, as bytes."""
    with closing(sqlite3.connect(databases.path_of(settings))) as connection:
        connection.text_factory = bytes
        return {
            name: connection.execute(f"SELECT rowid, * FROM {name} ORDER BY rowid").fetchall() for name in tables.METADATA.tables
        }


def course_of(settings) -> str:
    return dump(settings)["course"][0][2].decode()


def read_only(settings, work, raises=None) -> tuple:
    """The result of `work(clinic, course)`. Checks that it recorded one read of the course, or nothing if it `raises`, and changed nothing else."""
    before, course = dump(settings), course_of(settings)
    if raises:
        with pytest.raises(raises):
            service_walk.with_clinic(settings, lambda clinic: work(clinic, course))
        assert dump(settings) == before
        return None
    answer = service_walk.with_clinic(settings, lambda clinic: work(clinic, course))
    after = dump(settings)
    for name in set(after) - LOGS:
        assert after[name] == before[name], name
    events, subjects = (after[name][len(before[name]) :] for name in ("audit_event", "audit_subject"))
    assert [after[name][: len(before[name])] for name in sorted(LOGS)] == [before[name] for name in sorted(LOGS)]
    assert [event[3] for event in events] == [b"read"]
    assert [subject[3].decode() for subject in subjects] == [course]
    return answer


def preview(*commands, principal=service_walk.THERAPIST, **more):
    more = {"version_required": False, **more}
    return lambda clinic, course: Courses(clinic).preview(principal, course, Write(decode=lambda: commands, **more))


def test_previewing_what_would_be_accepted_changes_nothing(settings):
    answer = read_only(settings, preview(Command("sign_session", {"session": 4})))
    assert answer.option.allowed
    assert answer.course.version == 5


def test_previewing_what_would_be_refused_changes_nothing_and_is_no_refusal(settings):
    answer = read_only(settings, preview(Command("begin_middle")))
    assert not answer.option.allowed
    assert "focus_selected" in {refusal.rule for refusal in answer.option.refusals}
    assert answer.course.version == 4


def test_previewing_several_together_changes_nothing(settings):
    answer = read_only(settings, preview(Command("sign_session", {"session": 4}), Command("note", {"text": "She called."})))
    assert answer.option.allowed
    assert answer.course.version == 6


def test_previewing_an_amendment_and_a_late_entry_changes_nothing(settings):
    amend = Command("amend", {"supersedes": 4, "data": {"attendance": "6"}}, reason="The client came late.")
    assert read_only(settings, preview(amend)).option.allowed
    late = Command("note", {"text": "She called."}, occurred_at=service_walk.START.replace(minute=2, second=30))
    assert read_only(settings, preview(late)).option.allowed


def test_previewing_a_command_that_would_make_a_new_client_makes_none(settings):
    relink = Command("relink_client", {"client_ref": "EHR-9", "kind": "wrong_client"}, reason="It was another client.")
    assert read_only(settings, preview(relink, principal=service_walk.SUPERVISOR)).option.allowed


def test_previewing_under_an_idempotency_key_leaves_the_key_free(settings):
    read_only(settings, preview(Command("note", {"text": "She called."}), key=IdempotencyKey("key", "body")))


def test_previewing_on_an_old_version_or_with_a_bad_body_leaves_nothing(settings):
    read_only(settings, preview(Command("note", {"text": "x"}), version=1), raises=StaleVersion)
    read_only(settings, preview(Command("note", {"words": "x"})), raises=CommandInvalid)


def test_a_preview_without_permission_leaves_the_courses_as_they_were(settings):
    before = dump(settings)
    course = course_of(settings)
    stranger = Principal(person="therapist-2", role="therapist", via="api")
    for principal, error in (
        (service_walk.AUDITOR, Forbidden),
        (stranger, NotFound),
        (service_walk.THERAPIST, TriggerNotPermitted),
    ):
        command = Command("acknowledge_deviation", {"session": 4}, reason="Seen.")
        with pytest.raises(error):
            service_walk.with_clinic(settings, lambda clinic, who=principal, c=command: preview(c, principal=who)(clinic, course))
    after = dump(settings)
    assert {name: after[name] for name in set(after) - LOGS} == {name: before[name] for name in set(before) - LOGS}


@pytest.mark.parametrize(
    "principal", (service_walk.THERAPIST, service_walk.SUPERVISOR, service_walk.AUDITOR), ids=lambda who: who.role
)
def test_asking_for_options_changes_nothing(settings, principal):
    options = read_only(settings, lambda clinic, course: CourseReads(clinic).options(principal, course))
    assert options.version == 4


def test_asking_for_options_at_a_later_day_changes_nothing(settings):
    later = service_walk.START.replace(month=3)
    assert read_only(settings, lambda clinic, course: CourseReads(clinic).options(service_walk.THERAPIST, course, later)).items


def test_previewing_every_example_that_options_offers_changes_nothing(settings):
    """Each preview agrees with the option."""
    options = read_only(settings, lambda clinic, course: CourseReads(clinic).options(service_walk.THERAPIST, course))
    before = dump(settings)

    async def all_of_them(clinic):
        course = course_of(settings)
        for item in options.items:
            answer = await preview(msgspec.convert(item.example, Command))(clinic, course)
            assert answer.option.allowed == item.allowed, item.trigger
        return len(options.items)

    count = service_walk.with_clinic(settings, all_of_them)
    after = dump(settings)
    assert {name: after[name] for name in set(after) - LOGS} == {name: before[name] for name in set(before) - LOGS}
    assert len(after["audit_event"]) - len(before["audit_event"]) == count


def test_reading_a_course_its_history_and_the_audit_log_changes_nothing_else(settings):
    before = dump(settings)

    async def read(clinic):
        course = course_of(settings)
        reader = CourseReads(clinic)
        await reader.course(service_walk.THERAPIST, course)
        await reader.course(service_walk.THERAPIST, course, as_of=clinic.clock.now())
        await reader.history(service_walk.THERAPIST, course, 0, 50)
        await AuditLog(clinic).verify(service_walk.AUDITOR)

    service_walk.with_clinic(settings, read)
    after = dump(settings)
    assert {name: after[name] for name in set(after) - LOGS} == {name: before[name] for name in set(before) - LOGS}
    assert len(after["audit_event"]) == len(before["audit_event"]) + 4
