"""What one course shows beside its state: words and scores from its journal, appointments, contacts, the course that follows."""

import datetime as dt
from typing import Any

from support.course_walk import SYMPTOMS
from support.http_client import START
from support.pages import erase

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.views import CourseDetails, CourseView, details

DAY = dt.timedelta(days=1)
INITIAL = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory")
FIRST_PHASE = (*INITIAL, "record_timeline", "record_formulation", "accept_formulation", "assign_sick_role", "select_focus")
OWN = set(CourseDetails.__struct_fields__) - set(CourseView.__struct_fields__)


async def details_of(api, course: str, role: str = "therapist", query: str = "") -> dict[str, Any]:
    answer = await api.get(f"/v1/courses/{course}{query}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def fire(api, course: str, trigger: str, data: Any = None, **more: Any) -> dict[str, Any]:
    answer = await api.fire(course, trigger, data, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["entry"]


def test_a_course_shows_its_words_and_whoever_may_read_its_journal_sees_them(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE, "agree_contract")
        shown = await details_of(api, course)
        assert shown["goals"] == ["Feel well enough to work", "Settle the new role"]
        formulation = shown["formulation"]
        assert (formulation["version"], formulation["response"], formulation["crisis"]) == (1, "accepts", "Retirement")
        assert formulation["vulnerabilities"]["temperament"] == "Reserved"
        assert [(each["obligation"], each["over"]) for each in shown["exemptions"]] == [("Hosting the family", False)]
        for role in ("supervisor", "auditor", "ehr"):
            assert await details_of(api, course, role) == shown
        assert (await api.get(f"/v1/courses/{course}", "admin")).status_code in {403, 404}

    api(test, VirtualClock(START))


def test_only_the_formulation_that_the_client_accepted_is_shown(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *INITIAL, "record_formulation")
        assert (await details_of(api, course))["formulation"] is None
        await api.walk(course, "accept_formulation")
        await fire(api, course, "record_formulation", {"crisis": "Another"})
        shown = await details_of(api, course)
        assert (shown["formulation_version"], shown["formulation"]["version"], shown["formulation"]["crisis"]) == (
            2,
            1,
            "Retirement",
        )
        await fire(api, course, "accept_formulation", {"version": 2, "response": "in_part"})
        shown = (await details_of(api, course))["formulation"]
        assert (shown["version"], shown["response"], shown["crisis"], shown["plain_words"]) == (2, "in_part", "Another", None)

    api(test)


def test_goals_stay_until_others_are_agreed_and_amendments_count(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE)
        agreed = await fire(api, course, "agree_contract", (await api.options(course))["agree_contract"]["example"]["data"])
        both = {"client_agrees": True, "therapist_agrees": True}
        await fire(api, course, "amend_contract", {"sessions": 14, **both}, reason="Agreed.")
        assert len((await details_of(api, course))["goals"]) == 2
        corrected = {"supersedes": agreed["seq"], "data": {"goals": ["One"]}}
        await fire(api, course, "amend", corrected, reason="Misheard.")
        assert (await details_of(api, course))["goals"] == ["One"]
        await fire(api, course, "amend_contract", {"goals": ["Another"], **both}, reason="Agreed.")
        assert (await details_of(api, course))["goals"] == ["Another"]

    api(test)


def test_scores_come_in_the_order_in_which_they_were_taken(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        await fire(api, course, "record_measure", SYMPTOMS)
        earlier = {**SYMPTOMS, "items": [1] * 8 + [0], "taken_at": START.isoformat()}
        await fire(api, course, "record_measure", earlier)
        await fire(api, course, "record_measure", {**SYMPTOMS, "items": [None] + [2] * 7 + [0]})
        await fire(api, course, "record_measure", {"instrument": "gad7", "not_obtained": True}, reason="Not brought.")
        scores = (await details_of(api, course))["scores"]
        assert [(each["total"], each["band"]) for each in scores["phq9@1"]] == [
            (8, "mild"),
            (16, "moderately severe"),
            (None, None),
        ]
        assert list(scores) == ["phq9@1"]

    api(test)


def test_contacts_are_counted_by_kind_with_the_last_of_each(api):
    async def test(api):
        course = (await api.open())["id"]
        for kind in ("check_in", "crisis", "check_in"):
            last = await fire(api, course, "record_contact", {"kind": kind})
        contacts = (await details_of(api, course))["contacts"]
        assert {kind: each["count"] for kind, each in contacts.items()} == {"check_in": 2, "crisis": 1}
        assert (contacts["check_in"]["last_seq"], contacts["check_in"]["last_at"]) == (last["seq"], last["occurred_at"])

    api(test)


def test_the_history_of_risk_has_plans_people_and_what_a_scale_showed(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        assert (await details_of(api, course))["risk_plan"] is None
        await fire(api, course, "record_measure", {**SYMPTOMS, "items": [2] * 8 + [1]})
        await fire(api, course, "raise_risk", {"level": "elevated", "plan": "Safety plan.", "told": ["Partner"]})
        await fire(api, course, "review_risk", {"level": "monitored"}, reason="The client is calmer.")
        shown = await details_of(api, course)
        assert [(each["trigger"], each["level"], each["instrument"]) for each in shown["risk_history"]] == [
            ("record_measure", None, "phq9@1"),
            ("raise_risk", "elevated", None),
            ("review_risk", "monitored", None),
        ]
        assert (shown["risk_history"][1]["plan"], shown["risk_history"][1]["told"]) == ("Safety plan.", ["Partner"])
        assert shown["risk_plan"] == "Safety plan."
        await fire(api, course, "review_risk", {"level": "none"}, reason="The client is well again.")
        assert (await details_of(api, course))["risk_plan"] is None

    api(test)


def test_only_a_review_ends_the_plan_of_a_risk(api):
    async def test(api):
        course = (await api.open())["id"]
        await fire(api, course, "raise_risk", {"level": "acute", "plan": "Safety plan.", "told": ["Partner"]})
        await fire(api, course, "raise_risk", {"level": "none"})
        shown = await details_of(api, course)
        assert (shown["risk"]["level"], shown["risk_plan"]) == ("acute", "Safety plan.")

    api(test)


def test_evidence_of_risk_that_was_taken_back_is_shown_once_as_what_it_was(api):
    async def test(api):
        course = (await api.open())["id"]
        seen = await fire(api, course, "record_measure", {**SYMPTOMS, "items": [2] * 8 + [1]})
        for supersedes in (seen["seq"], seen["seq"] + 1):
            void = {"supersedes": supersedes, "void": True}
            answer = await api.fire(course, "amend", void, "supervisor", reason="Typed on the wrong line, or not.")
            assert answer.status_code == 201, answer.text
            shown = (await details_of(api, course))["risk_history"]
            assert [(each["seq"], each["trigger"], each["instrument"]) for each in shown] == [
                (seen["seq"], "record_measure", "phq9@1")
            ]

    api(test)


def test_what_moved_to_the_right_client_is_shown_there_alone(api):
    async def test(api):
        wrong, right = [(await api.open(ref))["id"] for ref in ("EHR-1", "EHR-2")]
        scale = await fire(api, wrong, "record_measure", SYMPTOMS)
        call = await fire(api, wrong, "record_contact", {"kind": "crisis", "medium": "telephone", "risk": True})
        moved = {"course": right, "entries": [scale["seq"], call["seq"]]}
        answer = await api.fire(wrong, "move_entries", moved, "supervisor", reason="Another client.")
        assert answer.status_code == 201, answer.text
        here, there = [await details_of(api, course) for course in (wrong, right)]
        assert (here["scores"], here["contacts"], here["risk_history"]) == ({}, {}, [])
        assert ([*there["scores"]], [*there["contacts"]], len(there["risk_history"])) == (["phq9@1"], ["crisis"], 1)

    api(test)


def test_the_next_appointment_is_the_first_that_is_still_to_come(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        first = START + 7 * DAY
        written = await api.fire(course, "book_series", {"scheduled_for": first.isoformat(), "times": 2})
        assert written.json()["course"]["next_appointment"] == first.isoformat().replace("+00:00", "Z")
        clock.set(first + DAY)
        shown = await details_of(api, course)
        assert [dt.datetime.fromisoformat(each["scheduled_for"]) for each in shown["appointments"]] == [first, first + 7 * DAY]
        assert dt.datetime.fromisoformat(shown["next_appointment"]) == first + 7 * DAY
        listed = (await api.get("/v1/courses")).json()["items"][0]
        assert listed["next_appointment"] == shown["next_appointment"]

    api(test, clock)


def test_exemptions_end_on_their_day_or_with_the_sick_role(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, *FIRST_PHASE)
        until = [(START + days * DAY).date().isoformat() for days in (7, 70)]
        exemptions = [{"obligation": f"Until {day}", "until": day} for day in until]
        await fire(api, course, "update_sick_role", {"exemptions": exemptions})
        await fire(api, course, "update_sick_role", {"response": "ambivalent"})
        clock.advance(8 * DAY)
        shown = (await details_of(api, course))["exemptions"]
        assert [(each["until"], each["over"]) for each in shown] == [(until[0], True), (until[1], False)]
        await fire(api, course, "update_sick_role", {"exemptions": []})
        assert (await details_of(api, course))["exemptions"] == []

    api(test, clock)


def test_an_earlier_moment_shows_what_was_so_then(api):
    clock = VirtualClock(START)

    async def test(api):
        course = (await api.open())["id"]
        await fire(api, course, "record_contact", {"kind": "check_in"})
        clock.advance(DAY)
        await fire(api, course, "record_contact", {"kind": "check_in"}, occurred_at=START.isoformat())
        day_before = (START + 0.5 * DAY).isoformat().replace("+00:00", "Z")
        counts = [
            (await details_of(api, course, query=query))["contacts"]["check_in"]["count"]
            for query in (f"?known_at={day_before}", f"?as_of={day_before}", "")
        ]
        assert counts == [1, 2, 2]

    api(test, clock)


def test_erased_words_are_null_and_the_rest_stays(api, settings):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]
        await api.walk(course, *FIRST_PHASE, "agree_contract", "raise_risk")
        erase(settings.database_url)
        shown = await details_of(api, course, "auditor")
        assert (shown["goals"], shown["formulation"]["version"], shown["formulation"]["crisis"]) == ([], 1, None)
        assert [(each["obligation"], each["until"] is None) for each in shown["exemptions"]] == [(None, False)]
        assert (shown["risk_plan"], shown["risk_history"][0]["plan"], shown["risk_history"][0]["level"]) == (None, None, "elevated")

    api(test)


def test_answers_to_transitions_and_lists_leave_the_details_out(api):
    async def test(api):
        course = (await api.open())["id"]
        written = (await api.fire(course, "note", {"text": "x"})).json()["course"]
        listed = (await api.get("/v1/courses")).json()["items"][0]
        assert not OWN.intersection(written)
        assert not OWN.intersection(listed)
        assert set(await details_of(api, course)) == set(written) | OWN

    api(test)


def test_details_are_bounded(api, monkeypatch):
    monkeypatch.setattr(details, "SCORES_MAX", 2)
    monkeypatch.setattr(details, "RISKS_MAX", 2)

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        for _ in range(3):
            await fire(api, course, "record_measure", SYMPTOMS)
            await fire(api, course, "raise_risk", {"level": "elevated"})
        shown = await details_of(api, course)
        assert (len(shown["scores"]["phq9@1"]), len(shown["risk_history"])) == (2, 2)
        assert shown["scores"]["phq9@1"][-1]["seq"] == shown["version"] - 1

    api(test)
