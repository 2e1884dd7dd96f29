"""The pages of clients' rights: what a mark concerns is shown before it is set, and it is ended by who may."""

import datetime as dt

ALL = "/admin/marks"


async def filled(page, kind: str = "Hold", ground: str = "A complaint is being examined", ref: str = "EHR-1") -> None:
    """The form of a mark, filled in and sent for the first time."""
    await page.open(ALL)
    await page.follow(f"Set: {kind}")
    page.fill("Client", ref).choose(ground, "Ground").fill("Note", "By letter.")
    await page.press("Show what it concerns")


def test_a_supervisor_sees_what_a_hold_concerns_sets_it_and_ends_it(browse, axe):
    async def test(site):
        await (await site.api()).open("EHR-1")
        page = await site.visitor("supervisor-1", "supervisor")
        await filled(page)
        assert "Nothing is written yet." in page.text
        axe(page)
        await page.open(ALL)
        assert "There are none." in page.text
        await filled(page)
        await page.press("Set it")
        (row,) = page.table()[1:]
        assert row[:3] == ["Hold", "EHR-1", "A complaint is being examined"]
        await page.open(page.links()[row[-1]])
        assert "By letter." in page.text
        axe(page)
        page.fill("Note", "Settled.")
        await page.press("End it")
        assert "There are none." in page.text
        await page.follow("Show those that have ended")
        assert page.table()[1][:2] == ["Hold", "EHR-1"]

    browse(test)


def test_a_restriction_is_lifted_once_the_client_was_informed_and_the_course_says_so_meanwhile(browse):
    async def test(site):
        course = (await (await site.api()).open("EHR-1"))["id"]
        page, therapist = await site.visitor("admin-1", "admin"), await site.visitor("therapist-1", "therapist")
        await filled(page, "Processing restriction", "The client contests that the data are right (GDPR 18(1)(a))")
        assert "Courses that are delivered no more" in page.text
        await page.press("Set it")
        await therapist.open(f"/courses/{course}")
        assert "Processing restriction: The client contests that the data are right" in therapist.text
        supervisor = await site.visitor("supervisor-1", "supervisor")
        await supervisor.open(f"/courses/{course}")
        assert supervisor.status == 403
        assert "restricted" in supervisor.text
        await page.open(page.links()[page.table()[1][-1]])
        await page.press("End it")
        assert [error.partition(":")[0] for error in page.errors] == ["The client was informed before"]
        page.choose("The client was informed before")
        await page.press("End it")
        assert "There are none." in page.text

    browse(test)


def test_it_takes_somebody_who_signed_in_just_now_and_a_client_who_is_known(browse, clock):
    async def test(site):
        await (await site.api()).open("EHR-1")
        page = await site.visitor("supervisor-1", "supervisor")
        await filled(page, ref="EHR-9")
        assert (page.status, [error.partition(":")[0] for error in page.errors]) == (422, ["Client"])
        clock.advance(dt.timedelta(minutes=10))
        await filled(page)
        assert page.status == 401
        assert page.links()["Confirm that it is you"].endswith("/confirm")

    browse(test)
