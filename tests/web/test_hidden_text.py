"""What pages keep from an auditor who may not read sealed text, and from a supervisor where a course is restricted."""

import pytest

from ipt_workflow.access.relations import AccessRules

SECRET, LABEL, REF = "Her brother Emil", "Ms Quisling", "EHR-7741"
OF_COURSE = ("", "/history", "/history/1", "/history/5", "/paper/summary", "/paper/letter", "/paper/client")
LISTS = ("/", "/courses", "/courses?show=ended", "/inbox", "/supervision", "/supervision/agenda", "/supervision/records", "/groups")


async def noted(site):
    """A course with a label, and something that was written down."""
    api = await site.api()
    course = (await api.open(REF))["id"]
    await api.walk(course, "record_consent", "start")
    assert (await api.fire(course, "note", {"text": SECRET})).status_code == 201
    page = await site.visitor()
    await page.open(f"/courses/{course}/label")
    token = page.tree.all("input", name="_csrf_token")[0]["value"]
    await page._go("POST", f"/courses/{course}/label", [("_csrf_token", token), ("label", LABEL)])
    assert LABEL in page.answer.text
    await page.open(f"/courses/{course}/history")
    assert SECRET in page.answer.text
    return api, course


@pytest.mark.parametrize("rule", ["never", "unmask"])
def test_a_masked_auditor_reads_neither_text_nor_label(browse, rule):
    async def test(site):
        _, course = await noted(site)
        site.clinic.access_rules = AccessRules(auditor_text=rule)
        page = await site.visitor("auditor-1", "auditor")
        for path in (*(f"/courses/{course}{each}" for each in OF_COURSE), *LISTS, f"/audit/courses/{course}/5"):
            await page.open(path)
            assert page.status < 500
            assert SECRET not in page.answer.text, path
            assert LABEL not in page.answer.text, path
        await page.open("/courses")
        assert REF in page.answer.text

    browse(test)


def test_a_restricted_course_is_on_no_page_of_a_supervisor(browse):
    async def test(site):
        api, course = await noted(site)
        made = await api.client.put(
            f"/v1/courses/{course}/restriction",
            json={"people": ["supervisor-2"], "reason": "The client works here."},
            headers=api.headers("admin"),
        )
        assert made.status_code < 300, made.text
        page = await site.visitor("supervisor-1", "supervisor")
        for path in (*(f"/courses/{course}{each}" for each in OF_COURSE), f"/courses/{course}/do/note", f"/courses/{course}/label"):
            await page.open(path)
            assert page.status == 404, path
        for path in (*LISTS, "/audit/rules", "/audit/verifications", f"/supervision/records/new?course={course}"):
            await page.open(path)
            assert all(each not in page.answer.text for each in (SECRET, LABEL, REF)), path

    browse(test)
