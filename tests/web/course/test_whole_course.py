"""A whole course by the forms alone: from the referral to the completion, twelve sessions in twelve weeks."""

import datetime as dt
from typing import Any

import pytest

WEEK = dt.timedelta(days=7)
Step = tuple[str, str, tuple[tuple[str, ...], ...], dict[str, str]]  # trigger, button, what is chosen, what is typed


class Therapist:
    """A therapist at a browser without scripts, with one course."""

    def __init__(self, site: Any, clock: Any) -> None:
        self.site = site
        self.clock = clock
        self.course = ""

    async def refer(self) -> None:
        self.page = await self.site.visitor()
        page = await self.page.open("/courses/new")
        page.fill("Reference of the client", "EHR-1").fill("Who refers", "General practice").fill("Why IPT", "Depression")
        await page.press("Open the course")
        self.course = page.path

    async def take(self, *steps: Step) -> None:
        """Opens the form of each trigger, chooses and fills in, and sends it. Each must be recorded."""
        for trigger, button, choices, filled in steps:
            page = await self.page.open(f"{self.course}/do/{trigger}")
            for choice in choices:
                page.choose(*choice)
            for label, value in filled.items():
                page.fill(label, value)
            await page.press(button)
            assert (page.path, page.status) == (self.course, 200), f"{trigger}: {page.status} {page.errors} {page.text}"

    async def session(self) -> None:
        self.clock.advance(WEEK)
        self.page = await self.site.visitor()
        await self.take(
            step("record_session", "Record the session", ("Attended", "What happened")),
            step("sign_session", "Sign", Summary="The week and the mood."),
        )

    async def begin_middle_with_a_reason(self) -> None:
        """Parts of the history could not be obtained: a reason will do."""
        page = await self.page.open(f"{self.course}/do/begin_middle")
        assert "Missing, a reason will do" in page.text
        await page.press("Begin the middle phase")
        page.fill("Why do you go on all the same?", "The client does not remember.")
        await page.press("Begin the middle phase all the same")
        assert page.path == self.course, f"{page.status} {page.text}"

    async def scores(self, number: int) -> None:
        for scale, totals in SCALES.items():
            await self.take(step("record_measure", "Record the score", Scale=scale, Total=totals[number]))


HISTORY = ("Beginning of the present episode", "Earlier episodes", "Earlier treatment", "Family history")
NOT_OBTAINED = "Could not be obtained"
SCALES = {
    "Patient Health Questionnaire (PHQ-9)": ("17", "4"),
    "Interpersonal functioning rating (0-10)": ("4", "8"),
    "Multidimensional Scale of Perceived Social Support (MSPSS)": ("40", "66"),
}


def step(trigger: str, button: str, *choices: tuple[str, ...], **filled: str) -> Step:
    return trigger, button, choices, filled


def told(*labels: str) -> dict[str, str]:
    return dict.fromkeys(labels, "Told in the session.")


FIRST = (
    step("record_evaluation", "Record the evaluation", Diagnosis="Depressive episode."),
    step(
        "record_history",
        "Record the history",
        ("Medication", NOT_OBTAINED),
        ("Earlier suicidal behaviour", NOT_OBTAINED),
        ("Physical illness, alcohol and drugs", NOT_OBTAINED),
        **told(*(f"{part} (optional)" for part in HISTORY)),  # each is a box to tick too
    ),
    step(
        "assign_sick_role",
        "Give the sick role",
        ("You said that the client is not to blame for the illness",),
        ("Accepts it", "The client's response"),
        **{"The illness, as you named it to the client": "Depression", "What the client does to recover": "Comes to the sessions."},
    ),
)
SECOND = (
    step(
        "record_inventory",
        "Record the inventory",
        **{"Short name in this course": "partner", "Who they are to the client": "Husband"},
        **told("Present relationships", "Capacity for intimacy", "Patterns with others"),
        **told("Changes in relationships around the beginning of the illness"),
    ),
    step("record_timeline", "Record the timeline", When="Last spring", **{"What happened": "They moved here."}),
    step(
        "record_formulation",
        "Record the formulation",
        **told("Crisis", "Attachment", "Genetic vulnerability", "Personality", "Temperament", "Social support"),
    ),
    step("accept_formulation", "Record the response", ("Agrees", "The client's response")),
    step(
        "select_focus",
        "Choose the problem area",
        ("Role dispute", "Problem area"),
        ("partner", "People it is about"),
        **{"Stage of the dispute": "Renegotiation"},
    ),
    step(
        "agree_contract",
        "Agree the contract",
        ("The client agrees",),
        ("You agree",),
        **{"Number of sessions": "12", "Number of weeks": "12", "Goals": "Settle the dispute"},
    ),
)
LAST = (
    step("record_gains", "Record the gains", **told("What the client has gained")),
    step("record_independence", "Record it", **told("What the client now does without you")),
    step(
        "plan_for_recurrence",
        "Record the plan",
        **told("What could bring the illness back", "How the client would notice", "What the client would do"),
    ),
    step("decide_continuation", "Record the decision", ("Nothing further", "What follows")),
    step("relinquish_sick_role", "End the sick role"),
)


@pytest.mark.rest
def test_a_course_of_twelve_sessions_is_led_by_forms_alone(browse, clock):
    async def test(site):
        they = Therapist(site, clock)
        await they.refer()
        await they.take(
            step("record_consent", "Record the consent", ("Treatment", "Consent to")), step("start", "Begin the first phase")
        )
        await they.scores(0)
        await they.session()
        await they.take(*FIRST)
        await they.session()
        await they.take(*SECOND)
        await they.session()
        await they.begin_middle_with_a_reason()
        for _ in range(6):
            await they.session()
        await they.take(step("announce_ending", "Record that the ending was raised"), step("begin_final", "Begin the final phase"))
        for _ in range(3):
            await they.session()
        await they.scores(1)
        await they.take(*LAST, step("complete", "Complete the course", ("Well again (remission)", "How is the client now?")))
        api = await site.api()
        seen = (await api.get(f"/v1{they.course}")).json()
        assert (seen["state"], seen["counters"]["session"], seen["overrides"], seen["deviations"]) == ("completed", 12, 1, 0)

    browse(test)
