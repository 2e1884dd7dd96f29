"""The pages of people without an identity provider: links, recovery codes, passwords, and what each of them refuses."""

import asyncio
import datetime as dt
import json
import re

import httpx
import pytest
from support import local_sign_in, page_client
from support.authenticator import SoftwareAuthenticator
from support.local_sign_in import OPERATOR, ORIGIN, PASSWORD, Local
from support.page_client import Pages

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.access.attempts import NOT_ACCEPTED
from ipt_workflow.service.access.sign_in_setup import SignInSetup
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import access

OF_INSTALLATION = Principal(person="operator", role="operator", via="cli")
ENROL, SIGN_IN = "/o/default/enrol", "/o/default/sign-in"
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


class Visit:
    """A browser at the pages of a clinic, and the clinic's verbs."""

    def __init__(self, pages: Pages) -> None:
        self.http = pages.client
        self.local = Local(pages.clinic)
        self.cookies: dict[str, str] = {}
        self.forwarded_for = ""

    async def get(self, path: str) -> httpx.Response:
        return self._kept(await self.http.get(path, headers=self._headers()))

    async def submit(self, page: httpx.Response, form: str, to: str = "", **fields: str) -> httpx.Response:
        """Sends the form of a page that goes to an address, or what its script sends to another."""
        found = re.search(rf'<form[^>]*action="{re.escape(form)}"[^>]*>(.*?)</form>', page.text, re.DOTALL)
        assert found, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', found[1]))
        return self._kept(await self.http.post(to or form, data={**hidden, **fields}, headers=self._headers() | FROM_HERE))

    async def with_passkey(self, page: httpx.Response, form: str, authenticator: SoftwareAuthenticator) -> httpx.Response:
        """What the script of a page does with its form."""
        asked = await self.submit(page, form, f"{form}/options")
        assert asked.status_code == 200, asked.text
        options = asked.json()
        answer = authenticator.make(options) if "user" in options else authenticator.sign(options)
        return await self.submit(page, form, answer=json.dumps(answer))

    async def link(self, person: str) -> str:
        return (await self.local.enrolment.make_link(OPERATOR, person)).link.removeprefix(ORIGIN)

    async def enrolled(self, person: str, authenticator: SoftwareAuthenticator) -> tuple[str, ...]:
        """The codes of somebody who enrols, and is signed in then."""
        page = await self.with_passkey(await self.get(await self.link(person)), f"{ENROL}/passkey", authenticator)
        assert page.status_code == 200, page.text
        return tuple(re.findall(r"<li><code>([^<]+)</code></li>", page.text))

    def _headers(self) -> dict[str, str]:
        pairs = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        named = {"Cookie": pairs, "X-Forwarded-For": self.forwarded_for}
        return {name: value for name, value in named.items() if value}

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        for line in answer.headers.get_list("set-cookie"):
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0].strip('"')
        self.http.cookies.clear()
        return answer


@pytest.fixture
def visit(settings, clock, monkeypatch):
    """Runs a coroutine function with a `Visit`."""
    local_sign_in.hashes_cost_little(monkeypatch)

    def run(test, **changed):
        async def inside():
            async with page_client.running(settings.model_copy(update=changed), clock) as pages:
                await pages.clinic.database.write(local_sign_in.employ)
                await test(Visit(pages))

        return asyncio.run(inside())

    return run


def test_a_link_may_be_looked_at_and_is_used_by_its_form(visit):
    async def test(visit):
        link = await visit.link("anna")
        for _ in range(2):
            page = await visit.get(link)
            assert page.status_code == 200
            assert "This link is for <strong>anna</strong>" in page.text
        assert len(await visit.enrolled("ben", SoftwareAuthenticator())) == 10
        assert "You are signed in as <strong>ben</strong>" in (await visit.get("/me")).text

    visit(test)


@pytest.mark.parametrize("key", ["", "x" * 43, "%25", "a%0ab"])
def test_a_link_that_was_used_or_never_made_says_what_to_do(visit, key):
    async def test(visit):
        used = await visit.link("anna")
        page = await visit.get(used)
        await visit.with_passkey(page, f"{ENROL}/passkey", SoftwareAuthenticator())
        for path in (used, f"{ENROL}?key={key}"):
            answer = await visit.get(path)
            assert answer.status_code == 400
            assert "Ask your administrator for a new one" in answer.text

    visit(test)


def test_pages_with_a_script_run_only_a_file_of_this_service(visit):
    async def test(visit):
        for path in (f"{SIGN_IN}/passkey", await visit.link("anna")):
            page = await visit.get(path)
            assert re.findall(r"<script[^>]*>[^<]*", page.text) == re.findall(
                r'<script src="/static/passkey\.js\?v=[0-9a-f]{12}" defer>', page.text
            )
            assert "default-src 'self'" in page.headers["content-security-policy"]
        script = await visit.get("/static/passkey.js")
        assert script.headers["content-type"].startswith("text/javascript")
        assert "http" not in script.text.replace("https://", "http")
        assert "<script" not in (await visit.get(f"{SIGN_IN}/password")).text

    visit(test)


def test_a_passkey_signs_in_by_the_page_and_its_script(visit):
    async def test(visit):
        authenticator = SoftwareAuthenticator()
        await visit.enrolled("anna", authenticator)
        visit.cookies.clear()
        done = await visit.with_passkey(await visit.get(f"{SIGN_IN}/passkey"), f"{SIGN_IN}/passkey", authenticator)
        assert (done.status_code, done.headers["location"]) == (303, "/")
        assert "You are signed in as <strong>anna</strong>" in (await visit.get("/me")).text

    visit(test)


def test_a_recovery_code_signs_in_and_a_wrong_one_is_told_on_the_form(visit):
    async def test(visit):
        codes = await visit.enrolled("anna", SoftwareAuthenticator())
        visit.cookies.clear()
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        wrong = await visit.submit(page, f"{SIGN_IN}/recovery-code", person="<anna>", code="x")
        assert wrong.status_code == 400
        assert NOT_ACCEPTED in wrong.text
        assert 'value="&lt;anna&gt;"' in wrong.text
        done = await visit.submit(wrong, f"{SIGN_IN}/recovery-code", person="anna", code=codes[0])
        assert done.status_code == 303
        again = await visit.submit(wrong, f"{SIGN_IN}/recovery-code", person="anna", code=codes[0])
        assert again.status_code == 403  # the form is of before

    visit(test)


def test_a_password_is_set_by_a_link_and_signs_in_with_a_code(visit):
    async def test(visit):
        page = await visit.get(await visit.link("anna"))
        secret = re.search(r'name="secret" value="([A-Z2-7]{32})"', page.text)[1]
        assert f"<code>{secret[:4]} {secret[4:8]} " in page.text
        assert re.search(r'type="password"[^>]* autocomplete="new-password"', page.text)
        weak = await visit.submit(page, f"{ENROL}/password", password="short", code="000000")
        assert weak.status_code == 422
        assert "The password must have 15 to 128 characters" in weak.text
        secret = re.search(r'name="secret" value="([A-Z2-7]{32})"', weak.text)[1]
        done = await visit.submit(weak, f"{ENROL}/password", password=PASSWORD, code=visit.local.code(secret))
        assert done.status_code == 200
        assert len(re.findall(r"<li><code>", done.text)) == 10
        visit.cookies.clear()
        visit.local.clinic.clock.advance(dt.timedelta(seconds=30))
        form = await visit.get(f"{SIGN_IN}/password")
        wrong = await visit.submit(form, f"{SIGN_IN}/password", person="anna", password="no", code=visit.local.code(secret))
        assert (wrong.status_code, NOT_ACCEPTED in wrong.text, PASSWORD in wrong.text) == (400, True, False)
        given = {"person": "anna", "password": PASSWORD, "code": visit.local.code(secret)}
        assert (await visit.submit(form, f"{SIGN_IN}/password", **given)).status_code == 303

    visit(test)


def test_a_password_is_changed_on_ones_own_page(visit):
    async def test(visit):
        await visit.local.set_password("anna", "A" * 32)
        visit.local.clinic.clock.advance(dt.timedelta(seconds=30))
        form = await visit.get(f"{SIGN_IN}/password")
        given = {"person": "anna", "password": PASSWORD, "code": visit.local.code("A" * 32)}
        assert (await visit.submit(form, f"{SIGN_IN}/password", **given)).status_code == 303
        page = await visit.get("/passkeys")
        weak = await visit.submit(page, "/password", password="anna is short of words", code="000000")
        assert (weak.status_code, "must not hold your name" in weak.text) == (422, True)
        secret = re.search(r'name="secret" value="([A-Z2-7]{32})"', page.text)[1]
        new = {"password": "another long sentence", "code": visit.local.code(secret)}
        assert (await visit.submit(page, "/password", **new)).status_code == 303
        visit.local.clinic.clock.advance(dt.timedelta(seconds=30))
        visit.cookies.clear()
        form = await visit.get(f"{SIGN_IN}/password")
        old = await visit.submit(form, f"{SIGN_IN}/password", **{**given, "code": visit.local.code(secret)})
        assert old.status_code == 400
        new = {**given, "password": "another long sentence", "code": visit.local.code(secret)}
        assert (await visit.submit(form, f"{SIGN_IN}/password", **new)).status_code == 303

    visit(test)


def test_ways_that_an_organisation_or_an_address_has_not_are_not_offered(visit):
    async def test(visit):
        choice = (await visit.get(SIGN_IN)).text
        assert ("with a passkey" in choice, "with a password" in choice, "with a recovery code" in choice) == (False, True, True)
        page = await visit.get(await visit.link("anna"))
        assert "Make a passkey" not in page.text
        await SignInSetup(visit.local.clinic, Clinics(visit.local.clinic)).set(OF_INSTALLATION, "default", {}, None)
        assert "No way of signing in is set up" in (await visit.get(SIGN_IN)).text
        assert (await visit.get(f"{SIGN_IN}/password")).status_code == 404

    visit(test, public_url="https://192.0.2.7")


def test_somebody_who_tries_too_often_is_told_when_to_try_again(visit):
    async def test(visit):
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        answers = [
            await visit.submit(page, f"{SIGN_IN}/recovery-code", person=person, code="x")
            for person in ["anna"] * 6 + ["nobody-here"] * 6
        ]
        assert [each.status_code for each in answers] == [400, 400, 400, 400, 400, 429] * 2
        assert 0 < int(answers[5].headers["retry-after"]) <= 60
        assert "Try again in 1 minute." in answers[5].text

    visit(test)


def test_what_somebody_typed_is_shown_as_text(visit):
    async def test(visit):
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        answer = await visit.submit(page, f"{SIGN_IN}/recovery-code", person='"><script>x</script>', code="x")
        assert answer.status_code == 400
        assert "<script" not in answer.text
        assert 'value="&#34;&gt;&lt;script&gt;x&lt;/script&gt;"' in answer.text

    visit(test)


def test_the_cookie_of_a_session_is_for_this_host_alone_and_for_no_script(visit):
    async def test(visit):
        codes = await visit.enrolled("ben", SoftwareAuthenticator())
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        done = await visit.submit(page, f"{SIGN_IN}/recovery-code", person="ben", code=codes[0])
        lines = done.headers.get_list("set-cookie")
        assert {line.partition("=")[0] for line in lines} >= {"__Host-ipt", "__Host-ipt-sign-in", "__Host-csrf"}
        for line in lines:
            assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(line.split("; "))
            assert "Domain" not in line

    visit(test)


def test_addresses_of_one_ipv6_network_count_as_one(visit):
    """Six wrong codes of one name, each from another address of a network that one caller may have."""

    async def test(visit):
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        statuses = []
        for number in range(6):
            visit.forwarded_for = f"2001:db8:1:2::{number + 1:x}"
            answer = await visit.submit(page, f"{SIGN_IN}/recovery-code", person="anna", code="x")
            statuses.append(answer.status_code)
        visit.forwarded_for = "2001:db8:1:3::1"
        elsewhere = await visit.submit(page, f"{SIGN_IN}/recovery-code", person="anna", code="x")
        assert [*statuses, elsewhere.status_code] == [400, 400, 400, 400, 400, 429, 400]

    visit(test, proxy_networks="127.0.0.1/32")


def test_whoever_signs_in_ends_the_session_that_the_browser_had(visit):
    async def test(visit):
        codes = await visit.enrolled("ben", SoftwareAuthenticator())
        await visit.enrolled("anna", SoftwareAuthenticator())
        annas = dict(visit.cookies)
        page = await visit.get(f"{SIGN_IN}/recovery-code")
        assert (await visit.submit(page, f"{SIGN_IN}/recovery-code", person="ben", code=codes[0])).status_code == 303
        assert "You are signed in as <strong>ben</strong>" in (await visit.get("/me")).text
        visit.cookies = annas
        assert (await visit.get("/")).headers["location"] == SIGN_IN
        clinic = visit.local.clinic
        for person, open_sessions in (("anna", 0), ("ben", 1)):
            assert len(await clinic.read(access.of_person, person, clinic.clock.now())) == open_sessions

    visit(test)


def test_passkeys_and_codes_are_changed_on_ones_own_page_right_after_signing_in(visit):
    async def test(visit):
        codes = await visit.enrolled("anna", SoftwareAuthenticator())
        page = await visit.get("/passkeys")
        assert "Your last one" in page.text
        added = await visit.with_passkey(page, "/passkeys", SoftwareAuthenticator())
        assert (added.status_code, added.headers["location"]) == (303, "/passkeys")
        page = await visit.get("/passkeys")
        remove = re.findall(r'action="(/passkeys/[0-9a-f]{64}/remove)"', page.text)
        assert len(remove) == 2
        assert (await visit.submit(page, remove[0])).status_code == 303
        assert "Your last one" in (await visit.get("/passkeys")).text
        new = await visit.submit(page, "/recovery-codes")
        assert not set(re.findall(r"<li><code>([^<]+)</code></li>", new.text)) & set(codes)
        visit.local.clinic.clock.advance(dt.timedelta(minutes=6))
        late = await visit.submit(page, "/recovery-codes")
        assert late.status_code == 401
        assert "Sign in again" in late.text
        assert (await visit.get("/confirm")).headers["location"] == SIGN_IN

    visit(test)


@pytest.mark.parametrize("path", [f"{SIGN_IN}/passkey", f"{SIGN_IN}/recovery-code", f"{SIGN_IN}/password", f"{ENROL}?key=x"])
def test_another_organisation_has_no_such_page(visit, path):
    async def test(visit):
        assert (await visit.get(path.replace("default", "north"))).status_code == 404

    visit(test)


@pytest.mark.parametrize("action", ["sign-in/passkey", "sign-in/passkey/options", "sign-in/recovery-code", "enrol/passkey"])
def test_a_form_from_another_site_is_refused_before_it_is_read(visit, action):
    async def test(visit):
        page = await visit.get(f"{SIGN_IN}/passkey")
        token = re.search(r'name="_csrf_token" value="([^"]+)"', page.text)[1]
        headers = {"Cookie": f"__Host-csrf={token}", "Sec-Fetch-Site": "cross-site"}
        answer = await visit.http.post(f"/o/default/{action}", data={"_csrf_token": token}, headers=headers)
        assert answer.status_code == 403
        assert await visit.local.log() == []

    visit(test)
