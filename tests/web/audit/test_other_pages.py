"""Who saw a client, rules, exports, verifications, and one step with its bytes."""

import datetime as dt
import hashlib
import json

import httpx
import pytest
import sqlalchemy as sa

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.audit.verifier import Verifier
from ipt_workflow.store.schema import guards, tables

AUDITOR = Principal(person="auditor-1", role="auditor")


async def client_page(page, ref):
    await page.open("/audit/clients")
    page.fill("Client", ref)
    await page.press("Show")
    return page


def test_who_saw_a_client_is_told_with_why_and_how_often(audited, axe):
    async def test(site, auditor, course):
        await client_page(auditor, "EHR-1")
        rows = {tuple(row[:4]) for row in auditor.table()[1:]}
        assert ("supervisor-1 supervisor", "Read: The course", "their role in the clinic, supervision", "2 times") in rows
        assert ("therapist-1 therapist", "Recorded something", "their own client, treatment", "3 times") in rows
        assert ("therapist-1 therapist", "Refused: Begin the first phase", "their own client, treatment", "once") in rows
        assert auditor.links()["Course 1"] == f"/courses/{course}"
        axe(auditor)

    audited(test)


def test_no_client_and_a_client_whom_nobody_knows_are_told(audited, axe):
    async def test(site, auditor, course):
        await client_page(auditor, "nobody")
        assert "No client of this reference has a course that you may see." in auditor.text
        await client_page(auditor, "")
        assert (auditor.status, auditor.errors) == (422, ["Give the client's reference."])
        axe(auditor)

    audited(test)


def test_refusals_and_exceptions_are_counted_by_rule(audited, axe):
    async def test(site, auditor, course):
        await auditor.open("/audit/rules")
        assert auditor.table()[1][:6] == ["Consent to treatment", "1", "1", "0", "0", "Begin the first phase"]
        axe(auditor)
        auditor.fill("From", "2020-01-01").fill("To", "2020-01-31")
        await auditor.press("Show")
        assert "No rule refused anything, and none was passed over." in auditor.text
        auditor.fill("From", "2020-02-01")
        await auditor.press("Show")
        assert (auditor.status, auditor.errors) == (422, ["The last day must not be before the first."])

    audited(test)


async def downloaded(page):
    """What the form of a page is answered with, which the browser keeps as a file."""
    form = page.main.one("form")
    content = str(httpx.QueryParams(page._pairs(form, form.one("button"))))
    cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin", "Cookie": cookies}
    return await page.client.post(form["action"], content=content, headers=headers)


@pytest.mark.parametrize(
    ("label", "name"),
    (
        ("A table for a spreadsheet (CSV)", "audit.csv"),
        ("One JSON record on each line", "audit.ndjson"),
        ("FHIR AuditEvents", "audit.fhir.ndjson"),
    ),
)
def test_an_export_is_a_download_and_is_listed_with_how_far_it_is(audited, label, name):
    async def test(site, auditor, course):
        await auditor.open("/audit/exports")
        auditor.choose(label).fill("Client", "EHR-1").fill("What happened", "Recorded on a course")
        site.clinic.clock.advance(dt.timedelta(minutes=1))
        answer = await downloaded(auditor)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert len(answer.text.splitlines()) == (4 if name.endswith("csv") else 3)
        await auditor.open("/audit/exports")
        assert auditor.table()[1][1:6] == ["auditor-1", "Recorded on a course, one client", label, "Whole", "3"]

    audited(test)


def test_an_export_of_nobody_or_in_no_format_is_not_begun(audited, axe):
    async def test(site, auditor, course):
        await auditor.open("/audit/exports")
        auditor.fill("Client", "nobody")
        await auditor.press("Export")
        assert (auditor.status, auditor.errors) == (422, ["No client of this reference has a course that you may see."])
        assert "None yet." in auditor.text
        axe(auditor)

    audited(test)


def test_a_check_of_everything_runs_by_itself_and_says_what_it_found(audited, axe):
    async def test(site, auditor, course):
        await auditor.open("/audit/verifications")
        axe(auditor)
        await auditor.press("Check everything now")
        while "Running" in auditor.text:
            await auditor.follow("Show how far it is now")
        assert "All is as it was written (steps: 4, courses: 2)." in auditor.text
        axe(auditor)
        await auditor.follow("All checks")
        assert auditor.table()[1][1:] == ["auditor-1", "everything", "All is as it was written (steps: 4, courses: 2)."]

    audited(test)


def test_the_page_says_how_far_the_verifier_in_the_background_is_and_what_it_found(audited, axe):
    async def test(site, auditor, course):
        await auditor.open("/audit/verifications")
        assert "It has not begun yet." in auditor.text
        verifier = Verifier(site.clinic)
        await verifier.read_on()
        await auditor.open("/audit/verifications")
        assert "Everything is read again within a week." in auditor.text
        assert "% are read" in auditor.text
        assert "Nothing was found that is not as it was written." in auditor.text
        axe(auditor)
        await changed(site, sa.update(tables.course).values(version=1))
        site.clinic.clock.advance(dt.timedelta(hours=2))
        await verifier.read_on()
        auditor = await site.visitor("auditor-1", "auditor")  # the session has ended meanwhile
        await auditor.open("/audit/verifications")
        assert "Something is not as it was written." in auditor.text
        axe(auditor)

    audited(test)


def test_a_check_names_the_first_step_that_is_wrong_and_leads_to_it(audited, axe):
    async def test(site, auditor, course):
        await changed(site, sa.update(tables.entry).where(tables.entry.c.seq == 2).values(canonical=b"{}"))
        await auditor.open("/audit/verifications")
        await auditor.press("Check everything now")
        while "Running" in auditor.text:
            await auditor.follow("Show how far it is now")
        assert "Not as it was written." in auditor.text
        axe(auditor)
        await auditor.follow("The first step that is wrong")
        assert auditor.heading == "A step that cannot be read"
        assert "Broken The bytes do not have the fingerprint" in auditor.text
        axe(auditor)

    audited(test)


async def changed(site, statement):
    """Changes the database behind the service's back."""

    def change(connection):
        for name, _ in guards.sqlite():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.execute(statement)

    await site.clinic.database.write(change)


def test_a_step_is_shown_with_its_bytes_and_what_checking_them_finds(audited, axe):
    async def test(site, auditor, course):
        await auditor.open(f"/audit/courses/{course}/2")
        assert auditor.heading == "Consent recorded"
        shown = auditor.main.one(class_="ipt-bytes").children[0]
        assert json.loads(shown)["trigger"] == "record_consent"
        assert hashlib.sha256(shown.encode()).hexdigest() in auditor.text
        assert auditor.text.count("Holds") == 4
        axe(auditor)
        await auditor.open(f"/audit/courses/{course}/99")
        assert auditor.status == 404

    audited(test)


def test_no_page_of_the_audit_says_anything_of_a_client_in_its_address_or_title(audited):
    async def test(site, auditor, course):
        for path in (
            "/audit",
            "/audit/clients",
            "/audit/rules",
            "/audit/exports",
            "/audit/verifications",
            f"/audit/courses/{course}/2",
        ):
            await auditor.open(path)
            assert auditor.status == 200
            assert "EHR-1" not in auditor.title + auditor.url
        await client_page(auditor, "EHR-1")
        assert "EHR-1" not in auditor.title + auditor.url

    audited(test)


PAGES = ("/audit/rules", "/audit/exports", "/audit/verifications", "/audit/courses/{course}/2", "/courses/{course}/history/2")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_the_database_as_often_however_much_there_is(audited, statements, path):
    async def test(site, auditor, course):
        async def asked():
            with statements() as sent:
                await auditor.open(path.format(course=course))
            assert auditor.status == 200
            return len(sent)

        log = site.clinic
        await AuditLog(log).verify(AUDITOR, course)
        few = await asked()
        api = await site.api()
        for number in range(4):
            other = (await api.open(f"EHR-1{number}"))["id"]
            assert (await api.fire(other, "start")).status_code == 409
            await AuditLog(log).verify(AUDITOR, other)
            await api.fire(course, "note", {"text": "More"})
        assert await asked() <= few

    audited(test)


def test_who_saw_a_client_is_one_question_however_many_did(audited, statements):
    async def test(site, auditor, course):
        async def asked():
            with statements() as sent:
                await client_page(auditor, "EHR-1")
            return len(sent)

        few, api = await asked(), await site.api()
        for role in ("supervisor", "auditor", "therapist"):
            await api.get(f"/v1/courses/{course}/transitions", role)
            await api.get(f"/v1/courses/{course}", role)
        assert await asked() <= few

    audited(test)


def test_an_auditors_day_from_a_question_to_the_proof(audited, picture):
    """Somebody asks who saw their record: the auditor finds who, looks at one access, checks all, and hands out the log."""

    async def test(site, auditor, course):
        await auditor.open("/")
        picture(auditor, "audit")
        await auditor.follow("Who saw a client, and why")
        auditor.fill("Client", "EHR-1")
        await auditor.press("Show")
        picture(auditor, "audit-who-saw")
        await auditor.follow("Audit")
        auditor.fill("Client", "EHR-1").fill("What happened", "Recorded on a course")
        await auditor.press("Search")
        picture(auditor, "audit-search")
        await auditor.follow("Consent recorded")
        picture(auditor, "audit-step")
        await auditor.follow("What the step says")
        assert auditor.heading == "Consent recorded"
        await auditor.open("/audit")
        await auditor.follow("Check that the records are as they were written")
        await auditor.press("Check everything now")
        while "Running" in auditor.text:
            await auditor.follow("Show how far it is now")
        assert "All is as it was written" in auditor.text
        await auditor.follow("All checks")
        await auditor.follow("Audit")
        await auditor.follow("Export the audit log")
        site.clinic.clock.advance(dt.timedelta(minutes=1))
        assert (await downloaded(auditor)).headers["content-disposition"] == 'attachment; filename="audit.csv"'
        await auditor.open("/audit/exports")
        assert auditor.table()[1][4] == "Whole"

    audited(test)
