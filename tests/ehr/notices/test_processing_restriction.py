"""What an EHR reports while processing of the client's data is restricted: risk and care pass, all else waits and is not lost."""

from support.ehr_sender import Ehr
from support.marks import end, mark

APPOINTMENT = {"client_ref": "EHR-1", "ref": "A/1", "attendance": "5"}
RISKY = {
    "client_ref": "EHR-1",
    "instrument": "phq9",
    "items": [1, 1, 1, 1, 1, 1, 1, 1, 3],
    "taken_at": "2026-01-05T09:00:00Z",
    "ref": "F/1",
}


def test_risk_passes_and_a_session_waits_until_the_restriction_is_lifted(api):
    async def test(api):
        course = (await api.open("EHR-1"))["id"]
        await api.walk(course, "record_consent", "start")
        north = await Ehr.register(api)
        restricted = await mark(api.clinic, "restriction")
        answer = await north.notify("measure.completed", RISKY)
        assert answer.json()["status"] == "applied", answer.text
        answer = await north.notify("consent.withdrawn", {"client_ref": "EHR-1", "scope": "recording"})
        assert answer.json()["status"] == "applied", answer.text
        held = (await north.notify("appointment.fulfilled", {**APPOINTMENT, "start": api.clinic.clock.now().isoformat()})).json()
        assert held["status"] == "waiting"
        listed = (await api.get(f"/v1/notices/{held['id']}")).json()
        assert [each["rule"] for each in listed["refusals"]] == ["processing_not_restricted"]
        assert (await api.get(f"/v1/notices/{held['id']}", "supervisor")).json()["type"] == "/problems/processing-restricted"
        referral = {"client_ref": "EHR-1", "protocol": "ipt", "source": "General practitioner", "indication": "depression"}
        assert (await north.notify("referral.received", referral)).json()["status"] == "waiting"
        await end(api.clinic, restricted.id)
        retried = await api.post(f"/v1/notices/{held['id']}/resolve", {"action": "retry"})
        assert (retried.status_code, retried.json()["status"]) == (200, "applied"), retried.text

    api(test)
