"""Objections and consents decide what goes out for purposes other than care, at the moment at which it is sent."""

import datetime as dt

import pytest
from support import databases, service_walk
from support.marks import end, mark
from support.service_walk import AUDITOR, fire

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.protocols.replay import Trial
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store import consents
from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.store.courses import Filters
from ipt_workflow.values.types import OF_CARE


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        ids.extend([await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")])

    return service_walk.database(tmp_path_factory.mktemp("objections"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    settings, courses = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, *courses))


async def exported(clinic, purpose="HOPERAT", **filters) -> set[str]:
    """The courses that an export of the audit log names."""
    clinic.clock.advance(dt.timedelta(minutes=1))  # an export has what was recorded before it
    chunks = await AuditLog(clinic).export(AUDITOR, AuditFilters(**filters), purpose=purpose)
    return {course async for chunk in chunks for record in chunk for course in record.courses}


async def sharing(clinic, course: str, verb: str, *purposes: str, who: str = "client") -> None:
    await fire(clinic, course, Command(f"{verb}_consent", {"scope": "sharing", "who": who, "purposes": list(purposes)}))


async def open_to(clinic, course: str) -> set[str]:
    return set((await clinic.read(consents.sharing, [course]))[course].open_to)


@pytest.mark.parametrize("kind", ("objection", "restriction"))
def test_an_export_that_names_no_client_leaves_out_who_objects(clinic, kind):
    async def test(clinic, course, other):
        await CourseReads(clinic).caseload(AUDITOR, Filters(), "", 10)
        assert await exported(clinic) == {course, other}
        marked = await mark(clinic, kind)
        assert await exported(clinic) == {other}
        assert await exported(clinic, course=course) >= {course}, "it was asked for this client"
        await end(clinic, marked.id)
        assert await exported(clinic) == {course, other}

    clinic(test)


def test_an_export_for_research_has_those_alone_who_consent_to_research(clinic):
    async def test(clinic, course, other):
        assert await exported(clinic, "HRESCH") == set()
        await sharing(clinic, course, "record", "HRESCH")
        assert await exported(clinic, "HRESCH") == {course}
        await mark(clinic, "objection")
        assert await exported(clinic, "HRESCH") == set()
        records = [each async for chunk in await AuditLog(clinic).export(AUDITOR, AuditFilters(kind="export")) for each in chunk]
        assert {each.purpose for each in records} == {"HRESCH"}

    clinic(test)


def test_for_care_a_course_is_shared_until_that_is_withdrawn_and_for_all_else_by_name(clinic):
    async def test(clinic, course, _other):
        assert await open_to(clinic, course) == OF_CARE
        await sharing(clinic, course, "record")
        assert await open_to(clinic, course) == OF_CARE, "a consent that names no purpose is for care"
        await sharing(clinic, course, "record", "HRESCH", "PUBHLTH")
        assert await open_to(clinic, course) == OF_CARE | {"HRESCH", "PUBHLTH"}
        await mark(clinic, "objection")
        assert await open_to(clinic, course) == OF_CARE
        await sharing(clinic, course, "withdraw", "HPAYMT")
        assert await open_to(clinic, course) == OF_CARE - {"HPAYMT"}
        await sharing(clinic, course, "record")
        assert await open_to(clinic, course) == OF_CARE

    clinic(test)


def test_what_is_withdrawn_whole_is_withdrawn_for_every_purpose_that_was_named(clinic):
    async def test(clinic, course, _other):
        await sharing(clinic, course, "record", "HRESCH")
        await sharing(clinic, course, "withdraw")
        assert await open_to(clinic, course) == set()
        await sharing(clinic, course, "record")
        assert await open_to(clinic, course) == OF_CARE, "research is asked for anew"

    clinic(test)


def test_what_a_guardian_withdraws_for_a_purpose_the_client_cannot_give(clinic):
    async def test(clinic, course, _other):
        await sharing(clinic, course, "withdraw", "HRESCH", who="guardian")
        await sharing(clinic, course, "record", "HRESCH")
        assert "HRESCH" not in await open_to(clinic, course)
        await sharing(clinic, course, "record", "HRESCH", who="guardian")
        assert "HRESCH" in await open_to(clinic, course)

    clinic(test)


def test_only_sharing_has_purposes(clinic):
    async def test(clinic, course, _other):
        with pytest.raises(CommandInvalid, match=r"data\.purposes: is only for the scope sharing"):
            await fire(clinic, course, Command("record_consent", {"scope": "recording", "purposes": ["HRESCH"]}))

    clinic(test)


def test_a_trial_of_a_protocol_judges_nobody_who_objects(clinic):
    async def test(clinic, course, _other):
        assert (await Trial(clinic, clinic.protocol("ipt", None)).run(AUDITOR)).courses == 2
        await mark(clinic, "objection")
        assert (await Trial(clinic, clinic.protocol("ipt", None)).run(AUDITOR)).courses == 1

    clinic(test)
