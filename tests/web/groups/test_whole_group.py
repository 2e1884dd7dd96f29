"""A group from its making to the completion of its members' courses by forms alone, in a real browser without scripts, with a member who joins late."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support import group_walk
from support.service_walk import THERAPIST
from support.service_walk import walk as steps
from support.therapist import LAST, WEEK, Step, Therapist, step
from support.walkers import Hands

from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import Opening


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


BEGIN_MIDDLE = step("begin_middle", "Begin the middle phase")


async def begun(walkers, ref: str) -> str:
    """The address of a course of a client who is ready for the group."""
    opening = Opening(
        client_ref=ref, protocol=group_walk.PROTOCOL, data={"source": "General practitioner", "indication": "depression"}
    )
    course = (await Courses(walkers.clinic).open_course(THERAPIST, lambda: opening)).course.id
    await steps(
        walkers.clinic, course, "record_contact", "record_consent", "start", *group_walk.FIRST_PHASE, *["record_measure"] * 3
    )
    return f"/courses/{course}"


async def lead(members: Sequence[Therapist], page: Hands, *steps: Step) -> None:
    """The facilitator takes the same steps in the courses of several members."""
    for each in members:
        each.page = page
        await each.take(*steps)


async def joins(page, group: str, ref: str) -> None:
    await page.open(group)
    await page.follow("Add a member")
    await page.fill("Client", ref)
    await page.press("Add the member")
    assert page.path == group, await page.text()


async def meets(walkers, clock, group: str, **missing: str):
    """A week later the group meets, and its facilitator records and signs the session."""
    clock.advance(WEEK)
    page = await walkers.hands()
    await page.open(group)
    await page.follow("Record a session")
    await page.fill("Minutes", "90")
    for ref, what in missing.items():
        await page.fill("Attendance", what, ref)
    await page.press("Record the session")
    assert page.path == group, await page.text()
    await page.page.get_by_role("link", name="Sign the session of").click()
    await page.fill("Summary, for every member's course", "Each spoke of the week.")
    await page.press("Sign")
    assert page.path == group, await page.text()
    assert "Sessions that you have to sign" not in await page.text()
    return page


@pytest.mark.rest
def test_a_group_is_led_by_forms_alone(walk, clock):
    async def test(walkers):
        members = [Therapist(walkers, clock, await begun(walkers, ref)) for ref in ("A", "B", "C")]
        page = await walkers.hands()
        await page.open("/groups")
        await page.follow("Make a group")
        await page.fill("Name of the group", "G-7")
        await page.fill("Form of IPT", "A group of eight sessions")
        await page.press("Make the group")
        group = page.path
        for ref in ("A", "B"):
            await joins(page, group, ref)
        page = await meets(walkers, clock, group)
        await joins(page, group, "C")
        await lead(members[:2], page, BEGIN_MIDDLE)
        page = await meets(walkers, clock, group)
        await lead(members[2:], page, BEGIN_MIDDLE)
        page = await meets(walkers, clock, group, B="DNA")
        for _ in range(3):
            page = await meets(walkers, clock, group)
        await lead(members, page, step("announce_ending", "Record that the ending was raised"))
        page = await meets(walkers, clock, group)
        register = await page.open(group)
        rows = [await each.locator("th, td").all_inner_texts() for each in await register.page.locator("tbody tr").all()]
        assert [row[1] for row in rows] == ["Attended", "Attended", "no member then\n–"], rows
        assert rows[1][3] == "DNA", rows
        whole = members[:2]  # the third, who joined late, has a session to come
        await lead(whole, page, step("begin_final", "Begin the final phase"))
        page = await meets(walkers, clock, group)
        for each in whole:
            each.page = page
            await each.scores(1)
        await lead(
            whole, page, *LAST, step("complete", "Complete the course", ("Well again (remission)", "How is the client now?"))
        )
        seen = [await each.recorded() for each in members]
        assert [(each.state, len(each.sessions)) for each in seen] == [("completed", 8), ("completed", 8), ("middle", 7)]

    walk(test)
