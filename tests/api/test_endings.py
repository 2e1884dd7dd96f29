"""How courses end, as a therapist tells it over HTTP: readings afterwards, a client who became worse, an ending that was agreed early."""

import datetime as dt
from functools import partial

import pytest
from support.http_client import OPERATOR, START, Api

from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.tokens import NewToken, Tokens

WEEK = dt.timedelta(days=7)
DAY = dt.timedelta(days=1)
FIRST = (
    "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation",
    "assign_sick_role", "select_focus", "agree_contract",
)  # fmt: skip
FINAL = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role")
OTHER_AIMS = (("ifr", 6), ("mspss", 50))


class Therapy:
    """A course of 12 weekly sessions in 12 weeks, told on the day."""

    def __init__(self, api: Api, clock: VirtualClock) -> None:
        self.api = api
        self.clock = clock
        self.course = ""

    async def seen(self) -> dict:
        return (await self.api.get(f"/v1/courses/{self.course}")).json()

    async def told(self, trigger: str, data: dict | None = None, **more) -> dict:
        answer = await self.api.fire(self.course, trigger, data, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()["course"]

    async def refused(self, trigger: str, data: dict | None = None, **more) -> dict[str, str]:
        """The rules that refuse, each with its severity."""
        answer = await self.api.fire(self.course, trigger, data, **more)
        assert answer.status_code == 409, answer.text
        return {each["rule"]: each["severity"] for each in answer.json()["refusals"]}

    async def later(self, by: dt.timedelta) -> None:
        """Goes on after so long, with new tokens."""
        self.clock.advance(by)
        service: Tokens = self.api.services.tokens
        for role in ("therapist", "supervisor", "auditor"):
            new = NewToken(role=role, name=f"{role}-later", subject=f"{role}-1")
            self.api.tokens[role] = (await service.create(OPERATOR, new)).token

    async def sessions(self, count: int) -> None:
        for _ in range(count):
            await self.api.walk(self.course, "record_session", "sign_session")
            self.clock.advance(WEEK)

    async def measured(self, symptoms: int, scale: str = "phq9") -> dict:
        return await self.told("record_measure", {"instrument": scale, "total": symptoms})

    async def in_middle(self, symptoms: int, sessions: int = 8) -> None:
        self.course = (await self.api.open())["id"]
        await self.api.walk(self.course, "record_consent", "start")
        await self.sessions(1)
        await self.measured(symptoms)
        for scale, total in OTHER_AIMS:
            await self.measured(total, scale)
        await self.api.walk(self.course, *FIRST, "begin_middle")
        await self.sessions(sessions)
        await self.api.walk(self.course, "announce_ending")

    async def ready_to_complete(self, first: int, last: int, sessions: int = 3) -> None:
        """In the final phase after so many of its sessions, with its work done, on the day of the last of them."""
        await self.in_middle(first)
        await self.api.walk(self.course, "begin_final")
        await self.sessions(sessions)
        self.clock.advance(DAY - WEEK if sessions == 0 else -WEEK)
        await self.api.walk(self.course, *FINAL)
        await self.measured(last)
        for scale, total in OTHER_AIMS:
            await self.measured(total, scale)


@pytest.fixture
def therapy(api, clock):
    """Runs a coroutine function with a `Therapy`."""

    def run(test) -> None:
        async def inside(api):
            await test(Therapy(api, clock))
            verified = (await api.get("/v1/audit/verify", "auditor")).json()
            assert verified["ok"], verified

        api(inside, clock)

    return run


def test_a_reading_three_months_after_the_ending_is_follow_up_and_changes_no_outcome(therapy):
    async def told(course):
        await course.ready_to_complete(16, 4)
        ended = await course.told("complete", {"outcome": "remission"})
        assert (ended["outcome"]["recovery"], ended["progress"]) == (True, "session 12 of 12, week 12 of 12")

        await course.later(90 * DAY)
        after = await course.measured(17)
        assert (after["outcome"], after["progress"], after["clock"]) == (ended["outcome"], ended["progress"], ended["clock"])
        before, scale = ended["measures"]["phq9@1"], after["measures"]["phq9@1"]
        assert {**scale, "follow_up": None} == before
        follow_up = scale["follow_up"]
        assert (follow_up["count"], follow_up["last"]["total"], follow_up["change"]["improvement"]) == (1, 17, -1)
        assert after["ending"]["outcome"] == "remission"

        late = await course.told(
            "record_measure", {"instrument": "gad7", "total": 12, "taken_at": (START + WEEK).isoformat()}, reason="Found on paper."
        )
        assert late["measures"]["gad7@1"]["baseline"]["total"] == 12  # it was taken before the ending

    therapy(told)


def test_a_client_who_became_worse_is_not_told_as_better_and_may_be_told_as_worse(therapy):
    async def told(course):
        await course.ready_to_complete(16, 22)
        complete = partial(course.refused, "complete")
        assert await complete({"outcome": "remission"}) == {"outcome_fits_measures": "soft", "alternative_offered": "hard"}
        assert await complete({"outcome": "not_known"}) == {"alternative_offered": "hard"}
        await course.told(
            "decide_continuation", {"decision": "alternative", "plan": "Medication and a review by the psychiatrist."}
        )
        assert await complete({"outcome": "remission"}) == {"outcome_fits_measures": "soft"}
        ended = await course.told("complete", {"outcome": "deterioration"})
        assert (ended["state"], ended["ending"]["outcome"]) == ("completed", "deterioration")
        assert ended["outcome"]["reliable_deterioration"]

    therapy(told)


def test_after_consent_is_withdrawn_no_phase_begins_and_what_took_place_is_recorded(therapy):
    async def told(course):
        await course.in_middle(16, sessions=7)
        await course.told("withdraw_consent", {"scope": "treatment"})
        await course.api.walk(course.course, "record_session", "sign_session")
        await course.measured(15)
        assert await course.refused("begin_final") == {"consent_not_withdrawn": "hard"}
        assert (await course.seen())["state"] == "middle"
        await course.told("record_consent", {"scope": "treatment"})
        assert (await course.told("begin_final"))["state"] == "final"

        await course.told("withdraw_consent", {"scope": "treatment"})
        assert "consent_not_withdrawn" in await course.refused("complete", {"outcome": "response"})
        assert (await course.api.example(course.course, "end_early")).status_code == 201

    therapy(told)


def test_an_ending_agreed_in_session_10_of_12_is_ended_by_agreement_and_not_completed(therapy):
    async def told(course):
        await course.ready_to_complete(16, 4, sessions=1)
        agreed = {
            "end_code": "46",
            "outcome": "remission",
            "last_contact": course.clock.now().date().isoformat(),
            "risk_status": "none",
        }
        ended = await course.told("end_early", agreed, reason="Both find that the work is done.")
        assert (ended["state"], ended["progress"]) == ("ended_early", "session 10 of 12, week 10 of 12")
        ending = ended["ending"]
        assert (ending["end_code"], ending["outcome"], ending["left"], ending["owed"]) == ("46", "remission", "final", [])
        assert ended["outcome"]["recovery"]
        assert "owed" not in ended["attention"]
        followed = await course.told("open_followup", {"protocol": "ipt-maintenance"})
        assert (followed["state"], followed["followed_by"] is not None) == ("ended_early", True)

    therapy(told)
