"""What EHR systems were seen to send, read whole. Matching and versions are tested where they are decided."""

import json
from pathlib import Path

import pytest
from support.received import read

from ipt_workflow.ehr.notices.content import canonical

CASES = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (Path(__file__).parents[1] / "cases").glob("*.json")}


def sent(name: str) -> list[tuple]:
    return [read(each) for each in CASES[name]["send"]]


@pytest.mark.parametrize("name", [name for name in CASES if name != "subject-by-urn-uuid"])
def test_every_resource_is_read_without_an_error(name):
    assert all(contents for contents in sent(name))


def test_a_tag_more_is_the_same_content():
    first, second = sent("a-tag-more")
    assert canonical(first) == canonical(second)


@pytest.mark.parametrize("name", ("two-in-one-second", "version-always-1", "form-corrected-under-one-version"))
def test_a_correction_is_another_content_of_the_same_part(name):
    first, second = sent(name)
    assert canonical(first) != canonical(second)
    assert [each.part for each in first] == [each.part for each in second]


def test_answers_below_an_answer_are_read():
    ((found,),) = sent("answers-below-an-answer")
    assert (sum(found.data["items"]), found.risk) == (27, True)


def test_an_appointment_of_two_names_both():
    (contents,) = sent("appointment-of-two")
    assert [each.client_ref for each in contents] == ["CASE-1", "CASE-2"]


def test_a_date_alone_is_said():
    ((found,),) = sent("date-only-visit")
    assert (found.day_only, found.of_ipt) == (True, None)


def test_a_death_beside_a_merge_is_read():
    (contents,) = sent("death-beside-a-merge")
    assert [(each.part, each.client_ref) for each in contents] == [
        ("merged Patient/old-record", "old-record"),
        ("deceased", "CASE-1"),
    ]


def test_a_death_that_is_taken_back_leaves_nothing():
    (died,), (alive,) = sent("death-taken-back")
    assert (died.part, alive.about) == ("deceased", "nothing")
    assert (died.resource, died.client_ref) == (alive.resource, alive.client_ref)


@pytest.mark.parametrize("name", ("risk-item-answered-twice", "risk-item-as-text"))
def test_a_risk_item_that_is_not_surely_low_counts_as_risk(name):
    ((found,),) = sent(name)
    assert (found.risk, bool(found.faults)) == (True, True)


def test_a_corrected_form_shows_the_risk():
    (first,), (second,) = sent("form-corrected-under-one-version")
    assert (first.risk, second.risk) == (False, True)


def test_a_subject_by_the_url_of_its_entry_is_found():
    (bundle,) = CASES["subject-by-urn-uuid"]["send"]
    patient, visit = bundle["entry"]
    (found,) = read(visit["resource"], {patient["fullUrl"]: patient["resource"]})
    assert (found.client_ref, found.trigger) == ("CASE-1", "record_session")


def test_two_records_that_were_merged_are_both_read():
    (contents,) = sent("two-merged-records")
    assert [(each.client_ref, each.data["client_ref"]) for each in contents] == [("nobody", "SURVIVOR"), ("CASE-1", "SURVIVOR")]


def test_two_scales_in_one_form_are_both_read():
    (contents,) = sent("two-scales-in-one-form")
    assert [(each.part, sum(each.data["items"])) for each in contents] == [("scale phq9", 0), ("scale gad7", 21)]
