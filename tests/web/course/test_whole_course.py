"""Whole courses by the forms alone, in a real browser without scripts: from the referral to the completion, a week from session to session."""

import pytest
from support.therapist import LAST, WEEK, Step, Therapist, step, told

from ipt_workflow.runtime.clock import VirtualClock

HISTORY = ("Beginning of the present episode", "Earlier episodes", "Earlier treatment", "Family history")
NOT_OBTAINED = "Could not be obtained"


def agreed(sessions: int) -> Step:
    filled = {"Number of sessions": f"{sessions}", "Number of weeks": f"{sessions}", "Goals": "Settle the dispute"}
    return step("agree_contract", "Agree the contract", ("The client agrees",), ("You agree",), **filled)


BEGIN = (step("record_consent", "Record the consent", ("Treatment", "Consent to")), step("start", "Begin the first phase"))
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
        **{"Name": "Paul", "Who they are to the client": "Husband"},
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
        ("Paul", "People it is about"),
        **{"Stage of the dispute": "Renegotiation"},
    ),
)
TARGETS = step(
    "set_rhythm_target",
    "Set the target times",
    ("Out of bed", "Activity"),
    **{"Time": "07:30", "Minutes early or late that still meet it": "45"},
)


def rhythm(clock: VirtualClock) -> Step:
    """A week of which one day was written down."""
    day = f"{clock.now().date() - WEEK}"
    times = {"Out of bed": "07:40", "Dinner": "18:30", "To bed": "23:00"}
    filled = {"First day of the week": day, "Day": day, **times, "Mood, from -5 to 5": "-1"}
    return step("record_rhythm", "Record the week", ("Five activities (SRM-5)", "Form"), **filled)


@pytest.mark.rest
def test_a_course_of_twelve_sessions_is_led_by_forms_alone(walk, clock):
    async def test(walkers):
        they = Therapist(walkers, clock)
        await they.refer("Interpersonal Psychotherapy", "Depression")
        await they.take(*BEGIN)
        await they.scores(0)
        await they.session()
        await they.take(*FIRST)
        await they.session()
        await they.take(*SECOND, agreed(12))
        await they.session()
        await they.begin_middle_with_a_reason()
        for _ in range(6):
            await they.session()
        await they.take(step("announce_ending", "Record that the ending was raised"), step("begin_final", "Begin the final phase"))
        for _ in range(3):
            await they.session()
        await they.scores(1)
        await they.take(*LAST, step("complete", "Complete the course", ("Well again (remission)", "How is the client now?")))
        found = await they.recorded()
        assert (found.state, len(found.sessions), found.overrides, found.deviations) == ("completed", 12, 1, 0)

    walk(test)


@pytest.mark.rest
def test_a_course_of_ipsrt_with_its_rhythm_is_led_by_forms_alone(walk, clock):
    async def test(walkers):
        they = Therapist(walkers, clock)
        await they.refer("Interpersonal and Social Rhythm Therapy", "Bipolar disorder")
        await they.take(*BEGIN)
        await they.scores(0)
        await they.session()
        await they.take(*FIRST)
        await they.session()
        await they.take(
            *SECOND, agreed(16), rhythm(clock), step("record_prescriber_review", "Record the review", Findings="Lithium.")
        )
        await they.begin_middle_with_a_reason()
        await they.take(TARGETS)
        for _ in range(11):
            await they.session()
        await they.take(
            rhythm(clock),
            step("announce_ending", "Record that the ending was raised"),
            step("begin_final", "Begin the final phase"),
        )
        assert "Regularity of the social rhythm" in await (await they.page.open(they.course)).text()
        for _ in range(3):
            await they.session()
        await they.scores(1)
        await they.take(*LAST, step("complete", "Complete the course", ("Well again (remission)", "How is the client now?")))
        found = await they.recorded()
        assert (found.state, len(found.sessions)) == ("completed", 16)

    walk(test)
