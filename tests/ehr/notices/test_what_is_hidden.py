"""What is hidden from a reader hides nothing that comes in: withdrawn sharing, and text that is masked for auditors."""

from support.ehr_sender import course, inbox, status
from support.http_client import OPERATOR

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.service.access.tokens import NewToken

RISKY = {"client_ref": "EHR-1", "instrument": "phq9", "items": [1] * 8 + [2], "taken_at": "2026-01-12T09:00:00Z", "ref": "F/1"}
SHARING = {"client_ref": "EHR-1", "scope": "sharing"}


def test_what_an_ehr_sends_about_a_course_that_it_may_not_read_is_applied_all_the_same(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.notify("consent.withdrawn", SHARING)) == "applied"
        assert (await api.get(f"/v1/courses/{course_id}", "ehr")).status_code == 404
        assert status(await ehr.notify("measure.completed", RISKY)) == "applied"
        assert "risk" in (await course(api, course_id))["attention"]
        assert status(await ehr.notify("consent.given", SHARING)) == "applied"
        assert (await api.get(f"/v1/courses/{course_id}", "ehr")).status_code == 200

    with_ehr(test, kind="standard-webhooks")


def test_a_notice_shows_an_auditor_who_must_unmask_nothing_of_what_it_says(with_ehr):
    async def test(api, ehr, course_id):
        assert status(await ehr.notify("client.deceased", {"client_ref": "EHR-1", "died_on": "2026-01-18"})) == "waiting"
        (known,) = await inbox(api)
        api.clinic.access_rules = AccessRules(auditor_text="unmask")
        for path in ("/v1/notices", f"/v1/notices/{known['id']}"):
            shown = (await api.get(path, "auditor")).json()
            shown = shown.get("items", [shown])[0]
            assert (shown["id"], shown["status"], shown["course"]) == (known["id"], "waiting", course_id)
            assert (shown["content"], shown["proposes"], shown["says"], shown["why"]) == (None, None, [], None)
        assert known["content"]["data"]["died_on"] == "2026-01-18"

    with_ehr(test, kind="standard-webhooks")


def test_a_colleague_with_emergency_access_sees_a_waiting_notice_and_does_not_decide_it(with_ehr):
    async def test(api, ehr, _course):
        assert status(await ehr.notify("client.deceased", {"client_ref": "EHR-1", "died_on": "2026-01-18"})) == "waiting"
        (known,) = await inbox(api)
        made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-2"))
        api.tokens["duty"] = made.token
        path = f"/v1/notices/{known['id']}"
        assert (await api.get(path, "duty")).status_code == 404
        colleague = Principal(person="therapist-2", role="therapist", via="cli")
        new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
        await api.services.emergencies.start(colleague, lambda: new)
        assert (await api.get(path, "duty")).status_code == 200
        for resolution in ({"action": "retry"}, {"action": "dismiss", "reason": "Nothing in it."}):
            answer = await api.post(f"{path}/resolve", resolution, "duty")
            assert (answer.status_code, "with emergency access" in answer.json()["detail"]) == (403, True)
        assert (await api.get(path)).json()["status"] == "waiting"

    with_ehr(test, kind="standard-webhooks")
