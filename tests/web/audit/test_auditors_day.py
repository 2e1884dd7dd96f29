"""An auditor's day in a real browser, without scripts: who saw a client, the step and its proof, a check of everything, and the log itself."""

import datetime as dt

from support.service_walk import open_course
from support.service_walk import walk as steps

MINUTE = dt.timedelta(minutes=1)


def test_an_auditor_gets_through_the_day_without_scripts(walk):
    async def test(walkers):
        course = await open_course(walkers.clinic)
        await steps(walkers.clinic, course, "record_consent", "start")
        page = await walkers.hands("auditor-1", "auditor")
        await page.open("/")
        await page.follow("Who saw a client, and why")
        await page.fill("Client", "EHR-1")
        await page.press("Show")
        assert "their own client" in await page.text()

        await page.follow("Audit")
        await page.fill("Client", "EHR-1")
        await page.fill("What happened", "Recorded on a course")
        await page.press("Search")
        assert "EHR-1" not in page.page.url + await page.page.title()
        await page.follow("Consent recorded")
        assert (await page.text()).count("Holds") == 4
        await page.follow("What the step says")
        assert await page.heading() == "Consent recorded"

        await page.follow("Audit")
        await page.follow("Refusals and exceptions by rule")
        await page.follow("Audit")
        await page.follow("Check that the records are as they were written")
        await page.press("Check everything now")
        while "Running" in await page.text():
            await page.follow("Show how far it is now")
        assert "All is as it was written (steps: 3, courses: 1)." in await page.text()

        await page.follow("Audit")
        await page.follow("Export the audit log")
        walkers.clinic.clock.advance(MINUTE)
        async with page.page.expect_download() as kept:
            await page.page.get_by_role("button", name="Export").click()
        lines = (await (await kept.value).path()).read_text().splitlines()
        assert len(lines) > 3

    walk(test)
