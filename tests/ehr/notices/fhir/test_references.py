"""References: by name, address, version, identifier, `contained`, and the `fullUrl` of a Bundle's entry."""

import pytest
from support.fhir_bodies import appointment, encounter
from support.received import one

from ipt_workflow.ehr.notices.fhir.references import resolved

URN = "urn:uuid:5f339d06-b1d0-466b-8578-1dffecfe4f07"
CLIENT = {"resourceType": "Patient", "id": "EHR-1", "name": [{"family": "Doe"}], "identifier": [{"value": "N-1"}]}


@pytest.mark.parametrize(
    ("subject", "client"),
    (
        ({"reference": "Patient/EHR-1"}, "EHR-1"),
        ({"reference": "Patient/EHR-1/_history/2"}, "EHR-1"),
        ({"reference": "https://ehr.example/fhir/Patient/EHR-1/_history/2"}, "EHR-1"),
        ({"reference": "Patient/EHR-1", "identifier": {"value": "N-1"}}, "EHR-1"),
        ({"identifier": {"value": "N-1"}}, "N-1"),
        ({"type": "Patient", "identifier": {"value": "N-1"}}, "N-1"),
        ({"reference": "Patient?identifier=urn:mrn|N-1"}, "N-1"),
        ({"reference": "#p"}, "N-1"),
        ({"reference": URN}, URN.removeprefix("urn:uuid:")),
        ({"reference": "Device/1"}, None),
        ({"reference": "#q"}, None),
        ({"display": "Jane Doe"}, None),
    ),
)
def test_a_client_is_found_however_they_are_referred_to(subject, client):
    inside = {**CLIENT, "id": "p", "identifier": [{"value": "N-0", "use": "old"}, {"value": "N-1"}]}
    found = one(encounter(subject=subject, contained=[inside]))
    assert found.client_ref == client
    assert bool(found.faults) == (client is None)


@pytest.mark.parametrize(
    "resource", (encounter(subject={"reference": URN}), appointment(participant=[{"actor": {"reference": URN}}]))
)
def test_a_reference_to_an_entry_of_the_bundle_is_its_name(resource):
    found = one(resource, {URN: CLIENT}, prefix="N-")
    assert (found.client_ref, found.faults) == ("N-EHR-1", ())
    without = {name: value for name, value in CLIENT.items() if name != "id"}
    assert one(resource, {URN: without}).client_ref == "N-1"


def test_a_resource_that_was_resolved_can_be_read_alone_and_holds_no_more_of_the_client():
    kept = resolved(encounter(subject={"reference": URN}), {URN: CLIENT})
    assert one(kept).client_ref == "EHR-1"
    assert "Doe" not in str(kept)


PERSON = {"resourceType": "Practitioner", "id": "t1", "identifier": [{"value": "npi-1"}]}
ROLE = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "urn:uuid:t"}}


@pytest.mark.parametrize(
    ("who", "people"),
    (
        ({"reference": "Practitioner/t1"}, ("t1",)),
        ({"reference": "https://ehr.example/fhir/Practitioner/t1/_history/4"}, ("t1",)),
        ({"reference": "Practitioner/t1", "identifier": {"value": "npi-1"}}, ("t1", "npi-1")),
        ({"type": "Practitioner", "identifier": {"value": "npi-1"}}, ("npi-1",)),
        ({"reference": "Practitioner?identifier=http://hl7.org/fhir/sid/us-npi|npi-1"}, ("npi-1",)),
        ({"reference": "#t1"}, ("npi-1",)),
        ({"reference": "#r1"}, ("npi-1",)),
        ({"reference": "urn:uuid:t"}, ("t1", "npi-1")),
        ({"reference": "urn:uuid:r"}, ("t1", "npi-1")),
        ({"reference": "PractitionerRole/r1"}, ()),
        ({"reference": "RelatedPerson/x"}, ()),
        ({"reference": "Location/x"}, ()),
        ({"display": "Dr Best"}, ()),
    ),
)
def test_performers_are_people(who, people):
    entries = {"urn:uuid:t": PERSON, "urn:uuid:r": ROLE}
    inside = [PERSON, {**ROLE, "practitioner": {"reference": "#t1"}}]
    visit = one(encounter(participant=[{"individual": who}], contained=inside), entries)
    booked = one(appointment(participant=[{"actor": {"reference": "Patient/EHR-1"}}, {"actor": who}], contained=inside), entries)
    assert visit.performers == booked.performers == people
    assert visit.person == (people[0] if people else None)


def test_all_performers_are_named():
    both = [{"individual": {"reference": f"Practitioner/{each}"}} for each in ("t1", "t2", "t1")]
    assert one(encounter(participant=both)).performers == ("t1", "t2")
