"""A day that writes to most tables."""

import datetime as dt

from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import verification
from support.ehr_sender import Ehr
from support.fhir_bodies import START, encounter
from support.http_client import running
from support.receivers import other_side


async def a_busy_day(settings: Settings) -> None:
    """A course with a proposal, an EHR's message, a delivery, old rows to remove: what writes to the most tables."""
    clock = VirtualClock(START)
    async with running(settings, clock) as api, other_side(clock) as other:
        ehr = await Ehr.register(api, kind="bearer", all_visits=True)
        made = await api.post("/v1/subscriptions", {"url": other.url}, "admin")
        assert made.status_code == 201, made.text
        other.trusts(made.json()["secret"])
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session", "sign_session")
        body = {"trigger": "extend_phase", "data": {}, "reason": "One more session is needed."}
        proposal = await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"5"')
        assert proposal.status_code == 201, proposal.text
        cosigned = await api.post(f"/v1/proposals/{proposal.json()['id']}/cosign", {}, "supervisor")
        assert cosigned.status_code in {201, 409}, cosigned.text
        assert (await ehr.fhir(encounter())).status_code < 300
        rotated = await api.post(f"/v1/subscriptions/{made.json()['subscription']['id']}/rotate", {}, "admin")
        assert rotated.status_code == 201, rotated.text
        assert (await api.post("/v1/sources/north/rotate", {"kind": "bearer"}, "admin")).status_code < 300
        relay = Relay(api.clinic)
        await relay.drain()
        clock.advance(dt.timedelta(days=60))
        await relay._prune()
        await relay.close()
        assert other.sequences(course)
        assert (await api.get("/health/ready")).status_code == 200
        assert (await verification.verify(api.clinic)).ok
