"""A group from its making to its last sessions by forms alone, in a real browser without scripts, with a member who joins late."""

import datetime as dt
from pathlib import Path

import pytest
from support import group_walk
from support.service_walk import AUDITOR, THERAPIST
from support.service_walk import walk as steps

from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import Opening

WEEK = dt.timedelta(days=7)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


async def begun(walkers, ref: str) -> str:
    """A course of a client who is ready for the group."""
    opening = Opening(
        client_ref=ref, protocol=group_walk.PROTOCOL, data={"source": "General practitioner", "indication": "depression"}
    )
    course = (await Courses(walkers.clinic).open_course(THERAPIST, lambda: opening)).course.id
    await steps(
        walkers.clinic, course, "record_contact", "record_consent", "start", *group_walk.FIRST_PHASE, *["record_measure"] * 3
    )
    return course


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
        courses = [await begun(walkers, ref) for ref in ("A", "B", "C")]
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
        for week in range(6):
            for course in courses[:2] if week == 0 else courses[2:] if week == 1 else ():
                await page.open(f"/courses/{course}/do/begin_middle")
                await page.press("Begin the middle phase")
                assert page.path == f"/courses/{course}", await page.text()
            page = await meets(walkers, clock, group, **({"B": "DNA"} if week == 1 else {}))
        register = await page.open(group)
        rows = [await each.locator("th, td").all_inner_texts() for each in await register.page.locator("tbody tr").all()]
        assert [row[1] for row in rows] == ["Attended", "Attended", "no member then\n–"], rows
        assert rows[1][3] == "DNA", rows
        seen = [(await walkers.clinic.visible_course(AUDITOR, course)).course for course in courses]
        assert [len(each.sessions) for each in seen] == [7, 7, 6]

    walk(test)
