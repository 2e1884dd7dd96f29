"""A course of twelve sessions in few calls: the evening after a session, one request tells all of it."""

import datetime as dt
from typing import Any, get_args

from support.course_walk import FUNCTIONING, SUPPORT, SYMPTOMS
from support.http_client import START, Api

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.values.types import HistoryPart

CALLS_MAX = 25
WEEK, HOUR = dt.timedelta(weeks=1), dt.timedelta(hours=1)
TEXT = "What the client tells."
HISTORY = get_args(HistoryPart)
INVENTORY = ("current_relationships", "capacity_for_intimacy", "social_patterns", "changes_in_relationships")
VULNERABILITIES = ("attachment_style", "genetic_vulnerability", "personality", "temperament")


class Therapist:
    """A client of the API that counts its calls. It knows the version from the last answer, and the time of the last session."""

    def __init__(self, api: Api, clock: VirtualClock) -> None:
        self.api, self.clock = api, clock
        self.calls, self.etag, self.course = 0, "", ""
        self.session_at = START

    async def refer(self) -> None:
        data = {"source": "General practitioner", "indication": "depression"}
        self._keep(await self.api.post("/v1/courses", {"client_ref": "EHR-1", "protocol": "ipt", "data": data}))

    async def evening(self, *after: dict[str, Any], before: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
        """Tells a session and what belongs to it, a week after the last one. The session is signed at the end."""
        self.session_at = self.session_at + WEEK if self.calls > 1 else START
        self.clock.set(self.session_at + 8 * HOUR)
        held = {**fired("record_session", attendance="5", minutes=50), "occurred_at": self.session_at.isoformat()}
        earlier = [{**each, "occurred_at": self.session_at.isoformat()} for each in before]
        signed = fired("sign_session", session={"together": len(before)}, focus="role_transition" if self.calls > 3 else None)
        body = {"together": [*earlier, held, signed, *after]}
        return self._keep(await self.api.post(f"/v1/courses/{self.course}/transitions", body, If_Match=self.etag))

    def _keep(self, answer: Any) -> dict[str, Any]:
        assert answer.status_code == 201, answer.text
        self.calls += 1
        self.etag, self.course = answer.headers["etag"], answer.json()["course"]["id"]
        return answer.json()["course"]


def fired(trigger: str, **data: Any) -> dict[str, Any]:
    return {"trigger": trigger, "data": {name: value for name, value in data.items() if value is not None}}


def measured(*scales: dict[str, Any]) -> list[dict[str, Any]]:
    return [fired("record_measure", **scale) for scale in scales]


async def first_phase(therapist: Therapist) -> None:
    await therapist.evening(
        fired("record_evaluation", diagnosis="Depressive episode, moderate"),
        fired("record_history", **dict.fromkeys(HISTORY, TEXT)),
        fired("record_timeline", events=[{"when": "In spring", "event": "Retired"}]),
        *measured(SYMPTOMS, FUNCTIONING, SUPPORT),
        before=(fired("record_consent", scope="treatment"), fired("start")),
    )
    await therapist.evening(
        fired("record_inventory", people=[{"id": "p1"}], **dict.fromkeys(INVENTORY, TEXT)),
        fired("record_formulation", crisis=TEXT, vulnerabilities=dict.fromkeys(VULNERABILITIES, TEXT), social_support=TEXT),
        fired("accept_formulation", version={"together": 3}, response="accepts"),
        fired("select_focus", primary="role_transition", old_role="Employee", new_role="Retired"),
        fired("assign_sick_role", mode="full", illness_named="Depression", no_blame=True, recovery_work=[TEXT], response="accepts"),
    )
    at = (therapist.session_at + 2 * WEEK).isoformat()
    await therapist.evening(
        fired("agree_contract", sessions=12, weeks=12, goals=[TEXT], client_agrees=True, therapist_agrees=True),
        fired("book_series", scheduled_for=at, times=9),
        fired("begin_middle"),
    )


async def last_phase(therapist: Therapist) -> dict[str, Any]:
    await therapist.evening()
    await therapist.evening(fired("record_gains", gains=[TEXT]), fired("record_independence", does_alone=[TEXT]))
    return await therapist.evening(
        fired("plan_for_recurrence", anticipate=[TEXT], identify=[TEXT], manage=[TEXT]),
        fired("decide_continuation", decision="none"),
        fired("relinquish_sick_role"),
        *measured({"instrument": "phq9", "items": [0] * 9}, FUNCTIONING, SUPPORT),
        fired("complete", outcome="remission"),
    )


def test_a_course_of_twelve_sessions_takes_few_calls(api):
    clock = VirtualClock(START)

    async def test(api):
        therapist = Therapist(api, clock)
        await therapist.refer()
        await first_phase(therapist)
        for _ in range(4):
            await therapist.evening(*measured(SYMPTOMS))
        await therapist.evening(fired("announce_ending"))
        await therapist.evening(fired("begin_final"))
        course = await last_phase(therapist)
        assert (course["state"], course["counters"]["attended"]) == ("completed", {"initial": 3, "middle": 6, "final": 3})
        assert (course["next_appointment"], [each["signed"] for each in course["sessions"]]) == (None, [True] * 12)
        assert therapist.calls <= CALLS_MAX
        assert therapist.calls == 13, "docs/http.md says so"

    api(test, clock)
