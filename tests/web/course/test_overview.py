"""The page of one course: where it is, what comes next and from where on, its scores, who works with it, and what the reader may do."""

import datetime as dt
from html import escape

import pytest
from support.course_walk import FUNCTIONING, ROOT, SYMPTOMS

from ipt_workflow.course import triggers
from ipt_workflow.course.rules import ARTEFACTS, KNOWN_RULES, PHASE_RULES, bound_to
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.web.course import steps

INITIAL = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "assign_sick_role")
WORKED = ("record_inventory", "record_timeline", "record_formulation", "accept_formulation", "select_focus", "agree_contract")
SUPPORT = {"instrument": "mspss", "total": 40}


async def opened(site, *walked: str, ref: str = "EHR-4711") -> str:
    """A course of therapist-1 after these triggers."""
    api = await site.api()
    course = (await api.open(ref))["id"]
    await api.walk(course, *walked)
    return course


async def scored(site, course: str, *totals: list[int]) -> None:
    api = await site.api()
    for items in totals:
        answer = await api.fire(course, "record_measure", {"instrument": "phq9", "items": items})
        assert answer.status_code == 201, answer.text
        site.clinic.clock.advance(dt.timedelta(days=7))


async def shown(site, course: str, person: str = "therapist-1", *roles: str):
    page = await site.visitor(person, *roles)
    await page.open(f"/courses/{course}")
    assert page.status == 200, page.answer.text
    return page


def lines(page) -> dict[str, str]:
    """What is known at a glance."""
    rows = page.tree.one("dl", class_="ipt-glance").all("div")
    return {row.one("dt").text: row.one("dd").text for row in rows}


def test_a_referral_shows_what_the_start_needs(browse):
    async def test(site):
        page = await shown(site, await opened(site))
        assert page.heading == "EHR-4711"
        assert page.title.startswith("Course")
        assert page.main.one("h2", id="where").text == "Referred"
        assert lines(page)["Problem area"] == "not chosen yet"
        assert "No scale has been taken yet." in page.text

    browse(test)


def test_the_strip_says_where_the_course_is_by_both_limits(browse):
    async def test(site):
        page = await shown(site, await opened(site, *INITIAL, *WORKED))
        assert page.main.one("h2", id="where").text == "Initial phase: session 2 of 12, week 1 of 12"
        phases = [each.text for each in page.main.one("ol", class_="ipt-phases").all("li")]
        assert phases == [
            "Initial phase now, 1 of at most 3",
            "Middle phase still to come, up to 8 sessions",
            "Final phase still to come, up to 3 sessions",
        ]
        assert page.main.one("li", aria_current="step").text.startswith("Initial phase")
        assert "1 of 12 sessions are used. This is week 1 of 12." in page.text

    browse(test)


def test_the_next_step_lists_what_it_still_needs_with_the_way_there(browse):
    async def test(site):
        course = await opened(site, *INITIAL)
        page = await shown(site, course)
        needs = {each.one("strong").text: each for each in page.main.all("li", class_="govuk-task-list__item")}
        assert {"Interpersonal inventory", "Contract", "First score of the symptoms"} <= set(needs)
        assert needs["Contract"].one("a")["href"] == f"/courses/{course}/do/agree_contract"
        assert needs["Contract"].text.endswith("missing")
        assert "Diagnostic evaluation" not in needs
        assert "Diagnostic evaluation: met" in page.text

    browse(test)


def test_a_supervisor_sees_what_is_missing_and_is_led_only_where_they_may_go(browse):
    async def test(site):
        course = await opened(site, *INITIAL)
        page = await shown(site, course, "supervisor-1", "supervisor")
        needs = {each.one("strong").text: each for each in page.main.all("li", class_="govuk-task-list__item")}
        assert needs["Contract"].all("a") == []
        assert f"/courses/{course}/session" not in page.links().values()

    browse(test)


def test_at_a_glance_says_what_was_agreed(browse):
    async def test(site):
        known = lines(await shown(site, await opened(site, *INITIAL, *WORKED)))
        assert known["Problem area"] == "Role transition"
        assert known["Contract"].startswith("12 sessions in 12 weeks ends by ")
        assert known["Sick role"].startswith("Given, full")
        assert "Hosting the family until" in known["Sick role"]
        assert known["Goals"] == "Feel well enough to work Settle the new role"
        assert known["Consent"] != "none recorded"
        assert known["Next appointment"] == "none booked"

    browse(test)


def test_each_scale_has_a_chart_with_a_sentence_and_a_table(browse):
    async def test(site):
        course = await opened(site, *INITIAL)
        await scored(site, course, [2] * 9, [2] * 8 + [0], [1] * 8 + [0])
        page = await shown(site, course)
        (figure,) = page.main.all("figure")
        svg = figure.one("svg")
        assert svg["role"] == "img"
        assert "10 points better, a reliable improvement (6 or more)." in svg.one("desc").text
        table = figure.all("table")[0].rows()
        assert [row[2] for row in table[1:]] == ["18", "16", "8"]

    browse(test)


def test_risk_that_nobody_has_reviewed_stands_at_the_top_and_its_review_is_a_button(browse):
    async def test(site):
        course = await opened(site, *INITIAL)
        await scored(site, course, [2] * 9)
        page = await shown(site, course)
        assert page.main.one(class_="govuk-warning-text").text.startswith("! Warning Risk was seen on 5 January 2026")
        assert "Review the risk" in page.links()

    browse(test)


def test_what_can_be_done_is_a_link_and_what_cannot_says_why(browse):
    async def test(site):
        course = await opened(site)
        page = await shown(site, course)
        links = page.links()
        assert links["Record consent"] == f"/courses/{course}/do/record_consent"
        assert "Begin the first phase" not in links
        refused = next(each for each in page.main.all("li") if each.text.startswith("Begin the first phase: not now."))
        assert len(refused.text) > len("Begin the first phase: not now.") + 10

    browse(test)


def test_an_auditor_is_offered_nothing_to_do(browse):
    async def test(site):
        page = await shown(site, await opened(site, *INITIAL), "auditor-1", "auditor")
        assert not any("/do/" in each or each.endswith("/session") for each in page.links().values())
        assert "Everything that can be done" not in page.text

    browse(test)


def test_a_stranger_and_an_administrator_see_no_course(browse):
    async def test(site):
        course = await opened(site)
        for person, role in (("therapist-2", "therapist"), ("admin-1", "admin")):
            page = await site.visitor(person, role)
            await page.open(f"/courses/{course}")
            assert page.status == 404
            assert "EHR-4711" not in page.answer.text

    browse(test)


def test_who_looked_at_it_is_listed_with_why(browse):
    async def test(site):
        course = await opened(site)
        await shown(site, course, "supervisor-1", "supervisor")
        page = await shown(site, course)
        looks = [each.text for each in page.main.one("ul", aria_labelledby="looks").all("li")]
        assert any(each.startswith("supervisor-1, supervisor, for the clinic:") for each in looks)

    browse(test)


def test_nothing_of_the_client_is_in_the_address_or_the_title(browse):
    async def test(site):
        page = await shown(site, await opened(site, *INITIAL))
        assert "4711" not in page.title
        assert not any("4711" in each for each in page.links().values())
        assert page.answer.headers["cache-control"] == "no-store"

    browse(test)


def test_words_that_somebody_typed_are_text(browse):
    async def test(site):
        course = await opened(site, *INITIAL)
        api = await site.api()
        answer = await api.fire(course, "raise_risk", {"level": "elevated", "plan": "<script>alert(1)</script>", "told": ["<b>"]})
        assert answer.status_code == 201, answer.text
        page = await shown(site, course)
        assert page.tree.all("script") == []
        assert escape("<script>") in page.answer.text

    browse(test)


def test_the_page_is_german_for_who_reads_german(browse):
    async def test(site):
        course = await opened(site, *INITIAL, *WORKED)
        await scored(site, course, [2] * 9, [1] * 9)
        page = await site.visitor(language="de")
        await page.open(f"/courses/{course}")
        assert page.main.one("h2", id="where").text == "Anfangsphase: Sitzung 2 von 12, Woche 3 von 12"
        assert "9 Punkte besser, eine zuverlässige Besserung (6 oder mehr)" in page.text
        assert "Blatt für die Klientin oder den Klienten" in page.links()

    browse(test)


def test_it_asks_the_database_a_bounded_number_of_questions(browse, statements):
    async def test(site):
        first = await opened(site, *INITIAL)
        with statements() as few:
            await shown(site, first)
        for number in range(12):
            await opened(site, "record_consent", ref=f"EHR-{number}")
        await scored(site, first, *[[1] * 9] * 10)
        with statements() as many:
            await shown(site, first)
        assert len(many) <= len(few) + 2, many

    browse(test)


@pytest.mark.parametrize("walked", ((), (*INITIAL, *WORKED)), ids=("referred", "in the first phase"))
def test_the_page_is_accessible(browse, axe, walked):
    async def test(site):
        course = await opened(site, *walked)
        if walked:
            await scored(site, course, [2] * 9, [1] * 9)
            api = await site.api()
            for data in (FUNCTIONING, SUPPORT, SYMPTOMS):
                assert (await api.fire(course, "record_measure", data)).status_code == 201
        axe(await shown(site, course))

    browse(test)


@pytest.mark.rest
def test_pictures_of_a_course_are_kept(browse, picture):
    async def test(site):
        course = await opened(site, *INITIAL)
        await scored(site, course, [3] * 6 + [2, 2, 0], [2] * 8 + [0], [2, 2, 2, 2, 1, 1, 1, 1, 0], [1] * 8 + [0])
        await (await site.api()).walk(course, *WORKED)
        page = await shown(site, course)
        for name, look in (("course", "light"), ("course-dark", "dark"), ("course-narrow", "narrow")):
            picture(page, name, look)

    browse(test)


def test_every_trigger_stands_in_one_group():
    listed = [name for names in steps.GROUPS.values() for name in names]
    known = [row.name for row in triggers.TABLE if row.name not in {*triggers.OPENINGS, *steps.ELSEWHERE}]
    assert sorted(listed) == sorted(known)


def test_every_rule_at_the_end_of_a_phase_has_words():
    catalogue = load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES)
    asked = {*(rule for rules in ARTEFACTS.values() for rule in rules), *PHASE_RULES}
    for protocol in catalogue.protocols.values():
        gates = (name for name in triggers.names(protocol) if triggers.leaves_phase(name))
        asked |= {bound.rule.name for gate in gates for bound in bound_to(protocol, gate)}
    assert asked <= set(steps.DEMANDS)
