"""A therapist who leads a course by the forms alone, in a real browser without scripts."""

import datetime as dt

from ipt_workflow.course import Course
from ipt_workflow.runtime.clock import VirtualClock
from support.service_walk import AUDITOR
from support.walkers import Hands, Walkers

WEEK = dt.timedelta(days=7)
Step = tuple[str, str, tuple[tuple[str, ...], ...], dict[str, str]]  # trigger, button, what is chosen, what is typed


class Therapist:
    """A therapist with one course, who signs in anew each week."""

    page: Hands

    def __init__(self, walkers: Walkers, clock: VirtualClock, course: str = "") -> None:
        """`course` is the address of a course that is open already."""
        self.walkers = walkers
        self.clock = clock
        self.course = course

    async def refer(self, form: str, why: str) -> None:
        self.page = await self.walkers.hands()
        page = await self.page.open("/courses/new")
        await page.fill("Reference of the client", "EHR-1")
        await page.fill("Form of IPT", form)
        await page.fill("Who refers", "General practice")
        await page.fill("Why IPT", why)
        await page.press("Open the course")
        self.course = page.path

    async def take(self, *steps: Step) -> None:
        """Opens the form of each trigger, chooses and fills in, and sends it. Each must be recorded."""
        for trigger, button, choices, filled in steps:
            page = await self.page.open(f"{self.course}/do/{trigger}")
            for choice in choices:
                await page.choose(*choice)
            for label, value in filled.items():
                await page.fill(label, value)
            await page.press(button)
            assert page.path == self.course, f"{trigger}: {await page.text()}"

    async def session(self) -> None:
        """The note of a session, in a week's time."""
        self.clock.advance(WEEK)
        await self.page.page.context.close()
        self.page = await self.walkers.hands()
        page = await self.page.open(f"{self.course}/session")
        await page.choose("Attended", "What happened")
        await page.choose(LEFT_OUT)
        await page.fill("Summary", "The week and the mood.")
        await page.press("Sign")
        assert page.path == self.course, await page.text()

    async def begin_middle_with_a_reason(self) -> None:
        """Parts of the history could not be obtained: a reason will do."""
        page = await self.page.open(f"{self.course}/do/begin_middle")
        assert "Missing, a reason will do" in await page.text()
        await page.press("Begin the middle phase")
        await page.fill("Why do you go on all the same?", "The client does not remember.")
        await page.press("Begin the middle phase all the same")
        assert page.path == self.course, await page.text()

    async def recorded(self) -> Course:
        return (await self.walkers.clinic.visible_course(AUDITOR, self.course.rpartition("/")[2])).course

    async def scores(self, number: int) -> None:
        for scale, totals in SCALES.items():
            page = await self.page.open(f"{self.course}/do/record_measure")
            await page.fill("Scale", scale)
            await page.press("Show this scale")
            await page.fill(f"Total of the {scale}", totals[number])
            await page.press("Record the score")
            assert page.path == self.course, await page.text()


LEFT_OUT = "Questions of the Patient Health Questionnaire (PHQ-9) were left out"
SCALES = {
    "Patient Health Questionnaire (PHQ-9)": ("17", "4"),
    "Interpersonal functioning rating (0-10)": ("4", "8"),
    "Multidimensional Scale of Perceived Social Support (MSPSS)": ("40", "66"),
}


def step(trigger: str, button: str, *choices: tuple[str, ...], **filled: str) -> Step:
    return trigger, button, choices, filled


def told(*labels: str) -> dict[str, str]:
    return dict.fromkeys(labels, "Told in the session.")


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
