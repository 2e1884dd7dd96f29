"""The pages of groups: the register, a session for everybody, its signature, and members who join late or leave."""

from pathlib import Path
from typing import Any

import pytest
from support import group_walk

from ipt_workflow.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


async def prepared(site: Any, *refs: str) -> tuple[Any, str, list[str]]:
    """A group of therapist-1 and its members, who have begun."""
    api = await site.api()
    body = {"protocol": group_walk.PROTOCOL, "label": "G-1"}
    group = (await api.post("/v1/groups", body)).json()["group"]
    courses = [await begun(api, ref) for ref in refs]
    for number, course in enumerate(courses):
        answer = await api.post(f"/v1/groups/{group['id']}/members", {"course": course}, If_Match=f'"{number + 1}"')
        assert answer.status_code == 201, answer.text
    return api, group["id"], courses


async def begun(api: Any, ref: str) -> str:
    course = (await api.open(ref, protocol=group_walk.PROTOCOL))["id"]
    await api.walk(course, "record_contact", "record_consent", "start")
    return course


def choices(page: Any, number: int = 0) -> list[str]:
    return [cell for row in page.table(number)[1:] for cell in row]


def test_a_group_is_made_and_listed(browse, axe):
    async def test(site):
        await site.api()
        page = await (await site.visitor()).open("/groups")
        axe(page)
        await page.follow("Make a group")
        axe(page)
        await page.press("Make the group")
        assert page.status == 422
        assert len(page.errors) == 2
        axe(page)
        (title,) = [each.text for each in page.control("Form of IPT").all("option") if each["value"] == group_walk.PROTOCOL]
        page.fill("Name of the group", "G-7").fill("Form of IPT", title)
        await page.press("Make the group")
        assert page.heading == "G-7"
        axe(page)
        assert "G-7" not in page.title
        await page.open("/groups")
        assert "G-7" in choices(page)

    browse(test)


def test_a_session_is_recorded_for_every_member_and_signed(browse, axe, picture, clock):
    async def test(site):
        api, group, courses = await prepared(site, "EHR-1", "EHR-2")
        page = await (await site.visitor()).open(f"/groups/{group}")
        await page.follow("Record a session")
        axe(page)
        page.fill("Minutes (optional)", "90").fill("Attendance", "DNA", "EHR-2")
        await page.press("Record the session")
        assert page.path == f"/groups/{group}"
        axe(page)
        picture(page, "group")
        assert [row[1] for row in page.table()[1:]] == ["Attended", "DNA"]
        (sign,) = [text for text in page.links() if text.startswith("Sign the session of")]
        await page.follow(sign)
        axe(page)
        page.fill("Summary, for every member's course (optional)", "Introductions.").choose("Expressing and clarifying affect")
        await page.press("Sign")
        assert page.path == f"/groups/{group}", page.text
        assert "Sessions that you have to sign" not in page.text
        session = (await api.get(f"/v1/courses/{courses[0]}")).json()["sessions"][0]
        assert (session["minutes"], session["signed"]) == (90, True)

    browse(test)


def test_everything_that_is_wrong_with_a_session_is_said_and_what_was_typed_is_kept(browse, axe):
    async def test(site):
        _, group, _ = await prepared(site, "EHR-1")
        page = await (await site.visitor()).open(f"/groups/{group}/record")
        page.fill("Minutes (optional)", "many").fill("Attendance", "", "EHR-1")
        page.fill("Comment for this course alone (optional)", "Kept.", "EHR-1")
        await page.press("Record the session")
        assert (page.status, len(page.errors)) == (422, 2)
        axe(page)
        assert page.value(page.control("Comment for this course alone (optional)", "EHR-1")) == "Kept."

    browse(test)


def test_a_record_that_a_course_refuses_waits_in_the_inbox(browse, clock):
    async def test(site):
        _, group, _ = await prepared(site, "EHR-1")
        for _ in range(2):  # the first phase takes one session
            page = await (await site.visitor()).open(f"/groups/{group}/record")
            await page.press("Record the session")
            clock.advance(group_walk.WEEK)
        assert page.path == f"/groups/{group}"
        assert "waits in the inbox" in page.text

    browse(test)


def test_a_form_that_somebody_overtook_is_kept_and_sent_again(browse):
    async def test(site):
        api, group, _ = await prepared(site, "EHR-1")
        page = await (await site.visitor()).open(f"/groups/{group}/record")
        late = await begun(api, "EHR-3")
        assert (await api.post(f"/v1/groups/{group}/members", {"course": late}, If_Match='"2"')).status_code == 201
        page.fill("Comment for this course alone (optional)", "Kept.", "EHR-1")
        await page.press("Record the session")
        assert page.status == 412
        assert page.value(page.control("Comment for this course alone (optional)", "EHR-1")) == "Kept."
        page.fill("Attendance", "Attended", "EHR-3")
        await page.press("Record the session")
        assert page.path == f"/groups/{group}"

    browse(test)


def test_who_joins_late_is_told_of_what_the_group_has_held_and_who_leaves_says_why(browse, axe):
    async def test(site):
        api, group, _ = await prepared(site, "EHR-1")
        page = await (await site.visitor()).open(f"/groups/{group}/record")
        await page.press("Record the session")
        await begun(api, "EHR-2")
        await page.follow("Add a member")
        axe(page)
        assert "The group has met 1 time." in page.text
        await page.press("Add the member")
        assert page.status == 422
        axe(page)
        page.fill("Client", "EHR-2")
        await page.press("Add the member")
        assert [row[0] for row in page.table()[1:]] == ["EHR-1", "EHR-2"]
        await page.follow("Leaves the group: EHR-2")
        axe(page)
        await page.press("Leaves the group")
        assert page.status == 422
        page.fill("Why", "Moved away")
        await page.press("Leaves the group")
        assert "Moved away" in page.text

    browse(test)


def test_a_group_is_there_for_its_facilitators_and_supervisors_alone(browse):
    async def test(site):
        _, group, _ = await prepared(site, "EHR-1")
        stranger = await site.visitor("therapist-9")
        supervisor = await site.visitor("supervisor-1", "supervisor")
        for path in ("", "/record", "/join"):
            assert (await stranger.open(f"/groups/{group}{path}")).status == 404, path
        assert (await supervisor.open(f"/groups/{group}")).status == 200
        assert "Record a session" not in supervisor.links()
        assert (await supervisor.open(f"/groups/{group}/record")).status == 403

    browse(test)


def test_the_number_of_questions_does_not_grow_with_the_members(browse, statements):
    async def test(site):
        api, group, _ = await prepared(site, "EHR-1")
        page = await site.visitor()
        counted = []
        for round_ in (0, 1):
            for path in ("/groups", f"/groups/{group}", f"/groups/{group}/record"):
                with statements() as asked:
                    assert (await page.open(path)).status == 200
                counted.append(len(asked))
            if not round_:
                for number in range(3):
                    body = {"course": await begun(api, f"EHR-{number + 2}")}
                    answer = await api.post(f"/v1/groups/{group}/members", body, If_Match=f'"{number + 2}"')
                    assert answer.status_code == 201, answer.text
        assert counted[3:] <= [each + 2 for each in counted[:3]]

    browse(test)
