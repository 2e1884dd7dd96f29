"""The frame of every page: its styles, its parts, where one can go from it."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import page_client

from ipt_workflow.web.pages import asset

ROOT = Path(__file__).parents[2]
SIGN_IN = "/o/default/sign-in"
PLACES = {
    "therapist": ["My day", "Courses", "Groups", "Inbox"],
    "supervisor": ["My day", "Supervision", "Courses", "Groups", "Audit"],
    "auditor": ["My day", "Audit", "Courses"],
    "admin": ["Start", "Administration"],
}


def places(page):
    return [each.text for each in page.tree.one("header").one("nav").all("a")]


def test_style_sheets_are_kept_by_their_digest_and_packed(browse):
    async def test(site):
        page = await site.visitor()
        await page.open("/me")
        sheets = page.tree.all("link", rel="stylesheet")
        assert [re.sub(r"[0-9a-f]{12}$", "", each["href"]) for each in sheets] == ["/static/govuk.css?v=", "/static/ipt.css?v="]
        for each in sheets:
            plain, packed = [await site.get(each["href"], Accept_Encoding=coding) for coding in ("identity", "gzip")]
            assert plain.headers["content-type"] == "text/css; charset=utf-8"
            assert "immutable" in plain.headers["cache-control"]
            assert "content-encoding" not in plain.headers
            assert packed.headers["content-encoding"] == "gzip"
            assert plain.text == packed.text  # which the client unpacked
        assert (await site.get("/static/base.html")).status_code == 404

    browse(test)


@pytest.mark.parametrize("name", ("govuk.css", "ipt.css"))
def test_a_style_sheet_names_nothing_elsewhere_and_no_restricted_font(name):
    text = asset(name).content.decode()
    text = text.replace('[href^="http://"]', "").replace('[href^="https://"]', "")
    assert not re.findall(r"url\(|@import|@font-face|GDS Transport|https?:|expression\(", text)


@pytest.mark.rest
def test_the_style_sheet_is_the_one_that_make_css_builds(tmp_path):
    modules = ROOT / "tests" / "web" / "node" / "node_modules"
    if not (modules / "sass").is_dir():
        missing = "sass is not installed: make provider"
        (pytest.fail if os.environ.get("IPT_TEST_COMPLETE") else pytest.skip)(missing)
    recipe = re.search(r"^css:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    options = re.findall(r"--(?!load-path)[a-z-]+(?:=\w+)?", recipe)
    built, source = tmp_path / "govuk.css", ROOT / "ipt_workflow" / "web" / "styles" / "govuk.scss"
    command = [modules / ".bin" / "sass", *options, f"--load-path={modules / 'govuk-frontend' / 'dist'}", source, built]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, check=True, env={**os.environ, "PATH": path})
    assert built.read_bytes() == asset("govuk.css").content


def test_a_first_visit_takes_less_than_60_kilobytes(browse):
    async def test(site):
        page = await site.visitor()
        await page.open("/me")
        total = len(page.answer.content) + sum(len(asset(name).packed) for name in ("govuk.css", "ipt.css", "icon.svg"))
        assert total < 60_000

    browse(test)


@pytest.mark.parametrize("role", PLACES)
def test_every_role_has_its_places(browse, role):
    async def test(site):
        page = await site.visitor("pat", role)
        await page.open("/me")
        assert places(page) == PLACES[role]

    browse(test)


def test_the_place_of_a_page_is_marked(browse):
    async def test(site):
        page = await site.visitor("pat", "therapist")
        await page.open("/")
        (marked,) = [each for each in page.tree.one("header").one("nav").all("a") if each.get("aria-current")]
        assert (marked.text, marked["aria-current"]) == ("My day", "page")

    browse(test)


def test_one_without_a_role_chooses_one_and_is_asked_nothing_else(browse):
    async def test(site):
        page = await site.visitor("pat", "therapist", "supervisor")
        await page.open("/")
        assert (page.heading, page.tree.one("header").all("nav")) == ("Choose a role", [])
        await page.press("Act as supervisor")
        assert places(page) == PLACES["supervisor"]
        await page.open("/me")
        assert "You are signed in as pat, as supervisor." in page.text

    browse(test)


def test_one_signs_out_from_every_page(browse):
    async def test(site):
        page = await site.visitor()
        await page.open("/passkeys")
        await page.press("Sign out")
        assert page.heading == "You are signed out"
        assert page.tree.one("header").all("nav") == []
        await page.open("/")
        assert page.path == SIGN_IN

    browse(test)


@pytest.mark.parametrize(
    "path", ("/me", "/passkeys", "/nowhere", "/patterns", SIGN_IN, f"{SIGN_IN}/passkey", f"{SIGN_IN}/recovery-code")
)
def test_the_first_pages_are_accessible(browse, axe, path):
    async def test(site):
        page = await site.visitor("pat", "therapist", "supervisor") if path == "/me" else await site.visitor()
        await site.visitor("pat")
        await page.open(path)
        assert page.status == (404 if path == "/nowhere" else 200)
        axe(page)

    browse(test)


def test_one_reads_in_the_language_and_zone_of_ones_choice(browse):
    async def test(site):
        page = await site.visitor("pat", language="en")
        await page.open("/me")
        page.fill("Language", "Deutsch").fill("Time zone", "America/New_York")
        await page.press("Save")
        assert (page.status, page.path, page.tree.one("html")["lang"]) == (200, "/me", "de")
        assert page.tree.one("input", id="zone")["value"] == "America/New_York"
        other = await site.visitor("pat")
        await page.open("/me")
        assert "04:00" in page.text  # the other session began at 09:00 UTC
        await other.open("/me")
        (form,) = [each for each in other.tree.all("form") if each["action"] == "/me"]
        other.fill(form.all("label")[0].text, "English")
        await other.press(form.one("button").text)
        assert other.tree.one("html")["lang"] == "en"

    browse(test)


def test_a_time_zone_that_is_none_is_said_at_its_field(browse):
    async def test(site):
        page = await site.visitor("pat")
        await page.open("/me")
        page.fill("Time zone", "Berlin")
        await page.press("Save")
        assert page.status == 422
        assert page.title.startswith("Error: ")
        assert page.errors == ["There is no such time zone. Write one such as Europe/Berlin."]
        assert page.control("Time zone")["value"] == "Berlin"

    browse(test)


def test_a_page_names_whoever_is_signed_in(browse):
    async def test(site):
        api = await site.api()
        await api.post("/v1/people", {"id": "pat", "name": "Pat Jones", "roles": ["therapist"]}, "admin")
        page = await site.visitor("pat")
        await page.open("/me")
        assert "Pat Jones, as therapist" in page.tree.text

    browse(test)


def test_an_address_that_nothing_serves_is_a_page_for_a_browser_alone(browse):
    async def test(site):
        page = await site.visitor(language="de")
        await page.open("/nowhere")
        assert (page.status, page.tree.one("html")["lang"]) == (404, "de")
        for method, accept in (("GET", "*/*"), ("POST", "text/html"), ("GET", "application/json")):
            answer = await site.client.request(method, "/nowhere", headers={"Accept": accept})
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

    browse(test)


def test_the_patterns_are_shown_in_development_alone(settings, clock):
    async def inside():
        async with page_client.running(settings, clock) as site:
            assert (await site.get("/patterns")).status_code == 404

    asyncio.run(inside())


def test_pictures_of_the_pieces_are_kept(browse, picture):
    async def test(site):
        page = await site.visitor()
        await page.open("/patterns")
        for look in ("light", "dark", "narrow", "forced"):
            picture(page, f"patterns-{look}", look)

    browse(test)


def test_a_page_asks_the_database_little(browse, statements):
    async def test(site):
        page = await site.visitor()
        with statements() as asked:
            await page.open("/me")
        assert 0 < len(asked) <= 8

    browse(test)
