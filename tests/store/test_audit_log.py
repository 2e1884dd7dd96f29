"""The audit log on both databases: with any page size and any filter, no record is missing or listed twice."""

import datetime as dt

import pytest
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import TransitionRefused
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import audit
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters

WHOLE = 1000


@pytest.fixture
def logged(database_url):
    """Runs `ask(clinic, courses)` on a log with every sort of record: of one course, of several courses, of none."""

    def run(ask):
        async def work(clinic):
            courses = [await service_walk.open_course(clinic, f"EHR-{number}") for number in range(3)]
            await service_walk.walk(clinic, courses[0], *service_walk.A_DOZEN)
            with pytest.raises(TransitionRefused):
                await service_walk.fire(clinic, courses[1], Command("begin_middle", {}))
            await CourseReads(clinic).course(service_walk.SUPERVISOR, courses[2])
            await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 10)
            await clinic.log(service_walk.AUDITOR, "export", "audit")
            return await ask(clinic, courses)

        return service_walk.with_clinic(databases.settings_of(database_url), work)

    return run


async def found(clinic, size=WHOLE, **filters) -> list:
    records, after = [], Position()
    while True:
        page = await audit.page(clinic.database, clinic.organisation, AuditFilters(**filters), after, size)
        records += page
        if len(page) < size:
            return records
        after = Position(page[-1].recorded_at, page[-1].id)


def test_pages_of_any_size_add_up_to_the_same_log(logged):
    async def ask(clinic, _courses):
        whole = await found(clinic)
        assert {record.kind for record in whole} == {"transition", "refusal", "read", "export"}
        assert [(record.recorded_at, record.id) for record in whole] == sorted((record.recorded_at, record.id) for record in whole)
        for size in (1, 2, 7, len(whole)):
            assert await found(clinic, size) == whole

    logged(ask)


def test_an_export_in_chunks_of_any_size_is_the_log(logged):
    async def ask(clinic, _courses):
        until = clinic.clock.now() + dt.timedelta(seconds=1)
        whole = await found(clinic, to=until)
        for size in (1, 3, WHOLE):
            clinic.settings = clinic.settings.model_copy(update={"export_chunk": size})
            clinic.clock.advance(dt.timedelta(seconds=2))
            exported = [chunk async for chunk in await AuditLog(clinic).export(service_walk.AUDITOR, AuditFilters(to=until))]
            assert [record for chunk in exported for record in chunk] == whole
            assert all(len(chunk) <= size for chunk in exported)

    logged(ask)


def test_a_record_names_its_time_in_utc_and_every_course_it_touched(logged):
    async def ask(clinic, courses):
        whole = await found(clinic)
        assert all(record.recorded_at.tzinfo is dt.UTC for record in whole)
        assert all(len(record.courses) == 1 for record in whole if record.kind in {"transition", "refusal"})
        touched = {record.action: record.courses for record in whole if record.kind in {"read", "export"}}
        assert touched == {"course": (courses[2],), "caseload": tuple(sorted(courses)), "audit": ()}
        refused = next(record for record in whole if record.kind == "refusal")
        assert (refused.trigger, refused.courses) == ("begin_middle", (courses[1],))
        assert refused.rules

    logged(ask)


def test_every_filter_leaves_what_it_says(logged):
    async def ask(clinic, courses):
        whole = await found(clinic)
        middle = whole[len(whole) // 2]
        tomorrow = dt.timezone(dt.timedelta(hours=14))
        cases = (
            ({"kind": "transition"}, lambda record: record.kind == "transition"),
            ({"kind": "read"}, lambda record: record.kind == "read"),
            ({"course": courses[1]}, lambda record: courses[1] in record.courses),
            ({"courses": tuple(courses[1:])}, lambda record: {*courses[1:]} & {*record.courses}),
            ({"courses": ()}, lambda _: False),
            ({"id": middle.id}, lambda record: record is middle),
            ({"actor": "supervisor-1"}, lambda record: record.actor.person == "supervisor-1"),
            ({"trigger": "begin_middle"}, lambda record: record.trigger == "begin_middle"),
            ({"trigger": "refer"}, lambda record: record.trigger == "refer"),
            ({"group_session": "none"}, lambda _: False),
            ({"kind": "read", "group_session": "none"}, lambda _: False),
            ({"from_": middle.recorded_at}, lambda record: record.recorded_at >= middle.recorded_at),
            ({"to": middle.recorded_at.astimezone(tomorrow)}, lambda record: record.recorded_at < middle.recorded_at),
            ({"kind": "transition", "course": courses[0], "trigger": "start"}, lambda record: record.trigger == "start"),
            ({"course": courses[0], "to": middle.recorded_at},
             lambda record: courses[0] in record.courses and record.recorded_at < middle.recorded_at),
        )  # fmt: skip
        for filters, belongs in cases:
            expected = [record for record in whole if belongs(record)]
            for size in (1, WHOLE):
                assert await found(clinic, size, **filters) == expected, filters
        every = [name for name in AuditFilters.__struct_fields__ if not any(name in filters for filters, _ in cases)]
        assert every == []

    logged(ask)
