"""What a page may read and bring, and where a search continues."""

from urllib.parse import parse_qs, urlsplit

import pytest
from support.fhir_caseload import caseload, matched

from ipt_workflow.ehr import fhir_searches


async def found(api, query):
    answer = await api.get(f"/fhir/R4/{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def linked(bundle, relation):
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), "")


def test_an_order_over_too_many_courses_is_refused_and_narrowed_it_is_given(api, monkeypatch):
    async def test(api):
        _, course, _ = await caseload(api)
        monkeypatch.setattr(fhir_searches, "SORTED_COURSES", 2)
        refused = await api.get("/fhir/R4/EpisodeOfCare?_sort=-date")
        assert refused.status_code == 400
        assert refused.json()["issue"][0]["diagnostics"].startswith(
            "_sort: would have to read more than 2 courses. Name the client"
        )
        narrowed = await found(api, f"Provenance?_sort=-recorded&episode-of-care={course}&_count=2")
        assert [each["id"] for each in matched(narrowed)] == [f"{course}.6", f"{course}.5"]
        assert len(matched(await found(api, "EpisodeOfCare?_sort=-date&status=active,planned"))) == 2

    api(test)


@pytest.mark.parametrize("most", [1, 7, 2000])
def test_a_page_ends_early_where_it_would_bring_too_much(api, monkeypatch, most):
    async def test(api):
        courses = await caseload(api)
        monkeypatch.setattr(fhir_searches, "PAGE_RESOURCES", most)
        path, seen, brought, pages = "EpisodeOfCare?_revinclude=Provenance:target", [], [], 0
        while path:
            page = await found(api, path)
            seen += [each["id"] for each in matched(page)]
            brought += [entry["resource"]["id"] for entry in page.get("entry", ()) if entry["search"]["mode"] == "include"]
            path, pages = linked(page, "next").partition("/fhir/R4/")[2], pages + 1
        assert seen == courses
        assert len(brought) == len(set(brought)) == 11
        assert pages == {1: 4, 7: 2, 2000: 1}[most]

    api(test)


@pytest.mark.parametrize(
    "query", ["EpisodeOfCare?_cursor={}", "EpisodeOfCare?_sort=date,status&_cursor={}", "PlanDefinition?_cursor={}"]
)
def test_a_cursor_of_one_order_is_no_cursor_of_another(api, query):
    async def test(api):
        await caseload(api)
        cursor = parse_qs(urlsplit(linked(await found(api, "EpisodeOfCare?_sort=date&_count=1"), "next")).query)["_cursor"][0]
        assert (await api.get(f"/fhir/R4/{query.format(cursor)}")).status_code == 400
        plain = parse_qs(urlsplit(linked(await found(api, "EpisodeOfCare?_count=1"), "next")).query)["_cursor"][0]
        assert (await api.get(f"/fhir/R4/EpisodeOfCare?_sort=date&_cursor={plain}")).status_code == 400

    api(test)


def test_a_sorted_search_stays_where_it_was_while_courses_change(api):
    async def test(api):
        courses = await caseload(api)
        first = await found(api, "EpisodeOfCare?_sort=_lastUpdated&_count=1")
        assert [each["id"] for each in matched(first)] == [courses[0]]
        await api.walk(courses[0], "record_consent")
        path, seen = linked(first, "next").partition("/fhir/R4/")[2], []
        while path:
            page = await found(api, path)
            seen += [each["id"] for each in matched(page)]
            path = linked(page, "next").partition("/fhir/R4/")[2]
        assert seen == [courses[1], courses[2], courses[0]]  # it has changed, so it comes again, and nothing is left out

    api(test)
