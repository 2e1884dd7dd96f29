"""A session that has expired eats nothing: what was written is kept, and one goes on where one was."""

import datetime as dt

import pytest
from support.service_walk import open_course, walk

from ipt_workflow.service.access.sessions import LAPSED_FOR
from ipt_workflow.service.access.sign_in_links import SignInLinks
from ipt_workflow.store import drafts

SIGN_IN = "/o/default/sign-in"
IDLE = dt.timedelta(minutes=15)
MINUTE = dt.timedelta(minutes=1)


async def writing(pages, person="therapist-1"):
    """A therapist who has typed something in a note, and its course."""
    course = await open_course(pages.clinic)
    await walk(pages.clinic, course, "record_consent", "start")
    visitor = await (await pages.visitor(person)).open(f"/courses/{course}/session")
    return course, visitor.choose("Attended").fill("Summary", "An hour's work")


async def sign_in(pages, visitor, person="therapist-1"):
    """Signs in by a link in the same browser, as somebody does on the machine of the service."""
    await visitor.open(await SignInLinks(pages.clinic).make(person))
    await visitor.press(f"Sign in as {person}")


def test_what_is_sent_after_the_session_has_ended_is_there_after_signing_in(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        pages.clinic.clock.advance(IDLE)
        await visitor.press("Sign")
        assert visitor.path == SIGN_IN
        assert "What you wrote is kept as your draft" in visitor.text
        await sign_in(pages, visitor)
        assert visitor.path == f"/courses/{course}/session"
        assert visitor.value(visitor.control("Summary")) == "An hour's work"
        assert visitor.value(visitor.control("Attended")) == "5"
        await visitor.press("Sign")
        assert visitor.path == f"/courses/{course}"

    browse(test)


def test_every_form_about_a_course_is_kept_so(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        await visitor.open(f"/courses/{course}/do/pause")
        visitor.fill("Why is there a break?", "Her mother is ill.")
        pages.clinic.clock.advance(IDLE)
        await visitor.press("Begin the break")
        await sign_in(pages, visitor)
        assert visitor.path == f"/courses/{course}/do/pause"
        assert "This is your draft of" in visitor.text
        assert visitor.value(visitor.control("Why is there a break?")) == "Her mother is ill."
        day = (pages.clinic.clock.now() + dt.timedelta(days=14)).strftime("%Y-%m-%d")
        visitor.fill("Planned return", day)
        await visitor.press("Begin the break")
        assert visitor.path == f"/courses/{course}"
        await visitor.open(f"/courses/{course}/do/note")
        assert "draft" not in visitor.text

    browse(test)


def test_nobody_else_who_signs_in_there_sees_it(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        pages.clinic.clock.advance(IDLE)
        await visitor.press("Sign")
        await sign_in(pages, visitor, "therapist-2")
        assert (visitor.path, visitor.status) == (f"/courses/{course}/session", 404)
        assert "An hour" not in visitor.answer.text

    browse(test)


@pytest.mark.parametrize(("later", "status"), [(IDLE + LAPSED_FOR - MINUTE, 200), (IDLE + LAPSED_FOR, 401)])
def test_a_session_that_ended_long_ago_keeps_nothing(browse, later, status):
    async def test(pages):
        _, visitor = await writing(pages)
        pages.clinic.clock.advance(later)
        await visitor.press("Sign")
        assert visitor.status == status

    browse(test)


@pytest.mark.parametrize(("form", "field"), [("label", "label"), ("outcome", "at")])
def test_what_no_page_would_show_again_is_not_kept(browse, form, field):
    async def test(pages):
        course, visitor = await writing(pages)
        token = visitor.tree.all("input", name="_csrf_token")[0]["value"]
        pages.clinic.clock.advance(IDLE)
        await visitor._go("POST", f"/courses/{course}/{form}", [("_csrf_token", token), (field, "Ms Abel")])
        assert visitor.status == 401
        assert await pages.clinic.read(drafts.of_person, "therapist-1", 5) == []

    browse(test)


def test_a_session_that_was_ended_keeps_nothing(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        other = await pages.visitor()
        tree, url = visitor.tree, visitor.url
        other.cookies = dict(visitor.cookies)
        await other.open("/me")
        await other.press("Sign out")
        visitor.tree, visitor.url = tree, url
        await visitor.press("Sign")
        assert visitor.status == 401
        await sign_in(pages, visitor)
        await visitor.open(f"/courses/{course}/session")
        assert visitor.value(visitor.control("Summary")) == ""

    browse(test)


def test_a_stranger_to_the_course_keeps_nothing_there(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        visitor.cookies |= (await pages.visitor("therapist-2")).cookies
        pages.clinic.clock.advance(IDLE)
        await visitor.press("Sign")
        assert visitor.status == 401
        await sign_in(pages, visitor)
        await visitor.open(f"/courses/{course}/session")
        assert visitor.value(visitor.control("Summary")) == ""

    browse(test)


def test_one_goes_on_to_the_page_that_one_wanted(browse):
    async def test(pages):
        course, visitor = await writing(pages)
        pages.clinic.clock.advance(IDLE)
        await visitor.open(f"/courses/{course}")
        assert visitor.path == SIGN_IN
        await sign_in(pages, visitor)
        assert visitor.path == f"/courses/{course}"
        assert "__Host-ipt-next" not in visitor.cookies

    browse(test)


@pytest.mark.parametrize("elsewhere", ["//evil.example/x", "https://evil.example", "/\\evil.example", "/a?b=c", "/%2f%2fevil", "/"])
def test_a_page_of_others_is_never_gone_on_to(browse, elsewhere):
    async def test(pages):
        visitor = await pages.visitor()
        visitor.cookies["__Host-ipt-next"] = elsewhere
        await sign_in(pages, visitor)
        assert visitor.path == "/"

    browse(test)
