"""A remedy that a refusal over HTTP offers is followed as it says: fired, proposed, or on the client's other course."""

import httpx
import pytest

LONG = {"sessions": 20, "weeks": 20, "goals": ["Feel well"], "client_agrees": True, "therapist_agrees": True}
NEEDING_A_SUPERVISOR = {
    "agree_contract": ({"data": LONG}, False),
    "extend_phase": ({"reason": "The client needs longer."}, True),
    "waive_sick_role": ({"reason": "It does not suit the client."}, True),
    "amend": ({"data": {"supersedes": 3, "void": True}, "reason": "It was not so."}, True),
}


def refused(answer: httpx.Response, rule: str) -> dict:
    assert answer.status_code == 409, answer.text
    (refusal,) = [each for each in answer.json()["refusals"] if each["rule"] == rule]
    return refusal


@pytest.mark.parametrize("trigger", NEEDING_A_SUPERVISOR)
def test_where_a_supervisor_must_agree_the_remedy_is_a_proposal_and_a_supervisor_is_named_only_who_may_fire_it(api, trigger):
    given, may = NEEDING_A_SUPERVISOR[trigger]
    body = {"trigger": trigger, **given}

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        answer = await api.fire(course, **body)
        assert answer.status_code == 409, answer.text
        (refusal,) = answer.json()["refusals"]
        proposing, *firing = refusal["remedies"]
        assert proposing == {"trigger": trigger, "roles": ["therapist"], "via": "proposal"}
        assert firing == ([{"trigger": trigger, "roles": ["supervisor"]}] if may else [])

        tried = await api.fire(course, **body, role="supervisor")
        assert tried.status_code != 403 if may else tried.status_code == 403, tried.text
        if tried.status_code == 201:
            return
        version = await api.version(course)
        made = await api.post(f"/v1/courses/{course}/proposals", body, If_Match=f'"{version}"')
        assert made.status_code in {201, 409}, made.text
        if made.status_code == 201:
            signed = await api.client.post(f"/v1/proposals/{made.json()['id']}/cosign", headers=api.headers("supervisor"))
            assert signed.status_code == 201, signed.text
        else:
            assert refusal["rule"] not in {each["rule"] for each in made.json()["refusals"]}

    api(test)


def test_a_second_referral_of_the_same_person_is_closed_by_a_supervisor_and_put_with_the_client(api):
    """The same person under two references. Nobody has taken up the second referral, so no therapist can close it."""

    async def test(api):
        first = await api.open("EHR-1")
        body = {"client_ref": "EHR-1B", "protocol": "ipt", "data": {"source": "General practitioner"}}
        second = (await api.post("/v1/courses", body, role="ehr")).json()["course"]["id"]
        merge = {"data": {"kind": "merge", "client_ref": "EHR-1"}, "reason": "One person, two records."}
        refusal = refused(await api.fire(second, "relink_client", role="supervisor", **merge), "one_active_course")
        assert {(each["trigger"], each["course"]) for each in refusal["remedies"]} >= {("decline", "other"), ("end_early", "other")}
        assert first["id"] not in str(refusal)

        closed = await api.fire(
            second,
            "decline",
            {"end_code": "50", "onward_plan": "See the other course."},
            role="supervisor",
            reason="Referred twice.",
        )
        assert closed.json()["course"]["state"] == "not_suitable"
        assert (await api.fire(second, "relink_client", role="supervisor", **merge)).status_code == 201

        await api.walk(first["id"], "record_consent", "start")
        begun = await api.fire(
            first["id"], "decline", {"end_code": "50", "onward_plan": "None."}, role="supervisor", reason="Late."
        )
        assert refused(begun, "declined_by_therapist")["remedies"] == [{"trigger": "decline", "roles": ["therapist"]}]

    api(test)


def test_a_session_by_e_mail_is_recorded_as_such(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        answer = await api.fire(course, "record_session", {"attendance": "5", "medium": "email", "minutes": 50})
        assert answer.status_code == 201, answer.text
        contact = await api.fire(course, "record_contact", {"kind": "check_in", "medium": "email"})
        assert contact.status_code == 201, contact.text
        shown = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert [each["data"]["medium"] for each in shown if "medium" in each["data"]] == ["email", "email"]

    api(test)
