"""Visits: of several clients and of groups, of R4 and of R5, ours or not, agreed or not."""

import datetime as dt

import pytest
from support.fhir_bodies import IPT, SNOMED, appointment, encounter
from support.received import concept, one, read

TWO = [{"actor": {"reference": f"Patient/{each}"}, "status": "accepted"} for each in ("EHR-1", "EHR-2")]


@pytest.mark.parametrize("status", ("booked", "fulfilled", "noshow"))
def test_an_appointment_of_two_clients_is_a_visit_of_each(status):
    first, second = read(appointment(participant=TWO, status=status))
    assert [(each.part, each.client_ref) for each in (first, second)] == [
        ("client Patient/EHR-1", "EHR-1"),
        ("client Patient/EHR-2", "EHR-2"),
    ]
    assert first.trigger == second.trigger != ""


def test_a_client_who_is_named_twice_has_one_visit():
    again = {"actor": {"reference": "https://ehr.example/fhir/Patient/EHR-1/_history/3"}}
    assert one(appointment(participant=[*TWO[:1], again])).part == ""


def test_one_client_without_a_valid_reference_does_not_hide_the_other():
    long = {"actor": {"type": "Patient", "identifier": {"value": "n" * 200}}}
    first, second = read(appointment(participant=[*TWO[:1], long]))
    assert (first.faults, [fault.where for fault in second.faults]) == ((), ["subject"])


def test_a_client_who_declined_waits_and_the_others_are_booked():
    declined = [TWO[0], {**TWO[1], "status": "declined"}]
    first, second = read(appointment(participant=declined))
    assert (first.needs_person, "declined" in second.needs_person) == (None, True)


GROUP = {
    "resourceType": "Group",
    "id": "g",
    "member": [
        {"entity": {"reference": "Patient/EHR-1"}},
        {"entity": {"reference": "Patient/EHR-2"}, "inactive": False},
        {"entity": {"reference": "Patient/EHR-3"}, "inactive": True},
        {"entity": {"reference": "Practitioner/p1"}},
    ],
}


def test_an_encounter_of_a_group_inside_the_message_is_a_visit_of_each_member():
    contents = read(encounter(subject={"reference": "#g"}, contained=[GROUP]))
    assert [each.part for each in contents] == ["client Patient/EHR-1", "client Patient/EHR-2"]
    assert [each.client_ref for each in contents] == ["EHR-1", "EHR-2"]


def test_an_encounter_of_a_group_in_the_bundle_is_a_visit_of_each_member():
    entries = {"urn:uuid:group": GROUP}
    contents = read(encounter(subject={"reference": "urn:uuid:group"}), entries)
    assert [each.client_ref for each in contents] == ["EHR-1", "EHR-2"]


def test_an_encounter_of_another_group_waits_and_names_it():
    found = one(encounter(subject={"reference": "Group/x"}))
    assert (found.group, found.client_ref, found.faults) == ("Group/x", None, ())
    assert "not known here" in found.needs_person
    assert found.trigger == "record_session"


def test_a_group_without_clients_waits():
    assert "no Patient" in one(encounter(subject={"reference": "#g"}, contained=[{**GROUP, "member": []}])).needs_person


@pytest.mark.parametrize("status", ("completed", "discharged", "discontinued", "Finished", "unknown", ""))
def test_an_encounter_whose_status_r4_does_not_define_waits_and_is_not_repeated(status):
    found = one(encounter(status=status))
    assert (found.about, found.trigger) == ("session", "")
    assert "`Encounter.status` must be a code of the value set encounter-status" in found.needs_person
    assert not status or status not in found.needs_person.replace("Encounter.status", "")
    assert one(encounter(status=status), attendance="5").trigger == "record_session"


@pytest.mark.parametrize("status", ("Fulfilled", "completed", "no-show", ""))
def test_an_appointment_whose_status_r4_does_not_define_waits(status):
    assert "`Appointment.status` must be a code" in one(appointment(status=status)).needs_person


@pytest.mark.parametrize("status", ("proposed", "pending", "arrived", "checked-in", "waitlist"))
def test_an_appointment_that_is_not_agreed_is_ignored(status):
    found = one(appointment(status=status))
    assert (found.about, found.ignored, found.client_ref, found.resource) == ("nothing", "status", "EHR-1", "Appointment/A1")


def test_an_encounter_of_r5_is_read():
    resource = encounter(
        status="completed",
        actualPeriod={"start": "2026-01-12T10:00:00Z", "end": "2026-01-12T10:50:00Z"},
        participant=[{"actor": {"reference": "Practitioner/p1"}}],
        serviceType=[{"concept": IPT}],
        type=[],
        **{"class": [concept("VR", "http://terminology.hl7.org/CodeSystem/v3-ActCode")]},
    )
    del resource["period"]
    found = one(resource)
    assert (found.occurred_at, found.until) == tuple(dt.datetime(2026, 1, 12, 10, each, tzinfo=dt.UTC) for each in (0, 50))
    assert (found.of_ipt, found.performers, found.faults) == (True, ("p1",), ())
    assert one({**resource, "status": "finished"}).data == {
        "attendance": "5",
        "medium": "video",
        "minutes": 50,
        "ref": "Encounter/E1",
    }


def test_an_appointment_of_r5_is_read():
    reason = {"coding": [{"code": "prov"}]}
    found = one(appointment(status="cancelled", cancellationReason=reason, serviceType=[{"concept": IPT}]))
    assert (found.data["attendance"], found.of_ipt) == ("4", True)


def test_a_visit_with_a_date_alone_says_so_and_has_no_length():
    found = one(encounter(period={"start": "2026-01-12", "end": "2026-01-12"}))
    assert (found.day_only, found.until) == (True, None)
    assert "minutes" not in found.data
    assert one(appointment(start="2026-01-12")).day_only
    assert not one(encounter()).day_only


@pytest.mark.parametrize(
    ("more", "ours"),
    (
        ({"type": [IPT]}, True),
        ({"type": [], "reasonCode": [IPT]}, True),
        ({"type": [], "serviceType": IPT}, True),
        ({"type": [concept("185349003", SNOMED)]}, False),
        ({"type": [{"text": "Dental cleaning"}]}, None),
        ({"type": [concept("UNK", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor")]}, None),
        ({"type": []}, None),
        ({"type": [], "class": {"code": "EMER"}}, False),
        ({"type": [], "class": {"code": "IMP"}}, False),
        ({"type": [], "class": {"code": "ACUTE"}}, False),
        ({"type": [], "class": {"code": "FLD"}}, None),
        ({"type": [IPT], "class": {"code": "IMP"}}, True),
    ),
)
def test_codes_say_whether_a_visit_belongs_to_ipt_and_text_does_not(more, ours):
    assert one(encounter(**more)).of_ipt is ours


def test_a_class_that_is_not_known_is_named():
    found = one(encounter(**{"class": {"code": "TELE"}}))
    assert "medium" not in found.data
    assert "class" in found.says[0]
    assert "TELE" not in found.says[0]


def test_a_visit_that_is_withdrawn_needs_no_time():
    found = one(encounter(status="entered-in-error", period={"start": "soon"}))
    assert (found.void, found.faults) == (True, ())


def test_a_corrected_client_takes_the_place_of_one_that_cannot_be_read():
    resource = encounter()
    del resource["subject"]
    assert [fault.where for fault in one(resource).faults] == ["subject"]
    found = one(resource, client_ref="EHR-4")
    assert (found.client_ref, found.faults) == ("EHR-4", ())
