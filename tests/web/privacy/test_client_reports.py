"""A client's rights on pages: who had to do with them, a disclosure that is recorded, and their data as a file."""

import datetime as dt
import io
import json
import zipfile

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.access.break_glass import EmergencyAccesses


async def started(site) -> str:
    """A course that a supervisor read."""
    api = await site.api()
    course = (await api.open())["id"]
    await api.walk(course, "record_consent", "start")
    await api.get(f"/v1/courses/{course}", "supervisor")
    return course


def test_a_therapist_shows_their_client_who_had_to_do_with_them(browse, axe):
    async def test(site):
        course = await started(site)
        page = await site.visitor()
        await page.open(f"/courses/{course}")
        await page.follow("The client's rights")
        rows = [row[:5] for row in page.table()[1:]]
        assert ["supervisor-1", "supervisor", "Read: The course", "their role in the clinic, supervision"] in [r[:4] for r in rows]
        assert ["therapist-1", "therapist", "Recorded something", "their own client, treatment", "3 times"] in rows
        assert "Nothing was disclosed." in page.text
        axe(page)

    browse(test)


def test_a_disclosure_is_recorded_by_a_form_and_listed(browse, axe):
    async def test(site):
        course = await started(site)
        page = await site.visitor()
        await page.open(f"/courses/{course}/rights/disclosure")
        axe(page)
        await page.press("Record it")
        assert page.status == 422
        assert len(page.errors) == 3
        axe(page)
        page.fill("To whom", "The family court").fill("What", "The letter of 3 March")
        page.choose("A court or another legal demand", "Purpose").choose("The client agreed to it in writing")
        await page.press("Record it")
        assert page.path == f"/courses/{course}/rights"
        assert page.table(1)[1][:6] == [
            "The family court",
            "The letter of 3 March",
            "A court or another legal demand",
            "Recorded by somebody",
            "yes",
            "1",
        ]
        axe(page)

    browse(test)


def test_the_data_are_shown_before_they_are_taken_away_by_whoever_just_signed_in(browse, axe, clock):
    async def test(site):
        course = await started(site)
        page = await site.visitor()
        await page.open(f"/courses/{course}/rights/export")
        axe(page)
        page.choose("Right of access (GDPR 15)", "Ground").choose("Deutsch", "Language of the page for the client")
        await page.press("Show what it holds")
        assert page.heading == "What the file holds"
        assert "The file comes without proofs." in page.text
        axe(page)
        assert "Get the file" in page.buttons()
        cookie = (await site.signed_in()).secret.cookie
        fields = {"ground": "gdpr-15", "language": "de", "shown": "true"}
        answer = await site.post(f"/courses/{course}/rights/export", cookie, fields)
        assert answer.headers["content-type"] == "application/zip"
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert json.loads(archive.read("manifest.json"))["kind"] == "client"
            assert 'lang="de"' in archive.read("summary.html").decode()
        clock.advance(dt.timedelta(minutes=6))
        await page.open(f"/courses/{course}/rights/export")
        assert "Confirm that it is you" in page.links()

    browse(test)


def test_who_sees_a_client_by_emergency_access_alone_is_led_to_no_report(browse):
    async def test(site):
        course = await started(site)
        page = await site.visitor("therapist-2")
        duty, new = (
            Principal(person="therapist-2", role="therapist", via="cli"),
            NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called."),
        )
        await EmergencyAccesses(site.clinic).start(duty, lambda: new)
        await page.open(f"/courses/{course}")
        assert (page.status, "The client's rights" in page.links()) == (200, False)
        await page.open(f"/courses/{course}/rights")
        assert page.status == 403

    browse(test)
