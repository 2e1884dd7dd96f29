"""The history of a course as a page: each step with its corrections, as known on a day, and one step to be printed."""

import datetime as dt

import pytest

from ipt_workflow.web.history import timeline

DAY = dt.timedelta(days=1)


def titles(page):
    return [each.text for each in page.main.all("h2")]


async def corrected(site, course, total=15):
    api = await site.api()
    answer = await api.fire(course, "amend", {"supersedes": 4, "data": {"total": total}}, reason="Added up wrong")
    assert answer.status_code == 201, answer.text


def test_every_step_is_told_once_the_last_that_happened_first(scored, axe):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history")
        assert titles(therapist) == ["Score recorded", "First phase begun", "Consent recorded", "Referred"]
        assert "4 steps, the last that happened first." in therapist.text
        assert "therapist-1, therapist." in therapist.text
        axe(therapist)

    scored(test)


def test_a_correction_stands_at_the_place_of_what_it_corrects_with_what_it_changed(scored, axe, picture):
    async def test(site, therapist, course):
        await corrected(site, course)
        await therapist.open(f"/courses/{course}/history")
        assert titles(therapist)[0] == "Score recorded"
        assert len(titles(therapist)) == 4
        first = therapist.main.one("ol", class_="ipt-timeline").all("li")[0].text
        assert "Put right" in first
        assert "Reason: Added up wrong" in first
        assert "12, now 15" in first
        axe(therapist)
        picture(therapist, "history")

    scored(test)


def test_the_history_is_shown_as_it_was_known_on_a_day(scored, clock, axe):
    async def test(site, therapist, course):
        day = clock.now().date().isoformat()
        clock.advance(3 * DAY)
        await corrected(site, course)
        therapist = await site.visitor("therapist-1", "therapist")
        await therapist.open(f"/courses/{course}/history")
        therapist.fill("Show it as it was known at the end of", day)
        await therapist.press("Show")
        assert "What was recorded later is left out." in therapist.text
        assert "12, now 15" not in therapist.text
        assert "Put it right" not in "".join(therapist.links())
        axe(therapist)
        await therapist.follow("Show it as it is known now")
        assert "12, now 15" in therapist.text

    scored(test)


@pytest.mark.parametrize("known", ("2026-02-31", "yesterday", "0001-01-01"))
def test_a_day_that_cannot_be_is_said_and_the_history_shown_as_it_is_known_now(scored, axe, known):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history?known={known}")
        assert (therapist.status, len(therapist.errors), len(titles(therapist))) == (422, 1, 4 + 1)
        axe(therapist)

    scored(test)


def test_before_the_course_was_opened_there_is_no_history(scored):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history?known=2001-01-01")
        assert therapist.status == 404

    scored(test)


def test_a_long_history_has_several_pages(scored, monkeypatch, axe):
    async def test(site, therapist, course):
        monkeypatch.setattr(timeline, "STEPS", 3)
        await therapist.open(f"/courses/{course}/history")
        assert len(titles(therapist)) == 3
        axe(therapist)
        await therapist.follow("Earlier steps")
        assert titles(therapist) == ["Referred"]
        await therapist.follow("Later steps")
        assert len(titles(therapist)) == 3

    scored(test)


def test_a_step_has_a_page_of_its_own_to_print_and_an_auditor_goes_on_to_its_proof(scored, axe):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history")
        await therapist.follow("Score recorded")
        assert (therapist.heading, therapist.title) == ("Score recorded", "A step of the history – IPT workflow")
        assert "12" in therapist.text
        axe(therapist)
        auditor = await site.visitor("auditor-1", "auditor")
        await auditor.open(f"/courses/{course}/history/4")
        assert "Put it right" not in auditor.links()
        await auditor.follow("Is it as it was written?")
        assert auditor.heading == "Score recorded"
        await auditor.follow("What the step says")
        assert auditor.path == f"/courses/{course}/history/4"

    scored(test)


def test_reading_the_history_is_recorded_as_over_http(scored):
    async def test(site, therapist, course):
        await therapist.open(f"/courses/{course}/history")
        api = await site.api()
        last = (await api.get("/v1/audit?kind=read&actor=therapist-1", "auditor")).json()["items"][-1]
        assert (last["action"], last["courses"], last["basis"], last["actor"]["via"]) == ("history", [course], "own", "pages")

    scored(test)


def test_the_history_asks_the_database_as_often_for_many_steps_as_for_few(scored, statements):
    async def test(site, therapist, course):
        async def asked():
            with statements() as sent:
                await therapist.open(f"/courses/{course}/history")
            return len(sent)

        few = await asked()
        for total in range(10, 16):
            await corrected(site, course, total) if total == 10 else None
            api = await site.api()
            await api.fire(course, "record_measure", {"instrument": "phq9", "total": total})
        assert await asked() == few

    scored(test)
