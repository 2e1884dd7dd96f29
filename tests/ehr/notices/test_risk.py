"""Risk in notices of our own types: the same answers count as in FHIR, also in a notice that cannot be used."""

import msgspec
import pytest
from support.ehr_sender import Ehr, course, inbox, resolve, started, status
from support.fhir_bodies import START, at, form
from support.received import INSTRUMENTS

from ipt_workflow.ehr.notices import risk
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.runtime.clock import VirtualClock

RISK = (
    {"items": [0] * 8 + [1]},
    {"items": [9] * 8 + [1]},
    {"items": [0] * 8 + ["often"]},
    {"items": [0] * 8 + [True]},
    {"items": [0] * 8 + [0.5]},
    {"items": [0] * 8 + [-1]},
    {"items": [3] * 8 + [None], "total": 27},
    {"items": [0] * 8 + [None], "total": 1},
    {"items": [3] * 8},
    {"items": [0] * 10},
    {"items": {"9": 3}},
    {"items": "000000003"},
    {"total": 25},
    {"total": 26.0},
    *({"items": [0] * 8 + [3], "instrument": name} for name in ("PHQ-9", "PHQ 9 ", "phq9@7", "Patient Health Questionnaire-9")),
    {"items": [0] * 8 + [3], "instrument": "Patient Health Questionnaire (PHQ-9)"},
    {"items": [0] * 9 + [3], "instrument": "EPDS"},
)
NO_RISK = (
    {"items": [3] * 8 + [0]},
    {"items": [3] * 8 + [0], "total": 27},
    {"items": [3] * 8 + [None]},
    {"items": []},
    {"items": {}},
    {"items": None},
    {"total": 24},
    {"total": "many"},
    {"total": 21, "instrument": "gad7"},
    {"items": [3] * 9, "instrument": "sleep"},
    {"items": [3] * 9, "instrument": 9},
    {},
)


def assessed(data: object) -> NoticeContent:
    content = NoticeContent(type="measure.completed", about="measure", trigger="record_measure")
    return risk.assessed(content, msgspec.json.encode({"data": data}), INSTRUMENTS)


@pytest.mark.parametrize("data", RISK, ids=str)
def test_an_answer_that_may_be_positive_is_risk(data):
    assert assessed({"instrument": "phq9", **data}).risk


@pytest.mark.parametrize("data", NO_RISK, ids=str)
def test_other_answers_are_none(data):
    assert not assessed({"instrument": "phq9", **data}).risk


@pytest.mark.parametrize("body", (b"{", b"[]", b"{}", b'{"data": 3}', b"\xff"))
def test_what_is_no_measure_is_none(body):
    assert not risk.assessed(NoticeContent(type="x", about="nothing"), body, INSTRUMENTS).risk


def test_a_total_that_implies_risk_waits_in_both_forms(api):
    async def test(api):
        own, fhir = await Ehr.register(api), await Ehr.register(api, "south", "bearer", secret="s" * 32)
        course_id = await started(api)
        data = {"client_ref": "EHR-1", "instrument": "phq9", "total": 26, "taken_at": at(7), "ref": "Form/1"}
        assert status(await own.notify("measure.completed", data)) == "waiting"
        assert status(await fhir.fhir(form([], total=26))) == "waiting"
        first, second = await inbox(api)
        assert (first["risk"], first["why"], first["course"]) == (second["risk"], second["why"], second["course"])
        assert (first["risk"], first["why"]) == (True, risk.IMPLIED)
        assert "risk" in (await course(api, course_id))["attention"]
        assert (await resolve(api, first["id"], "therapist", action="retry")).json()["status"] == "applied"
        assert (await course(api, course_id))["measures"]["phq9@1"]["count"] == 1
        assert status(await own.notify("measure.completed", {**data, "total": 24, "ref": "Form/2"})) == "applied"

    api(test, VirtualClock(START))
