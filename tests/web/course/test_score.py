"""A score outside a session: question by question, or by its total."""

import datetime as dt

import pytest
from support.service_walk import THERAPIST, fire, open_course, walk

from ipt_workflow.course.triggers import Command

PHQ9, EPDS = "Patient Health Questionnaire (PHQ-9)", "Edinburgh Postnatal Depression Scale (EPDS)"
TITLE = "Record a score"


async def started(pages) -> str:
    course = await open_course(pages.clinic)
    await walk(pages.clinic, course, "record_consent", "start")
    return course


async def opened(pages, course: str):
    return await (await pages.visitor()).open(f"/courses/{course}/do/record_measure")


def answered(visitor, *values: int):
    """Chooses an answer to each question of the scale that is shown."""
    legends = [each.text for each in visitor.tree.all("legend") if each.text.split(".")[0].isdecimal()]
    labels = ("0 – Not at all", "1 – Several days", "2 – More than half the days", "3 – Nearly every day")
    for legend, value in zip(legends, values, strict=True):
        visitor.choose(labels[value], legend)
    return visitor


async def last(pages, course: str):
    return (await pages.clinic.entries(course))[-1]


def test_a_score_takes_one_interaction_a_question_and_one_to_record_it(browse):
    async def test(pages):
        course = await started(pages)
        visitor = answered(await opened(pages, course), 1, 1, 1, 1, 1, 1, 1, 1, 0)
        await visitor.press("Record the score")
        assert (visitor.path, visitor.interactions) == (f"/courses/{course}", 10)
        entry = await last(pages, course)
        assert entry.written.data["total"] == 8
        assert entry.document.data["items"] == [1] * 8 + [0]

    browse(test)


def test_answers_that_show_risk_lead_to_the_risk_review(browse):
    async def test(pages):
        course = await started(pages)
        visitor = answered(await opened(pages, course), *[1] * 9)
        await visitor.press("Record the score")
        assert visitor.path == f"/courses/{course}/do/review_risk"
        assert "not reviewed yet" in visitor.text
        visitor.choose("To be watched").fill("Plan", "We talk about it each time.")
        await visitor.press("Record the risk review")
        risk = (await pages.clinic.visible_course(THERAPIST, course)).course.risk
        assert (risk.level, risk.open_since) == ("monitored", None)

    browse(test)


def test_another_scale_is_shown_before_it_is_filled_in(browse):
    async def test(pages):
        course = await started(pages)
        visitor = await opened(pages, course)
        visitor.fill("Scale", EPDS)
        await visitor.press("Show this scale")
        assert next(each.text for each in visitor.main.all("h2")) == EPDS
        visitor.fill(f"Total of the {EPDS}", "9")
        await visitor.press("Record the score")
        assert (await last(pages, course)).written.data["total"] == 9
        again = await opened(pages, course)
        assert next(each.text for each in again.main.all("h2")) == EPDS
        assert "Last time: 9" in again.text

    browse(test)


def test_a_scale_that_could_not_be_obtained_says_why(browse):
    async def test(pages):
        course = await started(pages)
        visitor = await opened(pages, course)
        visitor.choose("It could not be obtained")
        await visitor.press("Record the score")
        assert (visitor.status, len(visitor.errors)) == (422, 1)
        visitor.fill("Reason", "She did not want to.")
        await visitor.press("Record the score")
        assert (await last(pages, course)).written.data["not_obtained"] is True

    browse(test)


@pytest.mark.parametrize(
    ("total", "error"), [("28", "from 0 to 27"), ("many", "from 0 to 27"), ("7.5", "from 0 to 27"), ("", "Fill this in")]
)
def test_a_total_that_cannot_be_is_told_at_its_field(browse, total, error):
    async def test(pages):
        course = await started(pages)
        visitor = await opened(pages, course)
        visitor.fill(f"Total of the {PHQ9}", total)
        await visitor.press("Record the score")
        assert visitor.status == 422
        assert len(visitor.errors) == 1
        assert error in visitor.errors[0]

    browse(test)


def test_answers_and_a_total_are_not_given_together(browse):
    async def test(pages):
        course = await started(pages)
        visitor = answered(await opened(pages, course), *[0] * 9)
        visitor.fill(f"Total of the {PHQ9}", "3")
        await visitor.press("Record the score")
        assert visitor.errors == [f"{PHQ9}: Give either the answers or the total."]

    browse(test)


def test_a_score_of_another_day_is_recorded_there(browse):
    async def test(pages):
        course = await started(pages)
        pages.clinic.clock.advance(dt.timedelta(days=3))
        day = pages.clinic.clock.now() - dt.timedelta(days=2)
        visitor = answered(await opened(pages, course), *[0] * 9)
        visitor.fill("When it happened", day.strftime("%Y-%m-%dT%H:%M"))
        await visitor.press("Record the score")
        assert (await last(pages, course)).written.occurred_at == day.replace(second=0, microsecond=0)

    browse(test)


def test_the_page_of_scores_is_accessible_for_every_kind_of_scale(browse, axe):
    async def test(pages):
        course = await started(pages)
        visitor = await opened(pages, course)
        axe(visitor)
        for scale in (EPDS, "Work and Social Adjustment Scale (WSAS)", "Interpersonal functioning rating (0-10)"):
            visitor.fill("Scale", scale)
            await visitor.press("Show this scale")
            assert next(each.text for each in visitor.main.all("h2")) == scale
        axe(visitor)
        await fire(pages.clinic, course, Command("record_measure", {"instrument": "phq9", "items": [3] * 9}))
        answered(await opened(pages, course), *[3] * 9)
        await visitor.press("Record the score")
        axe(visitor)

    browse(test)
