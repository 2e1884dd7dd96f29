"""Searching: what parameters mean, paging, counting, clients, and what is not understood."""

import datetime as dt
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fhir_caseload import WANTED, caseload, matched, posted

from ipt_workflow.ehr.fhir.search import Param, term
from ipt_workflow.ehr.fhir.types import Coding, Identifier, Period, Reference, concept
from ipt_workflow.errors import Fault

DAY = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)


def matches(kind: str, value, text: str, modifier: str = "", **more) -> bool:
    made = term(Param(name="p", kind=kind, values=lambda r: (r.value,), says="", **more), modifier, text)
    assert not isinstance(made, Fault), made
    return made.matches(SimpleNamespace(value=value))


def hours(start: float, end: float | None = None) -> Period:
    return Period(start=DAY + dt.timedelta(hours=start), end=None if end is None else DAY + dt.timedelta(hours=end))


@pytest.mark.parametrize(
    ("text", "period", "found"),
    [
        ("2026-03-02", hours(1, 2), True),
        ("2026-03-02", hours(1, 30), False),
        ("2026-03-02", hours(1), False),
        ("ne2026-03-02", hours(1, 30), True),
        ("2026-03", hours(1, 30), True),
        ("2026", hours(1, 30), True),
        ("2025", hours(1, 30), False),
        ("ge2026-03-03", hours(1, 30), True),
        ("ge2026-03-03", hours(1, 2), False),
        ("ge2026-03-02", hours(1, 2), True),
        ("gt2026-03-02", hours(1, 2), False),
        ("gt2026-03-02", hours(1), True),
        ("le2026-03-02", hours(1, 2), True),
        ("lt2026-03-02", hours(1, 2), False),
        ("lt2026-03-02", hours(-1, 2), True),
        ("sa2026-03-01", hours(1, 2), True),
        ("sa2026-03-01", hours(-1, 2), False),
        ("eb2026-03-03", hours(1, 2), True),
        ("eb2026-03-03", hours(1), False),
        ("2026-03-02T01:00:00Z", DAY + dt.timedelta(hours=1), True),
        ("2026-03-02T02:00:00+01:00", DAY + dt.timedelta(hours=1), True),
        ("2026-03-02T02:00:00 01:00", DAY + dt.timedelta(hours=1), True),
        ("2026-03-02T01:00", DAY + dt.timedelta(hours=1, seconds=30), True),
        ("2026-03-02T01:00:00Z", DAY + dt.timedelta(hours=1, seconds=30), False),
        ("2026-12", dt.datetime(2026, 12, 31, 23, 59, tzinfo=dt.UTC), True),
        ("2025,2026", hours(1, 2), True),
    ],
)
def test_dates_stand_for_a_stretch_of_time(text, period, found):
    assert matches("date", period, text) is found


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-02-30", "2026-13", "ap2026", "2026-3-2", "0000", "2026-03-02T25:00", "9999", "xx2026", "2026,soon"],
)
def test_what_is_no_date_is_refused_and_not_repeated(text):
    made = term(Param(name="date", kind="date", values=lambda r: (), says=""), "", text)
    assert isinstance(made, Fault)
    assert not text or text not in made.message


CODING = Coding(system="http://loinc.org", code="44261-6")


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("44261-6", concept(CODING), True),
        ("http://loinc.org|44261-6", concept(CODING), True),
        ("http://loinc.org|", concept(CODING), True),
        ("|44261-6", concept(CODING), False),
        ("urn:x|44261-6", concept(CODING), False),
        ("1,44261-6", CODING, True),
        ("1,2", CODING, False),
        ("active", "active", True),
        ("urn:anything|active", "active", True),
        ("acti", "active", False),
        ("urn:uuid:1", Identifier(system="urn:ietf:rfc:3986", value="urn:uuid:1"), True),
    ],
)
def test_tokens_match_by_code_and_system(text, value, found):
    assert matches("token", value, text) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("EpisodeOfCare/1", True),
        ("1", True),
        ("http://ipt/fhir/R4/EpisodeOfCare/1", True),
        ("EpisodeOfCare/1/_history/3", True),
        ("http://ipt/fhir/R4/EpisodeOfCare/1/_history/3", True),
        ("EpisodeOfCare/1/_history/2", False),
        ("Encounter/1", False),
        ("2", False),
    ],
)
def test_references_match_by_type_id_or_url_and_by_version_where_one_is_told(text, found):
    assert matches("reference", Reference(reference="EpisodeOfCare/1/_history/3"), text) is found


def test_who_is_known_by_identifier_alone_is_found_by_it():
    person = Reference(identifier=Identifier(system="urn:p", value="therapist-1"))
    assert matches("reference", person, "urn:p|therapist-1", "identifier", logical=True)
    assert matches("reference", person, "therapist-1", "identifier", logical=True)
    assert not matches("reference", person, "urn:q|therapist-1", "identifier", logical=True)
    made = term(Param(name="agent", kind="reference", values=lambda r: (), says="", logical=True), "", "Practitioner/1")
    assert isinstance(made, Fault)
    assert "agent:identifier" in made.message


def test_canonicals_are_found_with_their_version_or_without_and_strings_by_how_they_begin():
    assert matches("uri", "urn:x|1", "urn:x")
    assert matches("uri", "urn:x|1", "urn:x|1")
    assert not matches("uri", "urn:x|1", "urn:x|2")
    assert matches("string", "Interpersonal Psychotherapy", "interpersonal")
    assert not matches("string", "Interpersonal Psychotherapy", "psychotherapy")


@given(st.text(max_size=40))
def test_no_date_breaks_the_search(text):
    made = term(Param(name="date", kind="date", values=lambda r: (r.value,), says=""), "", text)
    assert isinstance(made, Fault) or made.matches(SimpleNamespace(value=DAY)) in {True, False}


# Over HTTP


async def found(api, query, role="therapist", **headers):
    answer = await api.get(f"/fhir/R4/{query}", role, **headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def linked(bundle, relation):
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), "")


def test_resources_are_found_by_every_parameter(api):
    async def test(api):
        courses = await caseload(api)
        results = {
            query: [courses.index(each["id"].partition(".")[0]) for each in matched(await found(api, query))] for query, _ in WANTED
        }
        assert results == dict(WANTED)

    api(test)


def test_resources_are_found_by_their_course_and_by_their_ids(api):
    async def test(api):
        _, course, other = await caseload(api)
        for kind, many in (("CarePlan", 1), ("Encounter", 2), ("Observation", 1), ("QuestionnaireResponse", 1), ("Provenance", 6)):
            of_course = matched(await found(api, f"{kind}?episode-of-care=EpisodeOfCare/{course}"))
            assert len(of_course) == many, kind
            assert matched(await found(api, f"{kind}?_id={of_course[0]['id']}")) == of_course[:1]
            assert matched(await found(api, f"{kind}?_id={of_course[0]['id']}&episode-of-care={other}")) == []
        assert len(matched(await found(api, f"Provenance?target=EpisodeOfCare/{course}"))) == 6
        assert len(matched(await found(api, f"Provenance?target=EpisodeOfCare/{course}/_history/3"))) == 1
        both = matched(await found(api, f"EpisodeOfCare?_id={course},{other}"))
        assert [each["id"] for each in both] == [course, other]
        assert matched(await found(api, f"EpisodeOfCare?identifier=urn:uuid:{course}")) == [
            await found(api, f"EpisodeOfCare/{course}")
        ]

    api(test)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_pages_hold_every_match_once_and_in_order(api, count):
    async def test(api):
        await caseload(api)
        whole = [each["id"] for each in matched(await found(api, "Provenance?_count=100"))]
        path, seen = f"Provenance?_count={count}", []
        while path:
            page = await found(api, path)
            assert len(matched(page)) <= count
            seen += [each["id"] for each in matched(page)]
            path = linked(page, "next").partition("/fhir/R4/")[2]
        assert seen == whole
        assert len(seen) == 11

    api(test)


def test_a_page_that_holds_the_last_match_has_no_next(api):
    async def test(api):
        await caseload(api)
        assert linked(await found(api, "EpisodeOfCare?_count=3"), "next") == ""
        assert linked(await found(api, "EpisodeOfCare?_count=2"), "next")

    api(test)


def test_matches_are_counted(api):
    async def test(api):
        await caseload(api)
        for query in ("Encounter?_summary=count", "Encounter?_count=0"):
            counted = await found(api, query)
            assert (counted["total"], counted.get("entry")) == (2, None)
        bundle = await found(api, "Encounter?_total=accurate&_count=1")
        assert (bundle["total"], len(matched(bundle))) == (2, 1)
        assert "total" not in await found(api, "Encounter?_count=1")
        assert (await found(api, "PlanDefinition?_summary=count"))["total"] == 21

    api(test)


def test_links_repeat_what_was_understood_and_no_more(api):
    async def test(api):
        await caseload(api)
        bundle = await found(api, "EpisodeOfCare?status=active,planned&colour=red&_count=500")
        link = urlsplit(linked(bundle, "self"))
        assert link.path == "/fhir/R4/EpisodeOfCare"
        assert parse_qsl(link.query) == [("status", "active,planned"), ("_count", "200")]
        assert await found(api, linked(bundle, "self").partition("/fhir/R4/")[2]) == {**bundle, "entry": bundle["entry"][1:]}

    api(test)


def test_what_is_not_known_is_ignored_and_said_to_be_or_refused_where_the_caller_is_strict(api):
    async def test(api):
        await caseload(api)
        for query in (
            "EpisodeOfCare?colour=red",
            "EpisodeOfCare?_include=EpisodeOfCare:condition",
            "EpisodeOfCare?_revinclude=Encounter:patient",
            "EpisodeOfCare?_sort=care-manager",
            "EpisodeOfCare?_sort=status&_sort=date",
            "EpisodeOfCare?_has:Encounter:patient:status=finished",
            "EpisodeOfCare?_has:Encounter",
            "EpisodeOfCare?_summary=some",
            "EpisodeOfCare?condition=1",
        ):
            bundle = await found(api, query)
            assert bundle["entry"][0]["search"]["mode"] == "outcome"
            assert bundle["entry"][0]["resource"]["issue"][0]["severity"] == "warning"
            assert len(matched(bundle)) == 3
            refused = await api.get(f"/fhir/R4/{query}", Prefer="respond-async, handling=strict")
            assert refused.status_code == 400
            assert refused.json()["issue"][0]["code"] == "value"
            assert (await api.get(f"/fhir/R4/{query}", Prefer="handling=lenient")).status_code == 200
        assert (await api.get("/fhir/R4/EpisodeOfCare?status=active", Prefer="handling=strict")).status_code == 200

    api(test)


@pytest.mark.parametrize(
    "query",
    [
        "EpisodeOfCare?date=soon",
        "EpisodeOfCare?status:in=active",
        "EpisodeOfCare?date:not=2026",
        "EpisodeOfCare?status:missing=perhaps",
        "EpisodeOfCare?_count=-1",
        "EpisodeOfCare?_has:Encounter:episode-of-care:date=soon",
        "EpisodeOfCare?care-manager=Practitioner/1",
        "EpisodeOfCare?status=",
    ],
)
def test_what_cannot_be_taken_is_refused_also_where_the_caller_is_lenient(api, query):
    async def test(api):
        answer = await api.get(f"/fhir/R4/{query}")
        assert answer.status_code == 400
        assert answer.json()["issue"][0]["diagnostics"].startswith(query.partition("?")[2].partition("=")[0])

    api(test)


def test_every_fault_of_a_search_is_told_at_once(api):
    async def test(api):
        answer = await api.get("/fhir/R4/EpisodeOfCare?date=soon&_lastUpdated=later&status:in=active")
        assert len(answer.json()["issue"]) == 3

    api(test)


# Clients


@pytest.mark.parametrize("name", ["patient", "patient:identifier", "patient.identifier", "subject:identifier"])
def test_a_client_is_never_named_in_a_url(api, name):
    async def test(api):
        await caseload(api)
        answer = await api.get(f"/fhir/R4/Encounter?{name}=EHR-2")
        assert answer.status_code == 400
        assert "_search" in answer.text
        assert "EHR-2" not in answer.text
        in_url = await api.client.post(f"/fhir/R4/Encounter/_search?{name}=EHR-2", headers=api.headers("therapist"))
        assert in_url.status_code == 400

    api(test)


@pytest.mark.parametrize("kind", ["EpisodeOfCare", "CarePlan", "Encounter", "Observation", "QuestionnaireResponse", "Provenance"])
def test_a_client_is_named_in_a_body_and_stands_in_no_link(api, kind):
    async def test(api):
        _, course, _ = await caseload(api)
        answer = await posted(api, kind, **{"patient:identifier": "urn:ipt-workflow:client-ref|EHR-2", "_count": "1"})
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        assert {each["id"].partition(".")[0] for each in matched(bundle)} == {course}
        assert all("EHR-2" not in link["url"] for link in bundle["link"])
        path, seen = linked(bundle, "self").partition("/fhir/R4/")[2], []
        while path:
            page = await found(api, path)
            seen += [each["id"] for each in matched(page)]
            path = linked(page, "next").partition("/fhir/R4/")[2]
        assert {each.partition(".")[0] for each in seen} == {course}
        assert len(seen) == {"Encounter": 2, "Provenance": 6}.get(kind, 1)

    api(test)


def test_a_client_whom_nobody_knows_and_one_of_another_system_have_nothing(api):
    async def test(api):
        await caseload(api)
        for value in ("EHR-9", "urn:elsewhere|EHR-2", "|EHR-2"):
            assert matched((await posted(api, "EpisodeOfCare", **{"patient:identifier": value})).json()) == []

    api(test)


def test_a_client_is_known_by_identifier_alone_and_one_at_a_time(api):
    async def test(api):
        assert (await posted(api, "EpisodeOfCare", patient="Patient/1")).status_code == 400
        own = "patient=Patient/0197c8f2-0000-7000-8000-000000000000"
        headers = api.headers("therapist", content_type="application/x-www-form-urlencoded")
        for twice in ("patient:identifier=EHR-2", own):
            for form in (f"patient:identifier=EHR-1&{twice}", f"{twice}&patient:identifier=EHR-1"):
                assert (await api.client.post("/fhir/R4/EpisodeOfCare/_search", content=form, headers=headers)).status_code == 400
        assert matched(await found(api, f"EpisodeOfCare?{own}&patient={'0' * 36}")) == []

    api(test)


def test_the_id_that_stands_for_a_client_opens_nothing_that_the_caller_may_not_see(api):
    async def test(api):
        await caseload(api)
        bundle = (await posted(api, "EpisodeOfCare", **{"patient:identifier": "EHR-2"})).json()
        assert matched(bundle)
        link = linked(bundle, "self").partition("/fhir/R4/")[2]
        other = await api.services.tokens.create(_operator(), _token("therapist-2"))
        seen = await api.client.get(f"/fhir/R4/{link}", headers={"Authorization": f"Bearer {other.token}"})
        assert matched(seen.json()) == []

    api(test)


def _operator():
    from support.http_client import OPERATOR

    return OPERATOR


def _token(person):
    from ipt_workflow.service.access.tokens import NewToken

    return NewToken(role="therapist", name=person)


def test_a_search_by_post_takes_parameters_from_url_and_body(api):
    async def test(api):
        courses = await caseload(api)
        answer = await api.client.post(
            "/fhir/R4/EpisodeOfCare/_search?status=active,planned", data={"_id": courses[1]}, headers=api.headers("therapist")
        )
        assert [each["id"] for each in matched(answer.json())] == [courses[1]]
        empty = await api.client.post("/fhir/R4/EpisodeOfCare/_search", headers=api.headers("therapist"))
        assert len(matched(empty.json())) == 3

    api(test)


def test_a_search_is_recorded_with_every_course_it_showed_and_no_other(api):
    async def test(api):
        courses = await caseload(api)
        await found(api, "Encounter")
        reads = (await api.get("/v1/audit?kind=read&limit=200", "auditor")).json()["items"]
        (searched,) = [each for each in reads if each["action"] == "fhir search Encounter"]
        assert searched["courses"] == [courses[1]]

    api(test)


def test_a_page_looks_at_so_many_courses_and_says_where_to_go_on(settings, clock):
    import asyncio

    from support.http_client import running

    small = settings.model_copy(update={"page_limit_default": 2, "page_limit_max": 2})

    async def test():
        async with running(small, clock) as api:
            for n in range(5):
                await api.open(f"EHR-{n}")
            page = await found(api, "EpisodeOfCare?date=lt2020")
            assert matched(page) == []
            pages = 1
            while linked(page, "next"):
                page = await found(api, linked(page, "next").partition("/fhir/R4/")[2])
                pages += 1
            assert pages == 3

    asyncio.run(test())
