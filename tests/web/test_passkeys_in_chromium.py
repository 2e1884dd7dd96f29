"""Passkeys in a real browser: made by a link, used to sign in, and refused without user verification. Nothing foreign is loaded."""

import asyncio
from collections.abc import Iterator

import pytest
from support import databases, http_server, local_sign_in
from support.chromium import VirtualAuthenticator, in_chromium
from support.signing_in import on_database

from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.attempts import SignInAttempts
from ipt_workflow.service.access.enrolment import Enrolment
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.web.app import application


@pytest.fixture(scope="module")
def settings_of_site(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = databases.empty(tmp_path_factory.mktemp("site"))
    on_database(settings, local_sign_in.employ)
    return settings


@pytest.fixture(scope="module")
def address(settings_of_site: Settings) -> Iterator[str]:
    with http_server.served(settings_of_site, application=application) as url:
        yield url.replace("127.0.0.1", "localhost")


def link(settings: Settings, address: str, person: str) -> str:
    async def make() -> str:
        clinic = await open_clinic(settings)
        try:
            attempts = SignInAttempts(clinic, clinic.installation.sign_in_limits)
            made = await Enrolment(clinic, attempts, f"{address}/o/default").make_link(local_sign_in.OPERATOR, person)
            return made.link
        finally:
            await clinic.installation.close()

    return asyncio.run(make())


def recorded(settings: Settings) -> list[tuple]:
    return databases.select(
        settings, "SELECT person, action, rules FROM audit_event WHERE kind = 'sign_in' ORDER BY recorded_at, id"
    )


def test_a_person_enrols_by_a_link_signs_in_and_is_refused_without_user_verification(settings_of_site, address):
    said, foreign = [], []

    async def test(page):
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(address) else None)
        authenticator = await VirtualAuthenticator.of(page)

        await page.goto(await asyncio.to_thread(link, settings_of_site, address, "anna"))
        await page.click("text=Make a passkey")
        await page.wait_for_selector("#codes")
        assert len(await page.query_selector_all("#codes li")) == 10
        (credential,) = await authenticator.credentials()
        assert (credential["isResidentCredential"], credential["rpId"]) == (True, "localhost")
        kept = {each["name"]: each for each in await page.context.cookies()}
        session = kept["__Host-ipt"]
        assert (session["httpOnly"], session["secure"], session["sameSite"], session["path"]) == (True, True, "Lax", "/")

        await page.click("text=Go on to the start page")
        await page.wait_for_selector("h1:has-text('My day')")
        await page.click("text=Sign out")
        await page.wait_for_selector("text=You are signed out")

        await page.goto(f"{address}/o/default/sign-in")
        await page.click("text=Sign in with a passkey")
        await page.click("button:has-text('Sign in')")
        await page.wait_for_selector("h1:has-text('My day')")

        await authenticator.verifies(False)
        await page.goto(f"{address}/o/default/sign-in/passkey")
        await page.click("button:has-text('Sign in')")
        await page.wait_for_selector("[role=alert]:has-text('No passkey was used')")

    in_chromium(test)
    done = [action for person, action, _ in recorded(settings_of_site) if person == "anna"]
    assert done == ["signed in by passkey", "signed out", "signed in by passkey"]
    assert (said, foreign) == ([], [])


def test_a_person_who_is_signed_in_adds_a_second_passkey_and_takes_the_first_away(settings_of_site, address):
    async def test(page):
        first = await VirtualAuthenticator.of(page)
        await page.goto(await asyncio.to_thread(link, settings_of_site, address, "ben"))
        await page.click("text=Make a passkey")
        await page.click("text=Add another passkey")
        await page.click("text=Add a passkey")
        await page.wait_for_selector("[role=alert]:has-text('has a passkey of yours already')")
        await first.remove()
        await VirtualAuthenticator.of(page)
        await page.click("text=Add a passkey")
        await page.wait_for_selector("tbody tr:nth-child(2)")
        await page.click("tbody tr:nth-child(1) button")
        await page.wait_for_selector("text=Your last one")

    in_chromium(test)
    assert databases.select(settings_of_site, "SELECT count(*) FROM passkey WHERE person = 'ben'") == [(1,)]


def test_a_page_with_passkeys_says_what_to_do_without_scripts(address):
    async def test(page):
        await page.goto(f"{address}/o/default/sign-in/passkey")
        assert "Passkeys need JavaScript" in await page.inner_text("main")
        await page.click("button")
        await page.wait_for_selector("text=That did not let you in")

    in_chromium(test, java_script_enabled=False)
