"""The search of the audit log, as auditors and supervisors see it."""

import pytest

from ipt_workflow.course.rules import REGISTRY
from ipt_workflow.store.schema.tables import AUDIT_KINDS
from ipt_workflow.web.audit import search, words


async def found(page, **fields):
    await page.open("/audit")
    for label, value in fields.items():
        page.fill(label.replace("_", " ").capitalize(), value)
    await page.press("Search")
    return page.table()[1:] if page.main.all("table") else []


def whats(rows):
    return [row[2] for row in rows]


def test_an_auditor_begins_with_the_search(audited):
    async def test(site, auditor, course):
        await auditor.open("/")
        assert auditor.heading == "Audit"
        assert list(auditor.links()) == [
            "Who saw a client, and why",
            "Refusals and exceptions by rule",
            "Check that the records are as they were written",
            "Export the audit log",
            "Retention",
        ]
        supervisor = await site.visitor("supervisor-1", "supervisor")
        await supervisor.open("/audit")
        assert "Export the audit log" not in supervisor.links()

    audited(test)


def test_what_was_found_says_in_words_who_did_what_with_whom_and_why(audited):
    async def test(site, auditor, course):
        rows = await found(auditor, client="EHR-1", what_happened="Recorded on a course")
        assert whats(rows) == ["First phase begun", "Consent recorded", "Referred"]
        _, who, _, client, why = rows[0]
        assert (who, client, why) == ("therapist-1 therapist", "EHR-1", "their own client, treatment")
        assert auditor.links()["First phase begun"] == f"/audit/courses/{course}/3"
        ((_, _, refused, _, _),) = await found(auditor, client="EHR-1", what_happened="Refused")
        assert refused == "Refused: First phase begun Consent to treatment"
        rows = await found(auditor, client="EHR-1", what_happened="Read", person="supervisor-1")
        assert {(read, why) for _, _, read, _, why in rows} == {("Read: The course", "their role in the clinic, supervision")}

    audited(test)


def test_a_search_is_narrowed_by_days_in_the_readers_zone(audited):
    async def test(site, auditor, course):
        today = site.clinic.clock.now().date().isoformat()
        assert len(await found(auditor, client="EHR-1", what_happened="Recorded on a course", **{"from": today, "to": today})) == 3
        assert await found(auditor, client="EHR-1", to="2020-01-01") == []
        assert "Nothing." in auditor.text

    audited(test)


def test_older_records_are_on_the_next_page_and_none_is_on_both(audited, monkeypatch):
    async def test(site, auditor, course):
        monkeypatch.setattr(search, "PAGE", 2)
        first = await found(auditor, client="EHR-1", what_happened="Recorded on a course")
        await auditor.press("Show older ones")
        assert whats(first + auditor.table()[1:]) == ["First phase begun", "Consent recorded", "Referred"]
        assert "Show older ones" not in auditor.buttons()

    audited(test)


@pytest.mark.parametrize(
    ("fields", "error"),
    (
        ({"since": "2026-02-31"}, "Give a day that exists, such as 2026-03-01."),
        ({"since": "0001-01-01"}, "Give a day of a year that can be."),
        ({"since": "2026-03-02", "until": "2026-03-01"}, "The last day must not be before the first."),
        ({"kind": "gossip"}, "Choose one of the kinds."),
        ({"client": "x" * 201}, "This is too long."),
    ),
)
def test_a_search_that_cannot_be_is_shown_again_with_what_is_wrong(audited, axe, fields, error):
    async def test(site, auditor, course):
        await auditor.open("/audit")
        await auditor._go(
            "POST", "/audit", [("_csrf_token", auditor.tree.all("input", name="_csrf_token")[-1]["value"]), *fields.items()]
        )
        assert (auditor.status, auditor.errors) == (422, [error])
        assert auditor.title.startswith("Error: ")
        for name, value in fields.items():
            if name != "kind":
                assert auditor.tree.one("input", name=name)["value"] == value
        axe(auditor)

    audited(test)


def test_a_client_whom_nobody_knows_is_not_found_and_no_cursor_of_elsewhere_is_taken(audited):
    async def test(site, auditor, course):
        await found(auditor, client="nobody")
        assert "No client of this reference has a course that you may see." in auditor.text
        await auditor.open("/audit")
        token = auditor.tree.all("input", name="_csrf_token")[-1]["value"]
        await auditor._go("POST", "/audit", [("_csrf_token", token), ("after", "forged")])
        assert auditor.status == 400

    audited(test)


@pytest.mark.parametrize("role", ("therapist", "admin"))
@pytest.mark.parametrize("path", ("/audit", "/audit/rules", "/audit/exports", "/audit/verifications"))
def test_who_may_not_read_the_log_sees_none_of_its_pages(audited, role, path):
    async def test(site, auditor, course):
        page = await site.visitor("pat", role)
        await page.open(path)
        assert page.status == 403

    audited(test)


def test_a_search_asks_the_database_as_often_for_many_records_as_for_few(audited, statements):
    async def test(site, auditor, course):
        async def asked():
            with statements() as sent:
                await found(auditor, what_happened="Recorded on a course")
            return len(sent)

        few = await asked()
        api = await site.api()
        for number in range(5):
            await api.walk((await api.open(f"EHR-1{number}"))["id"], "record_consent", "start")
        assert await asked() <= few

    audited(test)


def test_the_search_and_what_it_found_are_accessible(audited, axe):
    async def test(site, auditor, course):
        await found(auditor, client="EHR-1")
        axe(auditor)

    audited(test)


def test_every_kind_and_every_rule_has_words():
    assert set(words.KINDS) == {"transition", *AUDIT_KINDS}
    assert set(words.rule_titles()) == set(REGISTRY)
