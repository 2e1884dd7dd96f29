"""Referrals, and what a Patient says: each merge, and the death."""

import pytest
from support.fhir_bodies import IPT
from support.received import concept, one, read

DIED = {"resourceType": "Patient", "id": "P1", "deceasedDateTime": "2026-01-16"}
OLD = {"type": "replaces", "other": {"reference": "Patient/old"}}


def request(**more) -> dict:
    return {
        "resourceType": "ServiceRequest",
        "id": "S1",
        "status": "active",
        "intent": "order",
        "code": IPT,
        "subject": {"reference": "Patient/P1"},
        **more,
    }


def episode(**more) -> dict:
    return {"resourceType": "EpisodeOfCare", "id": "C1", "type": [IPT], "patient": {"reference": "Patient/P1"}, **more}


def test_a_death_beside_a_merge_is_not_lost():
    merged, died = read({**DIED, "link": [OLD]})
    assert (merged.part, merged.client_ref, merged.data["client_ref"]) == ("merged Patient/old", "old", "P1")
    assert (died.part, died.client_ref, died.trigger) == ("deceased", "P1", "end_early")
    assert {each.resource for each in (merged, died)} == {"Patient/P1"}


def test_each_of_two_merged_records_is_named():
    links = [OLD, {"type": "replaces", "other": {"reference": "Patient/older"}}]
    contents = read({"resourceType": "Patient", "id": "P1", "link": links})
    assert [(each.client_ref, each.data["client_ref"]) for each in contents] == [("old", "P1"), ("older", "P1")]


def test_a_record_that_is_replaced_is_the_client_who_moves():
    link = {"type": "replaced-by", "other": {"identifier": {"value": "N-7"}}}
    found = one({"resourceType": "Patient", "id": "P1", "link": [link]})
    assert (found.part, found.client_ref, found.data) == ("merged N-7", "P1", {"kind": "merge", "client_ref": "N-7"})


@pytest.mark.parametrize("more", ({}, {"deceasedBoolean": False}, {"link": [{**OLD, "type": "seealso"}]}))
def test_a_patient_with_nothing_to_say_still_names_the_client(more):
    found = one({"resourceType": "Patient", "id": "P1", **more}, prefix="N-")
    assert (found.about, found.ignored, found.client_ref, found.resource) == ("nothing", "person", "N-P1", "Patient/P1")


def test_a_link_of_an_unknown_type_waits():
    found = one({"resourceType": "Patient", "id": "P1", "link": [{**OLD, "type": "Replaces"}]})
    assert (found.client_ref, found.trigger) == ("P1", "")
    assert "`Patient.link.type` must be a code" in found.needs_person


@pytest.mark.parametrize(
    ("resource", "ignored"),
    (
        (request(status="draft"), "status"),
        (request(status="completed"), "status"),
        (request(intent="proposal"), "intent"),
        (request(intent="plan"), "intent"),
        (request(doNotPerform=True), "intent"),
        (request(code=concept("1", "urn:lab")), "service"),
        (request(code={"text": "Blood count"}), "service"),
        (episode(status="onhold"), "status"),
        (episode(status="finished"), "status"),
        (episode(type=[concept("1", "urn:lab")]), "service"),
    ),
)
def test_what_is_no_referral_is_ignored_by_its_reason(resource, ignored):
    assert one(resource).ignored == ignored


@pytest.mark.parametrize(
    "resource",
    (
        request(status="revoked"),
        request(status="entered-in-error", code={}),
        episode(status="cancelled"),
        episode(status="entered-in-error", type=[]),
    ),
)
def test_a_referral_that_was_withdrawn_is_void(resource):
    assert one(resource).void


@pytest.mark.parametrize(
    ("resource", "field"),
    (
        (request(status="unknown"), "ServiceRequest.status"),
        (request(status="Active"), "ServiceRequest.status"),
        (request(intent="wish"), "ServiceRequest.intent"),
        (episode(status="Active"), "EpisodeOfCare.status"),
    ),
)
def test_a_code_that_r4_does_not_define_waits(resource, field):
    found = one(resource)
    assert (found.about, f"`{field}` must be a code" in found.needs_person) == ("referral", True)


def test_the_therapist_of_a_referral_is_its_first_performer():
    found = one(request(performer=[{"reference": "Organization/o1"}, {"reference": "Practitioner/t1"}]))
    assert (found.therapist, found.performers) == ("t1", ("t1",))
    assert one(episode(status="active", careManager={"reference": "Practitioner/t1"})).therapist == "t1"
