"""The pages about erasures: shown first, done then, and kept in the register."""

from support.http_client import OPERATOR

from ipt_workflow.access.marks import NewMark

NEW = "/admin/erasures/new"
OBJECTED = "The client objected (GDPR 17(1)(c))"


def test_what_would_go_is_shown_and_then_erased(browse):
    async def test(site):
        api = await site.api()
        course = (await api.open("EHR-1"))["id"]
        page = await site.visitor("admin-1", "admin")
        await page.open(NEW)
        page.fill("Client", "EHR-1").choose(OBJECTED)
        await page.press("Show what would go")
        assert "Nothing is erased yet" in page.text
        assert (await api.get(f"/v1/courses/{course}")).json()["client_ref"] == "EHR-1"
        await page.press("Erase it for ever")
        assert page.path.startswith("/admin/erasures/")
        assert "What remains" in page.text
        assert (await api.get(f"/v1/courses/{course}")).json()["client_ref"] is None
        await page.open("/admin/erasures")
        (row,) = page.table()[1:]
        assert row[1:4] == ["admin-1", OBJECTED, "a client"]
        await page.press("Repeat what the register says")
        assert len(page.table()[1:]) == 1

    browse(test)


def test_an_unknown_client_and_a_hold_are_said_in_the_form(browse):
    async def test(site):
        api = await site.api()
        await api.open("EHR-1")
        new = NewMark(kind="hold", client_ref="EHR-1", ground="litigation")
        await api.services.rights.marks.set(OPERATOR, lambda: new)
        page = await site.visitor("admin-1", "admin")
        for ref, status, says in (("EHR-1", 409, "A hold"), ("EHR-2", 422, "There is no client")):
            await page.open(NEW)
            page.fill("Client", ref).choose(OBJECTED)
            await page.press("Show what would go")
            assert page.status == status
            assert says in " ".join(page.errors)

    browse(test)
