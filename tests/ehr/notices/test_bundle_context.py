"""The lanes of a Bundle: entries about one client or one resource are handled in their order, however they are named."""

import pytest
from support.fhir_bodies import encounter, form

from ipt_workflow.ehr.notices.bundle_context import BundleContext

URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"


def about(number: int, subject: dict, **more) -> dict:
    return {"resource": encounter(f"E{number}", subject=subject, **more)}


def lanes(*entries: dict) -> list[list[int]]:
    return sorted(BundleContext.of(entries, room=False).lanes(entries))


def by_identifier(value: str, **more) -> dict:
    return {"identifier": {"system": "urn:ehr", "value": value}, **more}


ONE = (
    [about(1, by_identifier("9", type="Patient")), about(2, by_identifier("9", type="Patient"))],
    [about(1, by_identifier("9")), about(2, by_identifier("9", type="Patient"))],
    [about(1, by_identifier("9", type="Patient")), about(2, {"reference": "Patient?identifier=urn:ehr|9"})],
    [about(1, {"reference": "Patient/9"}), about(2, {"reference": "https://ehr.example/fhir/Patient/9/_history/3"})],
    [about(1, by_identifier("9")), {"resource": {"resourceType": "Patient", "id": "7", "identifier": [{"value": "9"}]}}],
    [about(1, {"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p", "identifier": [{"value": "9"}]}]),
     about(2, by_identifier("9"))],
    [{"request": {"method": "DELETE", "url": "https://ehr.example/fhir/Encounter/E1"}}, about(1, {"reference": "Patient/9"})],
    [about(1, {"reference": "Patient/9"}), {"request": {"method": "DELETE", "url": "Encounter/E1"}}],
    [about(1, {"reference": URN}), about(2, {"reference": URN})],
)  # fmt: skip


@pytest.mark.parametrize("entries", ONE)
def test_entries_about_one_client_or_one_resource_are_one_lane(entries):
    assert lanes(*entries) == [[0, 1]]


def test_entries_about_a_new_client_of_the_bundle_are_one_lane():
    patient = {"fullUrl": URN, "resource": {"resourceType": "Patient", "identifier": [{"value": "9"}]}}
    assert lanes(patient, about(1, {"reference": URN}), about(2, by_identifier("9"))) == [[0, 1, 2]]


def test_a_visit_of_a_group_of_the_bundle_is_in_the_lane_of_its_members():
    group = {"fullUrl": URN, "resource": {"resourceType": "Group", "member": [{"entity": {"reference": "Patient/9"}}]}}
    assert lanes(group, about(1, {"reference": URN}), about(2, {"reference": "Patient/9"})) == [[0, 1, 2]]


def test_two_clients_are_two_lanes():
    person = {"individual": {"identifier": {"value": "dr"}, "type": "Practitioner"}}
    contained = [{"resourceType": "Practitioner", "id": "p", "identifier": [{"value": "dr"}]}]
    entries = [about(number, by_identifier(str(number)), participant=[person], contained=contained) for number in range(3)]
    others = [
        {"resource": form([0] * 9, "Q1", subject={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])},
        {"resource": form([0] * 9, "Q2", subject={"reference": "Patient/p"})},
    ]
    assert lanes(*entries, *others) == [[0], [1], [2], [3], [4]]


def test_two_clients_of_one_practitioner_of_the_bundle_are_two_lanes():
    practitioner = {"fullUrl": URN, "resource": {"resourceType": "Practitioner", "id": "dr"}}
    person = [{"individual": {"reference": URN}}, {"individual": {"reference": URN.replace("0c", "1c")}}]
    visits = [about(number, {"reference": f"Patient/{number}"}, participant=person) for number in range(2)]
    assert lanes(practitioner, *visits) == [[0], [1], [2]]
