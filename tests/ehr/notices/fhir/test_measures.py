"""Forms and Observations by their status, and answers inside other resources."""

import pytest
from support.fhir_bodies import encounter, form
from support.received import RISK, concept, observation, one, read


@pytest.mark.parametrize("status", ("completed", "amended", "stopped"))
def test_a_form_that_is_done_is_a_measure(status):
    found = one(form([0] * 9, status=status))
    assert (found.about, found.needs_person, found.faults) == ("measure", None, ())


@pytest.mark.parametrize(
    ("resource", "ignored"),
    (
        (form([0] * 9, status="in-progress"), "status"),
        (observation("44261-6", valueInteger=3, status="preliminary"), "status"),
        (observation("44261-6", valueInteger=3, status="cancelled"), "status"),
        (observation("8302-2", valueQuantity={"value": 182.9}), "scale"),
        (form([], item=[{"linkId": "1", "answer": [{"valueInteger": 3}]}]), "scale"),
    ),
)
def test_what_is_no_result_yet_or_of_no_declared_scale_is_ignored_by_its_reason(resource, ignored):
    found = one(resource)
    assert (found.about, found.ignored) == ("nothing", ignored)
    assert found.resource == f"{resource['resourceType']}/{resource['id']}"


@pytest.mark.parametrize("status", ("in-progress", "completed", "stopped", "draft", "", 3, None))
def test_risk_counts_whatever_the_status_of_the_form(status):
    assert one(form([0] * 8 + [1], status=status)).risk


@pytest.mark.parametrize("status", ("registered", "preliminary", "final", "cancelled", "unknown", "novel"))
def test_risk_counts_whatever_the_status_of_the_observation(status):
    assert one(observation(RISK, valueInteger=1, status=status)).risk


@pytest.mark.parametrize("resource", (form([0] * 9, status="Completed"), observation("44261-6", valueInteger=1, status="unknown")))
def test_a_status_that_says_nothing_waits_and_is_not_repeated(resource):
    found = one(resource)
    assert f"`{resource['resourceType']}.status` must be a code" in found.needs_person
    assert resource["status"] not in found.needs_person


def test_what_was_entered_in_error_is_withdrawn():
    found = one(form([0] * 8 + [3], status="entered-in-error"))
    assert (found.void, found.risk, found.faults, found.part) == (True, False, (), "scale phq9")


def test_a_form_that_was_emptied_and_entered_in_error_is_withdrawn_whole():
    found = one(form([], status="entered-in-error"))
    assert (found.about, found.void, found.part, found.client_ref) == ("measure", True, "", "EHR-1")


@pytest.mark.parametrize("field", ("subject", "authored", "meta", "questionnaire"))
def test_a_malformed_field_beside_it_hides_no_risk(field):
    assert one(form([0] * 8 + [3], **{field: [7]})).risk


def test_a_malformed_id_hides_no_risk():
    found = one(form([0] * 8 + [3], form_id="a/b"))
    assert (found.risk, [fault.where for fault in found.faults]) == (True, ["QuestionnaireResponse.id"])
    assert found.client_ref == "EHR-1"


def test_answers_inside_another_resource_wait_beside_what_it_says_itself():
    inside = {"resourceType": "Observation", "status": "final", "code": concept(RISK), "valueInteger": 1}
    visit, measure = read(encounter(contained=[{**inside, "effectiveDateTime": "2026-01-12T09:00:00Z"}]))
    assert (visit.about, visit.risk, measure.about, measure.risk) == ("session", False, "measure", True)
    assert measure.needs_person
    report = {"resourceType": "DiagnosticReport", "id": "D1", "subject": {"reference": "Patient/EHR-1"}, "contained": [inside]}
    found = one(report)
    assert (found.type, found.risk, found.client_ref) == ("fhir.other", True, "EHR-1")


def test_another_resource_without_such_answers_is_ignored_as_a_kind_that_is_not_read():
    assert one({"resourceType": "Claim", "id": "C1"}).ignored == "kind"
    definition = {"resourceType": "Questionnaire", "item": [{"linkId": f"/{RISK}", "answerOption": [{"valueInteger": 3}]}]}
    assert one(definition).ignored == "kind"


def test_a_date_without_a_time_is_said():
    assert one(form([0] * 9, authored="2026-01-12")).day_only
    assert not one(form([0] * 9)).day_only


def test_a_resource_that_may_mean_something_else_waits():
    found = one(form([0] * 9, modifierExtension=[{"url": "urn:not", "valueBoolean": True}]))
    assert "modifierExtension" in found.needs_person


def test_the_performers_of_an_observation_are_named():
    by = [{"reference": "Practitioner/p1"}, {"reference": "Organization/o1"}]
    assert one(observation("44261-6", valueInteger=3, performer=by)).performers == ("p1",)
