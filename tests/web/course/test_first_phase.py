"""The pages of the inventory with its closeness circle, of the formulation, and of the risk review."""

import pytest
from support.service_walk import THERAPIST, fire, open_course, walk

from ipt_workflow.course.triggers import Command

RINGS = ("Inner circle", "Middle circle", "Outer circle")


async def started(pages) -> str:
    course = await open_course(pages.clinic)
    await walk(pages.clinic, course, "record_consent", "start")
    return course


async def opened(pages, course: str, trigger: str):
    return await (await pages.visitor()).open(f"/courses/{course}/do/{trigger}")


async def last(pages, course: str):
    return (await pages.clinic.entries(course))[-1]


def in_circle(visitor) -> list[str]:
    """The names in the drawing."""
    return [each.text for each in visitor.tree.one("svg").all("text")]


def test_people_are_added_drawn_and_recorded_without_a_label_being_typed(browse):
    async def test(pages):
        course = await started(pages)
        visitor = await opened(pages, course, "record_inventory")
        visitor.fill("Name", "Ruth", "Person 1").fill("Who they are to the client", "mother", "Person 1").choose(
            RINGS[0], "How close"
        )
        await visitor.press("Add a person")
        visitor.fill("Name", "Jan", "Person 2")
        await visitor.press("Draw the circle again")
        assert in_circle(visitor) == ["Client", "Ruth"]
        assert "Inner circle: Ruth. In no circle: Jan." in visitor.text
        await visitor.press("Record the inventory")
        assert visitor.path == f"/courses/{course}"
        people = (await last(pages, course)).document.data["people"]
        assert people == [
            {"id": "p1", "name": "Ruth", "relationship": "mother", "closeness": "Inner circle"},
            {"id": "p2", "name": "Jan"},
        ]

    browse(test)


def test_the_next_inventory_goes_on_from_the_one_before(browse):
    async def test(pages):
        course = await started(pages)
        ruth = {"id": "mother", "name": "Ruth", "closeness": "Inner circle"}
        await fire(pages.clinic, course, Command("record_inventory", {"people": [ruth], "social_patterns": "Avoids quarrels."}))
        await fire(pages.clinic, course, Command("record_inventory", {"people": [{"id": "p1", "name": "Jan"}]}))
        visitor = await opened(pages, course, "record_inventory")
        assert visitor.value(visitor.control("Name", "Ruth")) == "Ruth"
        assert visitor.value(visitor.control("Patterns with others")) == "Avoids quarrels."
        await visitor.press("Add a person")
        visitor.fill("Name", "Mia", "Person 3")
        await visitor.press("Record the inventory")
        people = (await last(pages, course)).document.data["people"]
        assert [each["id"] for each in people] == ["mother", "p1", "p2"]
        assert people[0] == ruth

    browse(test)


def test_closeness_in_other_words_stays_as_it_was_written(browse):
    async def test(pages):
        course = await started(pages)
        jan = {"id": "p1", "name": "Jan", "closeness": "like a brother"}
        await fire(pages.clinic, course, Command("record_inventory", {"people": [jan]}))
        visitor = await opened(pages, course, "record_inventory")
        assert visitor.value(visitor.control("like a brother")) == "like a brother"
        await visitor.press("Record the inventory")
        assert (await last(pages, course)).document.data["people"] == [jan]

    browse(test)


def test_somebody_who_died_is_marked_in_words(browse):
    async def test(pages):
        course = await started(pages)
        people = [{"id": "p1", "name": "Otto", "closeness": "Middle circle", "deceased": True}]
        await fire(pages.clinic, course, Command("record_inventory", {"people": people}))
        visitor = await opened(pages, course, "record_inventory")
        assert in_circle(visitor) == ["Client", "Otto (died)"]

    browse(test)


@pytest.mark.parametrize("name", ['<script>alert("x")</script>', "O'Neill & Söhne"])
def test_a_name_in_the_circle_is_text(browse, name):
    async def test(pages):
        course = await started(pages)
        await fire(
            pages.clinic, course, Command("record_inventory", {"people": [{"id": "p1", "name": name, "closeness": RINGS[0]}]})
        )
        visitor = await opened(pages, course, "record_inventory")
        assert in_circle(visitor) == ["Client", name]
        assert visitor.tree.all("script") == []

    browse(test)


def test_the_formulation_goes_on_from_the_one_before(browse):
    async def test(pages):
        course = await started(pages)
        before = {
            "crisis": "The move.",
            "vulnerabilities": {"attachment_style": "anxious"},
            "plain_words": "It began with the move.",
        }
        await fire(pages.clinic, course, Command("record_formulation", before))
        visitor = await opened(pages, course, "record_formulation")
        assert "This goes on from formulation 1." in visitor.text
        visitor.fill("Social support", "Her sister.")
        await visitor.press("Record the formulation")
        entry = await last(pages, course)
        assert entry.document.data == {**before, "social_support": "Her sister."}
        assert entry.written.data["version"] == 2

    browse(test)


def test_a_void_record_is_not_gone_on_from(browse):
    async def test(pages):
        course = await started(pages)
        seq = (await fire(pages.clinic, course, Command("record_formulation", {"crisis": "Somebody else's."}))).entries[0].seq
        wrong = Command("amend", {"supersedes": seq, "void": True}, reason="It was about somebody else.")
        await fire(pages.clinic, course, wrong)
        visitor = await opened(pages, course, "record_formulation")
        assert visitor.value(visitor.control("Crisis")) == ""
        assert "Somebody else's" not in visitor.text

    browse(test)


def test_the_risk_review_shows_what_is_known_and_proposes_no_judgement(browse):
    async def test(pages):
        course = await started(pages)
        acute = {"level": "acute", "plan": "Hospital tonight.", "told": ["GP"]}
        await fire(pages.clinic, course, Command("raise_risk", acute))
        visitor = await opened(pages, course, "review_risk")
        for words in ("Acute", "Seen on", "Hospital tonight.", "GP"):
            assert words in visitor.text
        assert visitor.value(visitor.control("No risk")) is None
        await visitor.press("Record the risk review")
        assert visitor.status == 422
        visitor.choose("Elevated").fill("Plan", "Call on Friday.").fill(
            "Why is the risk lower now?", "She is safe at her sister's."
        )
        await visitor.press("Record the risk review")
        risk = (await pages.clinic.visible_course(THERAPIST, course)).course.risk
        assert (risk.level, risk.open_since) == ("elevated", None)

    browse(test)


@pytest.mark.rest
def test_pictures_of_the_inventory_and_the_risk_review_are_kept(browse, picture):
    async def test(pages):
        course = await started(pages)
        people = [
            {"id": "p1", "name": "Ruth", "closeness": RINGS[0]},
            {"id": "p2", "name": "Jan", "closeness": RINGS[0]},
            {"id": "p3", "name": "Otto", "closeness": RINGS[1], "deceased": True},
            {"id": "p4", "name": "Mia"},
            {"id": "p5", "name": "Colleague", "closeness": RINGS[2]},
        ]
        await fire(pages.clinic, course, Command("record_inventory", {"people": people}))
        picture(await opened(pages, course, "record_inventory"), "inventory")
        picture(await opened(pages, course, "review_risk"), "risk-review", "dark")

    browse(test)


@pytest.mark.parametrize("trigger", ["record_inventory", "record_formulation", "review_risk"])
def test_these_pages_are_accessible_with_and_without_errors(browse, axe, trigger):
    async def test(pages):
        course = await started(pages)
        people = [{"id": "p1", "name": "Ruth", "closeness": RINGS[0]}, {"id": "p2", "name": "Jan", "closeness": "like a brother"}]
        await fire(pages.clinic, course, Command("record_inventory", {"people": people}))
        visitor = await opened(pages, course, trigger)
        axe(visitor)
        visitor.fill("When it happened", "soon")
        await visitor.press(visitor.buttons()[-1])
        assert visitor.status == 422
        axe(visitor)

    browse(test)
