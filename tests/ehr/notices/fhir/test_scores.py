"""Scales by their answers: in every form and place that senders use. A risk item that is not surely low counts as risk."""

import msgspec
import pytest
from support.course_walk import ipt
from support.fhir_bodies import ANSWERS, LOINC, PHQ9, form
from support.received import GAD7, RISK, coded, concept, item, observation, one, read

from ipt_workflow.ehr.notices.fhir import scores
from ipt_workflow.ehr.notices.types import InstrumentCodes

HIGH, LOW = coded(ANSWERS[3]), coded(ANSWERS[0])
ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "asked-declined"}
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
UNREADABLE = (
    {"valueString": "Nearly every day"},
    {"valueString": "Not at all"},
    {"valueString": "0"},
    {"valueBoolean": False},
    {"valueDecimal": 0.5},
    {"valueDecimal": "0"},
    {"valueInteger": 4},
    {"valueInteger": -1},
    {"valueInteger": True},
    {"valueInteger": None},
    {"valueCoding": {"code": "0"}},
    {"valueCoding": {"display": "Not at all"}},
    {"valueCoding": {"system": LOINC, "code": "LA9-9"}},
    {"valueCoding": {"system": "http://forms.example", "code": ANSWERS[0]}},
    {"valueCoding": {"system": LOINC, "code": ANSWERS[0], "extension": [{"url": ORDINAL, "valueDecimal": 3}]}},
    {"valueCodeableConcept": {"text": "Not at all"}},
    {"valueQuantity": {"value": 0, "comparator": ">"}},
    {"valueQuantity": {"unit": "points"}},
    {"valueReference": {"reference": "Observation/1"}},
    {"valueDate": "2026-01-01"},
    {"valueDateTime": "2026-01-01"},
    {"valueTime": "10:00:00"},
    {"valueUri": "urn:x"},
    {"valueAttachment": {"title": "scan"}},
    {"valueNovel": 0},
    {"valueInteger": 0, "valueString": "Nearly every day"},
    {"valueInteger": 0, "modifierExtension": [{"url": "urn:not", "valueBoolean": True}]},
    {"extension": [ABSENT]},
    {"_valueCoding": {"extension": [ABSENT]}},
    {"item": []},
    {},
    None,
    "0",
)
READABLE = (
    ({"valueInteger": 2}, 2),
    ({"valueDecimal": 2.0}, 2),
    ({"valueQuantity": {"value": 2, "unit": "points"}}, 2),
    ({"valueCoding": {"system": LOINC, "code": ANSWERS[2]}}, 2),
    ({"valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.1", "code": ANSWERS[2]}}, 2),
    ({"valueCoding": {"code": ANSWERS[2]}}, 2),
    ({"valueCoding": {"code": "x", "extension": [{"url": ORDINAL, "valueDecimal": 2}]}}, 2),
    ({"valueCoding": {"extension": [{"url": ORDINAL.replace("ordinalValue", "itemWeight"), "valueDecimal": 2}], "code": "x"}}, 2),
    ({"valueCodeableConcept": {"coding": [{"system": "urn:local", "code": "2"}, {"system": LOINC, "code": ANSWERS[2]}]}}, 2),
)


def form_with(answer, place: int = 8) -> dict:
    resource = form([0] * 9)
    resource["item"][place]["answer"] = [answer]
    return resource


@pytest.mark.parametrize("answer", UNREADABLE, ids=str)
def test_an_answer_about_self_harm_that_cannot_be_read_waits_and_counts_as_risk(answer):
    found = one(form_with(answer))
    assert found.risk
    assert [fault.where for fault in found.faults] == [f"QuestionnaireResponse: {RISK}"]


@pytest.mark.parametrize(
    "answer", [each for each in UNREADABLE if isinstance(each, dict) and any("value" in key for key in each)], ids=str
)
def test_an_observation_of_self_harm_that_cannot_be_read_waits_and_counts_as_risk(answer):
    for resource in (observation(RISK, **answer), observation("44249-1", component=[{"code": concept(RISK), **answer}])):
        assert one(resource).risk
        assert one(resource).faults


@pytest.mark.parametrize("answer", UNREADABLE[:-6], ids=str)
def test_another_answer_that_cannot_be_read_waits_without_risk(answer):
    found = one(form_with(answer, 2))
    assert [fault.where for fault in found.faults] == ["QuestionnaireResponse: 44259-0"]
    assert not found.risk


@pytest.mark.parametrize(("answer", "score"), READABLE, ids=str)
def test_an_answer_is_read_in_each_form_that_senders_use(answer, score):
    found = one(form_with(answer))
    assert (found.data["items"], found.risk, found.faults) == ([0] * 8 + [score], True, ())


@pytest.mark.parametrize(
    "more",
    (
        {"dataAbsentReason": concept("asked-declined", "http://terminology.hl7.org/CodeSystem/data-absent-reason")},
        {"dataAbsentReason": {"text": "refused"}, "valueInteger": 0},
        {},
    ),
)
def test_an_observation_of_self_harm_without_a_value_waits_and_counts_as_risk(more):
    assert one(observation(RISK, **more)).risk
    assert one(observation("44249-1", component=[{"code": concept(RISK), **more}])).risk


def test_an_answer_that_says_why_it_is_absent_is_a_missing_answer_elsewhere():
    found = one(form_with({"extension": [ABSENT]}, 2))
    assert (found.data["items"][2], found.faults, found.risk) == (None, (), False)


@pytest.mark.parametrize("answers", ([LOW, HIGH], [HIGH, LOW], [LOW, {"valueString": "sometimes"}]), ids=str)
def test_answers_about_self_harm_that_contradict_each_other_wait_and_count_as_risk(answers):
    resource = form([0] * 8)
    together = {**resource, "item": [*resource["item"], item(RISK, *answers)]}
    apart = {**resource, "item": [*resource["item"], *(item(RISK, each) for each in answers)]}
    for found in (one(together), one(apart)):
        assert found.risk
        assert found.faults


def test_the_same_answer_twice_is_one_answer():
    resource = form([0] * 9)
    resource["item"].append(item(RISK, LOW))
    assert (one(resource).data["items"], one(resource).risk) == ([0] * 9, False)


def nested(levels: int, leaf: dict, *, below_answers: bool) -> dict:
    for _ in range(levels):
        leaf = (
            {"linkId": "g", "answer": [{"valueBoolean": True, "item": [leaf]}]}
            if below_answers
            else {"linkId": "g", "item": [leaf]}
        )
    return leaf


@pytest.mark.parametrize("below_answers", (False, True))
@pytest.mark.parametrize("levels", (1, 3, 60))
def test_answers_are_read_at_any_depth_below_groups_and_below_answers(levels, below_answers):
    resource = form([0] * 8)
    resource["item"].append(nested(levels, item(RISK, HIGH), below_answers=below_answers))
    assert (one(resource).data["items"], one(resource).risk) == ([0] * 8 + [3], True)


@pytest.mark.parametrize(
    "question",
    (
        {"linkId": RISK},
        {"linkId": f"/44249-1/{RISK}"},
        {"linkId": f"phq9.{RISK}"},
        {"linkId": f"phq9-{RISK}"},
        {"linkId": f"LOINC:{RISK}"},
        {"linkId": "9", "definition": f"http://loinc.org/rdf/{RISK}|2.77"},
        {"linkId": "9", "definition": f"http://loinc.org|{RISK}"},
        {"linkId": "9", "code": [{"system": LOINC, "code": RISK}]},
        {"linkId": "9", "code": {"coding": [{"code": RISK}]}},
        {"linkId": "9", "extension": [{"url": "urn:code", "valueCoding": {"system": LOINC, "code": RISK}}]},
    ),
    ids=str,
)
def test_a_form_that_nobody_knows_is_read_for_its_risk_item(question):
    resource = form([], questionnaire="https://forms.example/intake", item=[{**question, "answer": [HIGH]}])
    found = one(resource)
    assert (found.data["items"], found.risk, found.faults) == ([None] * 8 + [3], True, ())
    assert one({**resource, "item": [{**question, "answer": [{"valueString": "often"}]}]}).risk


def test_the_codes_of_a_questionnaire_inside_the_message_are_used():
    definition = {"resourceType": "Questionnaire", "id": "q", "item": [{"linkId": "9", "code": [{"system": LOINC, "code": RISK}]}]}
    resource = form([], contained=[definition], questionnaire="#q", item=[{"linkId": "9", "answer": [{"valueInteger": 3}]}])
    assert (one(resource).data["items"], one(resource).risk) == ([None] * 8 + [3], True)


def test_a_comment_below_the_question_is_no_answer_to_it():
    resource = form([0] * 9)
    resource["item"][8]["answer"][0]["item"] = [{"linkId": f"/{RISK}/comment", "answer": [{"valueString": "never"}]}]
    assert (one(resource).risk, one(resource).faults) == (False, ())


def test_a_form_of_a_scale_whose_questions_have_no_codes_waits_and_counts_as_risk():
    answers = [{"linkId": f"q{number}", "answer": [{"valueInteger": 0}]} for number in range(1, 10)]
    found = one(form([], questionnaire="http://loinc.org/q/44249-1", item=answers))
    assert (found.risk, [fault.message for fault in found.faults]) == (True, ["must have answers or a total"])
    assert not one(form([], questionnaire="http://loinc.org/q/44249-1")).risk


def test_two_scales_in_one_form_are_two_measures():
    resource = form([0] * 9)
    resource["item"] += [item(code, HIGH) for code in GAD7]
    phq9, gad7 = read(resource)
    assert (phq9.part, phq9.data["items"], gad7.part, gad7.data["items"]) == ("scale phq9", [0] * 9, "scale gad7", [3] * 7)
    assert (phq9.risk, gad7.risk) == (False, False)


def test_two_scales_in_one_panel_are_two_measures_and_only_one_has_the_risk():
    parts = [{"code": concept(code), "valueInteger": 1} for code in (*PHQ9, *GAD7)]
    phq9, gad7 = read(observation("89206-7", component=parts))
    assert (phq9.data["items"], phq9.risk, gad7.data["items"], gad7.risk) == ([1] * 9, True, [1] * 7, False)


def test_the_members_of_a_panel_are_read_if_the_message_contains_them():
    inside = [
        {"resourceType": "Observation", "id": code, "status": "final", "code": concept(code), "valueInteger": 2} for code in PHQ9
    ]
    members = [{"reference": f"#{code}"} for code in PHQ9]
    found = one(observation("44249-1", contained=inside, hasMember=members))
    assert (found.data["items"], found.risk) == ([2] * 9, True)
    assert one(observation("44249-1", hasMember=[{"reference": "Observation/7"}])).ignored == "empty"


def test_a_member_that_was_entered_in_error_is_not_read():
    wrong = {"resourceType": "Observation", "id": "x", "status": "entered-in-error", "code": concept(RISK), "valueInteger": 3}
    right = {**wrong, "id": "y", "status": "final", "valueInteger": 0}
    assert not one(observation("44249-1", contained=[wrong, right])).risk


def test_the_total_may_have_the_code_of_its_panel_and_text_beside_answers_is_none():
    assert one(observation("44249-1", valueQuantity={"value": 8})).data["total"] == 8
    parts = [{"code": concept(code), "valueInteger": 0} for code in PHQ9]
    found = one(observation("44249-1", component=parts, valueString="Minimal"))
    assert (found.data["items"], found.faults) == ([0] * 9, ())
    assert one(observation("44249-1", valueString="Minimal")).faults


@pytest.mark.parametrize(
    ("resource", "risk"),
    (
        (form([0] * 8, total=3), True),
        (form([0] * 8, total=0), False),
        (form([3] * 8, total=24), False),
        (form([1] * 4, total=17), True),
        (form([1] * 4, total=16), False),
        (observation("44261-6", valueInteger=25), True),
        (observation("44261-6", valueInteger=24), False),
    ),
)
def test_a_total_that_needs_a_positive_answer_about_self_harm_waits_and_counts_as_risk(resource, risk):
    found = one(resource)
    assert (found.risk, found.needs_person is not None) == (risk, risk)


@pytest.mark.parametrize(("scores", "total"), (([1] * 9, 8), ([1] * 8, 7), ([1] * 8, 12)))
def test_a_total_that_its_answers_cannot_reach_is_a_fault(scores, total):
    assert [fault.where for fault in one(form(scores, total=total)).faults] == ["QuestionnaireResponse: 44261-6"]


def test_totals_that_differ_and_totals_that_are_text_are_faults():
    resource = form([], total=9)
    resource["item"].append(item("44261-6", {"valueInteger": 10}))
    assert one(resource).faults
    assert one(form([], item=[item("44261-6", {"valueString": "9"})])).faults


EDEQ = InstrumentCodes(
    instrument="edeq@2", panels=(f"{LOINC}|EDE-PANEL",), totals=(f"{LOINC}|EDE-TOTAL",), items=(f"{LOINC}|EDE-1",), answers={}
)


@pytest.mark.parametrize(("value", "total"), ((4.2, 4.2), (4, 4), (4.0, 4)))
def test_a_mean_is_read_with_its_decimals_and_a_whole_number_as_it_is(value, total):
    resource = {"resourceType": "Observation", **coded_total(value)}
    (found,) = scores.scales(resource, (EDEQ,), ipt().instruments, "Observation")
    assert (found.data, found.faults) == ({"instrument": "edeq@2", "total": total}, ())
    assert type(found.data["total"]) is type(total)


def test_a_total_with_decimals_of_a_scale_of_whole_points_is_not_read():
    row = msgspec.structs.replace(EDEQ, instrument="iesr@1")
    (found,) = scores.scales({"resourceType": "Observation", **coded_total(4.2)}, (row,), ipt().instruments, "Observation")
    assert [fault.message for fault in found.faults][:1] == ["must be a whole number"]


def coded_total(value) -> dict:
    return {"code": {"coding": [{"system": LOINC, "code": "EDE-TOTAL"}]}, "valueQuantity": {"value": value}}
