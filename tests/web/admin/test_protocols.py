"""The pages about protocols: the picture, values with sources, what differs, what is proved, and moving courses to another version."""

import re
from pathlib import Path

import pytest
from support import protocol_versions
from support.http_client import Api

from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.gate import GateReport
from ipt_workflow.gate.claims import CLAIMS, Refutation
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.protocols.statements import statements
from ipt_workflow.service.protocols.proofs import Proofs
from ipt_workflow.web.admin.terms import CODES, PLACES, group_text, place_text, value_text

ALL = "/admin/protocols"
CONFIG = Path(__file__).parents[3] / "config"
PROTOCOLS = load_catalogue(CONFIG / "protocols", CONFIG / "instruments", KNOWN_RULES).protocols.values()
REASON = "The clinic takes up the new version."


@pytest.fixture
def settings(settings, tmp_path):
    """With a version 3 of `ipt`, whose first phase may have two sessions and whose timeline is a must."""
    folder = protocol_versions.config(tmp_path / "config", protocol_versions.SMALLER_CAP, protocol_versions.HARD_TIMELINE)
    return settings.model_copy(update={"config_dir": folder})


@pytest.fixture
def proofs(monkeypatch):
    """What the gate says, without its working it out."""
    known: dict[str, GateReport | None] = {}

    async def of(_self, protocol, patience=0):
        return known.get(protocol.key)

    monkeypatch.setattr(Proofs, "of", of)
    return known


async def courses(site, count=2) -> list[str]:
    """Courses under version 2, which began before there was a version 3."""
    api: Api = await site.api()
    return [(await api.open(f"EHR-{number}", protocol_version=2))["id"] for number in range(count)]


def test_every_version_is_listed_and_leads_to_its_page(browse):
    async def test(site):
        page = await site.visitor("pat", "therapist")
        await page.open(ALL)
        rows = {row[1]: row for row in page.table()[1:]}
        assert rows["ipt 2"][2:] == ["Initial phase, Middle phase, Final phase", "12–16", "12–16", "yes"]
        assert "ipt 3" in rows
        await page.follow("Interpersonal Psychotherapy for Adolescents")
        assert page.heading.startswith("Interpersonal Psychotherapy for Adolescents")

    browse(test)


def test_a_version_shows_its_picture_and_every_way(browse):
    async def test(site):
        page = await site.visitor("pat", "therapist")
        await page.open(f"{ALL}/ipt/2")
        picture = page.tree.one("svg")
        assert picture.one("title").text == "The states of Interpersonal Psychotherapy"
        texts = [each.text for each in picture.all("text")]
        assert {"Referred", "Break", "Initial phase", "1 to 3 sessions", "3 sessions"} <= set(texts)
        ways = page.table(0)[1:]
        assert ["Referred", "Initial phase"] in [[way[0], way[2]] for way in ways]
        assert all(all(way) for way in ways)

    browse(test)


def test_a_value_is_shown_with_its_source_and_how_much_it_weighs(browse):
    async def test(site):
        page = await site.visitor("pat", "therapist")
        await page.open(f"{ALL}/ipt/2")
        rows = [row for table in page.main.all("table")[1:] for row in table.rows()]
        assert ["Weeks", "12 to 16", "S1: 12-16 weeks (given at the start)"] in rows
        assert any(row[0].startswith("Days after the planned end") and "decided here" in row[2] for row in rows)

    browse(test)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.key)
def test_every_value_of_what_ships_has_a_name_in_words(protocol):
    found = statements(protocol.source)
    assert [each.key for each in found if "rules[" not in each.key and bare(each.key) not in PLACES] == []
    names = {phase.id: phase.title for phase in protocol.phases}
    assert [each.key for each in found if "_" in place_text(each) + group_text(each, names)] == []
    assert [each.key for each in found if bare(each.key) in CODES and "_" in value_text(each)] == []


def bare(key):
    return re.sub(r"\[[^]]*\]", "", key)


def test_what_differs_between_two_versions_is_listed(browse):
    async def test(site):
        page = await site.visitor("pat", "supervisor")
        await page.open(f"{ALL}/ipt/3")
        await page.follow("What differs between version 2 and version 3")
        rows = {row[0]: row[1:4] for row in page.table()[1:]}
        assert rows["Initial phase: Most sessions"] == ["changed", "3", "2"]
        assert rows["Initial phase: What may be passed over with a reason"] == ["changed", "Timeline", ""]
        await page.open(f"{ALL}/ipt/2/differences/2")
        assert "Nothing differs." in page.text
        await page.open(f"{ALL}/ipt/2/differences/9")
        assert page.status == 404

    browse(test)


def test_what_is_proved_is_told_claim_by_claim(browse, proofs):
    async def test(site):
        page = await site.visitor("pat", "admin")
        await page.open(f"{ALL}/ipt/2")
        await page.follow("What is proved of this version")
        assert "It is still being worked out." in page.text
        proofs["ipt@2"] = GateReport(protocol="ipt@2", findings=(), courses=1581, tried=32389)
        await page.follow("Load again")
        assert "Every claim holds." in page.text
        assert "1,581 different courses were looked at, by 32,389 steps." in page.text
        assert [row[1] for row in page.table()[1:]] == ["holds"] * len(CLAIMS)

    browse(test)


def test_a_claim_that_does_not_hold_says_why_and_by_which_steps(browse, proofs):
    finding = Refutation("session_caps_hold", "initial has 4 sessions and may have 3", ("refer", "start"))

    async def test(site):
        page = await site.visitor("pat", "admin")
        proofs["ipt@2"] = GateReport(protocol="ipt@2", findings=(finding,), courses=4, tried=9)
        await page.open(f"{ALL}/ipt/2/proof")
        assert "Some claims do not hold." in page.text
        (row,) = [row for row in page.table()[1:] if row[1] == "does not hold"]
        assert row[2].startswith("initial has 4 sessions and may have 3")
        proofs["ipt@2"] = GateReport(protocol="ipt@2", findings=(), courses=20_000, tried=9, cut_off=True)
        await page.open(f"{ALL}/ipt/2/proof")
        assert {row[1] for row in page.table()[1:]} == {"not known"}

    browse(test)


def test_a_supervisor_looks_at_the_plan_and_moves_the_chosen_courses(browse):
    async def test(site):
        ids = await courses(site)
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"{ALL}/ipt/2")
        await page.follow("What moving courses from version 2 to version 3 would do")
        assert page.table(0)[1:] == [["Everything carries over", "2", ""]]
        assert page.links()["Course number 1"] == f"/courses/{ids[0]}"
        assert page.value(page.control("Move course number 2")) == ids[1]
        page.choose("Move course number 2", on=False)
        await page.press("Move the chosen courses")
        assert (page.status, page.errors) == (422, ["Say why they are moved."])
        assert page.value(page.control("Move course number 2")) is None
        page.fill("Why they are moved", REASON)
        await page.press("Move the chosen courses")
        assert [row[:2] for row in page.table()[1:]] == [["Course number 1", "moved"]]
        await page.open(f"{ALL}/ipt/2/move/3")
        assert page.table(0)[1:] == [["Everything carries over", "1", ""]]

    browse(test)


def test_nothing_is_moved_without_a_choice(browse):
    async def test(site):
        await courses(site, 1)
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"{ALL}/ipt/2/move/3")
        page.choose("Move course number 1", on=False).fill("Why they are moved", REASON)
        await page.press("Move the chosen courses")
        assert (page.status, page.errors) == (422, ["Choose at least one course."])
        assert page.value(page.control("Why they are moved")) == REASON

    browse(test)


def test_what_no_page_sends_is_refused_and_moves_nothing(browse):
    async def test(site):
        await courses(site, 1)
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"{ALL}/ipt/2/move/3")
        token = page.main.all("input", name="_csrf_token")[0]["value"]
        for fields in ([("courses", "\x01" * 36)], [("courses", "no course")], [("start", "\x01")], [("reason", "\x01")]):
            await page._go("POST", f"{ALL}/ipt/2/move/3", [("_csrf_token", token), *fields])
            assert page.status == 422
        await page.open(f"{ALL}/ipt/2/move/3")
        assert page.table(0)[1:] == [["Everything carries over", "1", ""]]

    browse(test)


def test_an_administrator_sees_numbers_and_no_course(browse):
    async def test(site):
        ids = await courses(site)
        page = await site.visitor("admin-1", "admin")
        await page.open(f"{ALL}/ipt/2/move/3")
        assert page.table(0)[1:] == [["Everything carries over", "2", ""]]
        assert "A supervisor sees the courses, and moves them." in page.text
        assert not any(each in page.answer.text for each in ids)
        assert page.buttons() == []

    browse(test)


@pytest.mark.parametrize("role", ("therapist", "auditor", "admin"))
def test_only_a_supervisor_moves_courses(browse, role):
    async def test(site):
        (course,) = await courses(site, 1)
        page = await site.visitor("pat", role)
        await page.open(ALL)
        token = page.tree.all("input", name="_csrf_token")[0]["value"]
        pairs = [("_csrf_token", token), ("courses", course), ("reason", REASON)]
        await page._go("POST", f"{ALL}/ipt/2/move/3", pairs)
        assert page.status == 403

    browse(test)


def test_a_plan_asks_the_database_as_often_for_many_courses_as_for_one(browse, statements):
    async def test(site):
        api: Api = await site.api()
        page = await site.visitor("supervisor-1", "supervisor")
        counts = []
        for number in (1, 6):
            for each in range(number):
                await api.open(f"EHR-{number}-{each}", protocol_version=2)
            with statements() as asked:
                await page.open(f"{ALL}/ipt/2/move/3")
            counts.append(len(asked))
        assert counts[0] == counts[1]

    browse(test)


@pytest.mark.parametrize("path", ("", "/ipt/2", "/ipt/2/differences/3", "/ipt/2/proof", "/ipt/2/move/3"))
def test_the_pages_are_accessible(browse, axe, proofs, path):
    async def test(site):
        await courses(site, 1)
        proofs["ipt@2"] = GateReport(protocol="ipt@2", findings=(), courses=1, tried=1)
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"{ALL}{path}")
        assert page.status == 200
        axe(page)

    browse(test)


def test_the_faulty_form_is_accessible(browse, axe):
    async def test(site):
        await courses(site, 1)
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"{ALL}/ipt/2/move/3")
        await page.press("Move the chosen courses")
        axe(page)

    browse(test)


def test_a_picture_of_a_protocol_is_kept(browse, picture):
    async def test(site):
        page = await site.visitor("pat", "therapist")
        await page.open(f"{ALL}/ipt/2")
        picture(page, "protocol")
        picture(page, "protocol-dark", "dark")
        page = await site.visitor("admin-1", "admin")
        await page.open("/")
        picture(page, "administration")

    browse(test)
