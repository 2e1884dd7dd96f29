"""Putting a step right: what it would change is shown before, and who must agree; then it is done."""

import datetime as dt

import pytest

QUESTION = "What is to happen?"
WRONG = "What was wrong?"


async def form(page, course, seq=4):
    return await page.open(f"/courses/{course}/history/{seq}/put-right")


async def score(site, course):
    api = await site.api()
    return (await api.get(f"/v1/courses/{course}")).json()["measures"].get("phq9@1", {}).get("last")


def test_what_a_correction_would_change_is_shown_before_it_is_made(scored, axe, picture):
    async def test(site, therapist, course):
        await form(therapist, course)
        assert therapist.heading == "Put right"
        assert "Put it right" not in therapist.buttons()
        axe(therapist)
        therapist.choose("It happened, but not so", QUESTION).fill("Total", "15").fill(WRONG, "Added up wrong")
        await therapist.press("Show what would change")
        assert (therapist.status, (await score(site, course))["total"]) == (200, 12)
        for said in ("Nothing is recorded yet.", "12, now 15", "Nobody else has to agree."):
            assert said in therapist.text
        axe(therapist)
        picture(therapist, "put-right")
        await therapist.press("Put it right")
        assert therapist.path == f"/courses/{course}/history/4"
        assert "12, now 15" in therapist.text
        assert (await score(site, course))["total"] == 15

    scored(test)


def test_what_never_happened_is_taken_back_and_that_can_be_taken_back_too(scored, axe):
    async def test(site, therapist, course):
        await form(therapist, course)
        therapist.choose("It never happened: take it back", QUESTION).fill(WRONG, "Another client's sheet")
        await therapist.press("Show what would change")
        assert "Last score, " in therapist.text
        await therapist.press("Put it right")
        assert "Taken back: it counts no longer" in therapist.text
        assert await score(site, course) is None
        await therapist.follow("Put it right")
        axe(therapist)
        therapist.choose("Take back the last correction", QUESTION).fill(WRONG, "It was this client's after all")
        await therapist.press("Show what would change")
        await therapist.press("Put it right")
        assert (await score(site, course))["total"] == 12

    scored(test)


def test_where_a_supervisor_must_agree_they_are_asked_by_one_button(scored, axe):
    async def test(site, therapist, course):
        await form(therapist, course, 2)
        therapist.choose("It never happened: take it back", QUESTION).fill(WRONG, "No consent was given")
        await therapist.press("Show what would change")
        assert "A supervisor must agree." in therapist.text
        assert "Put it right" not in therapist.buttons()
        axe(therapist)
        await therapist.press("Ask a supervisor to agree")
        assert therapist.path == f"/courses/{course}/history/2"
        (proposal,) = (await (await site.api()).get("/v1/proposals", "supervisor")).json()["items"]
        assert (proposal["trigger"], proposal["status"]) == ("amend", "waiting")
        assert proposal["command"]["data"] == {"supersedes": 2, "void": True}

    scored(test)


def test_what_came_later_and_would_no_longer_hold_is_named_with_links(scored, axe):
    async def test(site, therapist, course):
        await (await site.api()).walk(course, "record_session")
        supervisor = await site.visitor("supervisor-1", "supervisor")
        await form(supervisor, course, 3)
        supervisor.choose("It never happened: take it back", QUESTION).fill(WRONG, "Begun in the wrong course")
        await supervisor.press("Show what would change")
        assert "What came later and would no longer hold:" in supervisor.text
        assert supervisor.links()["Session recorded"] == f"/courses/{course}/history/5"
        assert "Put it right" not in supervisor.buttons()
        axe(supervisor)

    scored(test)


def test_what_was_about_another_client_goes_to_that_clients_course(scored):
    async def test(site, therapist, course):
        api = await site.api()
        other = (await api.open("EHR-2"))["id"]
        await form(therapist, course)
        therapist.choose("It was about another client", QUESTION).fill(WRONG, "Two sheets were mixed up")
        await therapist.press("Show what would change")
        assert (therapist.status, len(therapist.errors)) == (422, 1)
        therapist.fill("If it was about another client: the reference of that client", "nobody")
        await therapist.press("Show what would change")
        assert "No other client of this reference has a course that you may see." in therapist.errors[0]
        therapist.fill("If it was about another client: the reference of that client", "EHR-2")
        await therapist.press("Show what would change")
        assert therapist.status == 200, therapist.text
        await therapist.press("Put it right")
        assert "Moved to the right client" in therapist.text
        assert (await score(site, other))["total"] == 12

    scored(test)


def test_everything_that_is_wrong_with_a_correction_is_said_at_once_and_what_was_typed_stays(scored, axe):
    async def test(site, therapist, course):
        await form(therapist, course)
        therapist.choose("It happened, but not so", QUESTION).fill("Total", "many")
        await therapist.press("Show what would change")
        assert (therapist.status, len(therapist.errors)) == (422, 2)
        assert therapist.control("Total")["value"] == "many"
        axe(therapist)
        await form(therapist, course)
        therapist.choose("It happened, but not so", QUESTION).fill(WRONG, "I am not sure")
        await therapist.press("Show what would change")
        assert "Nothing is changed." in therapist.errors[0]
        therapist.fill("Total", "99")
        await therapist.press("Show what would change")
        assert therapist.status == 422

    scored(test)


def test_a_correction_that_somebody_overtook_is_not_made_and_both_texts_are_kept(scored, axe):
    async def test(site, therapist, course):
        await form(therapist, course)
        therapist.choose("It happened, but not so", QUESTION).fill("Total", "15").fill(WRONG, "Added up wrong")
        await therapist.press("Show what would change")
        await (await site.api()).fire(course, "note", {"text": "Called in between"})
        await therapist.press("Put it right")
        assert therapist.status == 412
        assert "Called in between" in therapist.text
        assert therapist.control("Total")["value"] == "15"
        axe(therapist)
        await therapist.press("Show what would change")
        await therapist.press("Put it right")
        assert (await score(site, course))["total"] == 15

    scored(test)


def test_a_form_that_is_sent_twice_counts_once(scored):
    async def test(site, therapist, course):
        await form(therapist, course)
        therapist.choose("It happened, but not so", QUESTION).fill("Total", "15").fill(WRONG, "Added up wrong")
        await therapist.press("Show what would change")
        tree, url = therapist.tree, therapist.url
        await therapist.press("Put it right")
        therapist.tree, therapist.url = tree, url
        await therapist.press("Put it right")
        assert therapist.path == f"/courses/{course}/history/4"
        api = await site.api()
        assert (await api.version(course)) == 5

    scored(test)


def test_the_time_alone_is_put_right(scored, clock):
    async def test(site, therapist, course):
        clock.advance(dt.timedelta(hours=1))
        therapist = await site.visitor("therapist-1", "therapist")
        await form(therapist, course, 3)
        therapist.choose("It happened, but not so", QUESTION).fill(WRONG, "It began later")
        therapist.fill("When it happened", (clock.now() - dt.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M"))
        await therapist.press("Show what would change")
        assert therapist.status == 200, therapist.errors
        await therapist.press("Put it right")
        assert "When it happened: " in therapist.text

    scored(test)


@pytest.mark.parametrize("seq", (1, 2, 3, 4))
def test_every_step_has_a_form_that_says_what_can_be_done(scored, seq):
    async def test(site, therapist, course):
        await form(therapist, course, seq)
        assert therapist.status == 200
        offered = [each.text for each in therapist._group(QUESTION).all("label")]
        assert ("It never happened: take it back" in offered) is (seq != 1)
        assert ("It was about another client" in offered) is (seq == 4)

    scored(test)
