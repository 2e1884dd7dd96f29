"""What the clinic calls a client: given on a page, shown beside the reference, and in no title or address."""

import pytest


def test_a_label_is_given_shown_and_taken_away(browse, axe):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/label")
        axe(page)
        page.fill("Label", "Ms A.")
        await page.press("Save")
        assert page.path == f"/courses/{course}"
        await page.open("/courses")
        assert page.table()[1][0] == "Ms A. (EHR-1)"
        assert "Ms A." not in page.title
        await page.open(f"/courses/{course}/label")
        assert page.control("Label")["value"] == "Ms A."
        page.fill("Label", "")
        await page.press("Save")
        await page.open("/courses")
        assert page.table()[1][0] == "EHR-1"

    browse(test)


@pytest.mark.parametrize("form", ("session", "do/record_measure", "do/note", "history/1/put-right"))
def test_the_forms_about_a_client_name_them_by_it(browse, form):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/label")
        page.fill("Label", "Ms A.")
        await page.press("Save")
        await page.open(f"/courses/{course}/{form}")
        assert "EHR-1 (Ms A.)" in page.tree.text
        assert "Ms A." not in page.title

    browse(test)


@pytest.mark.parametrize("typed", ("x" * 81, "two\tparts"))
def test_a_label_that_cannot_be_one_is_answered_at_its_field(browse, axe, typed):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        page = await (await site.visitor()).open(f"/courses/{course}/label")
        page.fill("Label", typed)
        await page.press("Save")
        assert (page.status, page.errors) == (422, ["Enter at most 80 characters on one line."])
        assert page.control("Label")["value"] == typed
        axe(page)

    browse(test)


@pytest.mark.parametrize(("person", "role", "status"), (("therapist-2", "therapist", 404), ("auditor-1", "auditor", 403)))
def test_strangers_and_auditors_give_none(browse, person, role, status):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        other = await (await site.visitor(person, role)).open("/me")
        token = other.tree.all("input", name="_csrf_token")[0]["value"]
        await other._go("POST", f"/courses/{course}/label", [("_csrf_token", token), ("label", "Ms A.")])
        assert other.status == status
        assert "Ms A." not in other.answer.text

    browse(test)
