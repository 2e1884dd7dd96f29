"""Sums and disclosures as both databases count them: deliveries to a subscriber, reads of a system, and what people recorded."""

import msgspec
import pytest
from support import databases, service_walk
from support.service_walk import AUDITOR, THERAPIST

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import SessionOver
from ipt_workflow.service.privacy.access_reports import AccessReports, ReportQuery
from ipt_workflow.service.privacy.disclosures import AccountingQuery, Disclosures, NewDisclosure
from ipt_workflow.store import subscriptions
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription

SUBSCRIBER = Principal(person="subscription:s-1", role="ehr", via="ehr")
SYSTEM = Principal(person="ehr-1", role="ehr", via="api")


async def with_deliveries(clinic) -> str:
    """A course of which a subscriber got three events and lost one, and which a system read twice."""
    course = await service_walk.open_course(clinic)
    known = StoredSubscription(
        id="s-1",
        url="https://ehr.example/hooks",
        types=("course.changed",),
        courses=None,
        scope="thin",
        status="active",
        created_at=clinic.clock.now(),
        created_by="admin-1",
    )
    key = StoredKey(id="k-1", scheme="v1", secret="sealed", public=None, created_at=clinic.clock.now())
    await clinic.write(subscriptions.insert, known, [key])
    for action in ("delivered evt_1", "delivered evt_2", "dead evt_3", "delivered evt_4"):
        await clinic.log(SUBSCRIBER, "delivery", action, [course])
    for _ in range(2):
        await clinic.log(SYSTEM, "read", "fhir read Encounter", [course])
    return course


@pytest.fixture
def settings(server, tmp_path):
    return databases.empty(tmp_path, server)


def test_deliveries_to_a_subscriber_are_one_sum_for_each_outcome_with_the_address_as_name(settings):
    async def test(clinic):
        course = await with_deliveries(clinic)
        found = (await AccessReports(clinic).one(THERAPIST, ReportQuery(course=course))).items
        sums = {(each.name, each.kind, each.action): each.times for each in found}
        assert sums == {
            ("ehr.example", "delivery", "delivered"): 3,
            ("ehr.example", "delivery", "dead"): 1,
            ("ehr-1", "read", "fhir read Encounter"): 2,
            ("therapist-1", "transition", None): 1,
        }

    service_walk.with_clinic(settings, test)


def test_what_systems_got_is_a_disclosure_that_the_rule_does_not_ask_for(settings):
    async def test(clinic):
        course = await with_deliveries(clinic)
        disclosures = Disclosures(clinic)
        await disclosures.record(
            THERAPIST, lambda: NewDisclosure(course=course, recipient="Police", what="The address", purpose="THREAT")
        )
        every = (await disclosures.accounting(AUDITOR, AccountingQuery(course=course, every=True))).items
        assert {(each.recipient, each.address, each.what, each.purpose, each.times) for each in every} == {
            ("ehr.example", "https://ehr.example/hooks", ("events of scope thin",), "TREAT", 3),
            ("ehr-1", None, ("fhir read Encounter",), "TREAT", 2),
            ("Police", None, ("The address",), "THREAT", 1),
        }
        asked = (await disclosures.accounting(AUDITOR, AccountingQuery(course=course))).items
        assert [each.recipient for each in asked] == ["Police"]

    service_walk.with_clinic(settings, test)


def test_reading_it_is_recorded_with_the_courses_of_the_client_alone(settings):
    async def test(clinic):
        course = await with_deliveries(clinic)
        await service_walk.open_course(clinic, "EHR-2")
        await Disclosures(clinic).accounting(THERAPIST, AccountingQuery(client_ref="EHR-1"))
        chunks = await AccessReports(clinic).records(THERAPIST, ReportQuery(client_ref="EHR-1"))
        records = [each async for chunk in chunks for each in chunk]
        assert [each.action for each in records[-2:]] == ["accounting of disclosures", "access report"]
        assert {each.courses for each in records} == {(course,)}

    service_walk.with_clinic(settings, test)


def test_the_records_break_off_where_the_readers_access_has_ended(settings):
    async def test(clinic):
        course = await with_deliveries(clinic)
        gone = msgspec.structs.replace(THERAPIST, session="0123456789abcdef")
        chunks = await AccessReports(clinic).records(gone, ReportQuery(course=course))
        with pytest.raises(SessionOver):
            await anext(chunks)

    service_walk.with_clinic(settings, test)
