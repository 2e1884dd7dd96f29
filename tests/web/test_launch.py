"""SMART App Launch: an EHR opens the course of the client in context, and its identity signs the person in."""

import asyncio
import urllib.parse
from itertools import count

import httpx
import msgspec
import pytest
from support import signing_in
from support.http_client import OPERATOR
from support.identity_provider import SECRET

from ipt_workflow.access import oidc
from ipt_workflow.access.launches import EhrSettings
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.service.access.sign_in import OrganisationSettings
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import organisations

KEY = signing_in.EHR_KEY
NAMES = count()


class Ehr:
    """The EHR as the organisation knows it, and how it opens a course."""

    def __init__(self, site):
        self.site = site
        self.iss = f"{site.provider.issuer}/fhir{next(NAMES)}"  # a new one for each test: what an EHR says of itself is kept

    def listed(self, **changed) -> None:
        """Puts it on the organisation's list."""
        known = {"iss": self.iss, "client_id": "ehr", "secret": KEY, "client_prefix": "EHR-", "knows_persons": True, **changed}
        settings = EhrSettings(**{**known, "secret": SecretBox(()).seal(known["secret"])})

        def write(connection):
            row = organisations.find(connection, "default")
            before = msgspec.json.decode(row.settings, type=OrganisationSettings)
            content = msgspec.json.encode(msgspec.structs.replace(before, launch=(settings,)))
            assert organisations.change(connection, msgspec.structs.replace(row, settings=content, version=row.version + 1))

        self.site.on_database(write)

    def start(self, **changed) -> str:
        query = {"iss": self.iss, "launch": "opaque-123", **changed}
        return f"/o/default/launch?{urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})}"


@pytest.fixture
def ehr(site):
    found = Ehr(site)
    found.listed()
    return found


@pytest.fixture(scope="module")
def course(running_site):
    """The course of client EHR-P-1 with therapist-1."""

    async def token() -> str:
        clinic = await open_clinic(running_site.settings)
        try:
            return (await Tokens(clinic).create(OPERATOR, NewToken(role="therapist", name="therapist-1"))).token
        finally:
            await clinic.installation.close()

    body = {"client_ref": "EHR-P-1", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
    headers = {"Authorization": f"Bearer {asyncio.run(token())}"}
    answer = httpx.post(f"{running_site.url}/v1/courses", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["course"]["id"]


def refused(site, page, why, status=400):
    """The page says so in words, nobody is signed in, and the audit log names the check."""
    assert (page.status_code, "Something is wrong" in page.text) == (status, True), page.text
    assert site.audit()[-1][1:] == ("nobody", "sign-in refused", why)


@pytest.mark.parametrize(
    "client", ({}, {"client_id": "ehr-basic", "authentication": "client_secret_basic", "secret": SECRET}), ids=("key", "secret")
)
def test_an_ehr_opens_the_course_of_the_client_in_context(site, ehr, course, client):
    ehr.listed(**client)
    with site.browser() as browser:
        page = browser.sign_in("alice", ehr.start())
        assert (page.status_code, page.url.path) == (200, f"/courses/{course}")
        assert "EHR-P-1" in page.text
        assert site.audit()[-1] == ("therapist-1", "therapist", "signed in by smart", None)
        asked = next(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(each).query)) for each in browser.seen if "/auth?" in each)
        assert (asked["aud"], asked["launch"], asked["code_challenge_method"]) == (ehr.iss, "opaque-123", "S256")
        assert {"openid", "fhirUser", "launch"} == set(asked["scope"].split())
        assert not [each for each in browser.seen if "P-1" in each]  # no address names a client as the EHR does
        assert set(browser.cookies["localhost"]) >= {"__Host-ipt"}
        assert "__Host-ipt-sign-in" not in browser.cookies["localhost"]
        assert "Sign in to the EHR again" in browser.go("/confirm").text


def test_a_client_without_a_course_that_the_person_may_see_has_none(site, ehr, course):
    with site.browser() as browser:
        site.provider.say(context={"patient": "P-2"})
        page = browser.sign_in("alice", ehr.start())
        assert (page.status_code, "There is no course of this client" in page.text) == (200, True)
    with site.browser() as browser:
        site.provider.say()
        page = browser.sign_in("eve", ehr.start())
        assert "There is no course of this client" in page.text
        assert browser.go(f"/courses/{course}").status_code == 404


@pytest.mark.parametrize("iss", ("https://evil.example/fhir", "", None, "http://127.0.0.1:1"))
def test_an_ehr_that_is_not_on_the_list_opens_nothing_and_is_not_called(site, ehr, iss):
    with site.browser() as browser:
        page = browser.go(ehr.start(iss=iss))
        assert (page.status_code, "No EHR of this address" in page.text) == (404, True)
        assert browser.go(ehr.start().replace("/default/", "/elsewhere/")).status_code == 404
    assert site.provider.calls(f"{urllib.parse.urlsplit(ehr.iss).path}/.well-known/smart-configuration") == 0


def test_a_slash_at_the_end_makes_no_other_ehr_and_what_it_says_of_itself_is_kept(site, ehr):
    with site.browser() as browser:
        for start in (ehr.start(iss=f"{ehr.iss}/"), ehr.start()):
            assert browser.send("GET", start).headers["location"].startswith(f"{site.provider.issuer}/auth?")
    assert site.provider.calls(f"{urllib.parse.urlsplit(ehr.iss).path}/.well-known/smart-configuration") == 1


@pytest.mark.parametrize("launch", (None, "", "a b", "x" * 2001))
def test_without_a_launch_nothing_begins(site, ehr, launch):
    with site.browser() as browser:
        page = browser.go(ehr.start(launch=launch))
        assert (page.status_code, "The EHR sent no launch" in page.text) == (400, True)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"smart": {"code_challenge_methods_supported": ["plain"]}}, "PKCE"),
        ({"smart": {"token_endpoint": None}}, "lacks an endpoint"),
        ({"smart": {"authorization_endpoint": "javascript:alert(1)"}}, "https://"),
        ({"smart": {"authorization_endpoint": "https://ehr.example/\r\nX: y"}}, "https://"),
        ({"status": 500}, "answered 500"),
    ],
    ids=("no PKCE", "no endpoint", "no address", "two lines", "error"),
)
def test_an_ehr_whose_configuration_is_not_what_it_must_be_is_not_gone_to(site, ehr, said, words):
    site.provider.say(**said)
    with site.browser() as browser:
        page = browser.go(ehr.start())
        assert page.status_code >= 400
        assert words in page.text


def test_a_person_is_known_by_the_identity_or_by_the_resource_that_the_ehr_names(site, ehr):
    ehr.listed(knows_persons=False)
    with site.browser() as browser:
        refused(site, browser.sign_in("frank", ehr.start()), "unmapped", 403)
    signing_in.link(site.settings, "Practitioner/P-77", "therapist-9", ehr.iss)
    with site.browser() as browser:
        browser.sign_in("frank", ehr.start())
    assert site.audit()[-1] == ("therapist-9", "therapist", "signed in by smart", None)
    signing_in.link(site.settings, "frank", "supervisor-1", site.provider.issuer)
    with site.browser() as browser:
        assert browser.sign_in("frank", ehr.start()).status_code == 200
    assert site.audit()[-1][0] == "supervisor-1"


@pytest.mark.parametrize("who", ("stranger", "gone"))
def test_who_has_no_account_here_or_has_left_is_not_let_in(site, ehr, who):
    with site.browser() as browser:
        refused(site, browser.sign_in(who, ehr.start()), "unmapped", 403)
        assert browser.send("GET", "/").status_code == 303


@pytest.mark.parametrize("context", ({"patient": None}, {"patient": "P 1"}, {"patient": {}}, {"id_token": None}), ids=str)
def test_without_a_client_in_context_nobody_is_signed_in(site, ehr, context):
    site.provider.say(context=context)
    with site.browser() as browser:
        refused(site, browser.sign_in("alice", ehr.start()), "context")


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ({"claims": {"aud": "ipt"}}, "audience"),
        ({"claims": {"nonce": "other"}}, "nonce"),
        ({"claims": {"iss": "https://evil.example"}}, "issuer"),
        ({"claims": {"exp": 1}}, "expired"),
        ({"header": {"alg": "none"}}, "algorithm"),
        ({"key": "stranger"}, "signature"),
    ],
    ids=("audience", "nonce", "issuer", "expired", "none", "key"),
)
def test_an_id_token_of_the_ehr_is_believed_only_after_every_check(site, ehr, token, why):
    site.provider.say(token=token)
    with site.browser() as browser:
        refused(site, browser.sign_in("alice", ehr.start()), why)


def test_an_answer_is_taken_once_by_the_browser_that_asked(site, ehr, course):
    with site.browser() as browser, site.browser() as other:
        answer = browser.answer_for("alice", ehr.start())
        assert other.go(answer).status_code == 400
        assert browser.go(answer).status_code == 400  # the other browser has used it up
        answer = browser.answer_for("alice", ehr.start())
        assert browser.go(answer).url.path == f"/courses/{course}"
        assert browser.go(answer).status_code == 400
        forged = browser.answer_for("alice", ehr.start()).replace("state=", "state=x")
        assert browser.go(forged).status_code == 400


def test_an_answer_of_another_issuer_is_refused(site, ehr):
    with site.browser() as browser:
        parts = urllib.parse.urlsplit(browser.answer_for("alice", ehr.start()))
        query = {**dict(urllib.parse.parse_qsl(parts.query)), "iss": "https://evil.example"}
        refused(site, browser.go(parts._replace(query=urllib.parse.urlencode(query)).geturl()), "issuer")


def test_the_answer_of_a_sign_in_is_none_to_a_launch(site, ehr):
    with site.browser() as browser:
        answer = browser.answer_for("alice", signing_in.START).replace("/sign-in/callback", "/launch/callback")
        assert browser.go(answer).status_code == 400


def test_the_public_half_of_the_key_is_there_for_the_ehr_and_nothing_else(site, ehr):
    with site.browser() as browser:
        (key,) = browser.go("/o/default/launch/keys").json()["keys"]
        assert key == oidc.public_keys(KEY)["keys"][0]
        assert "d" not in key
        ehr.listed(authentication="client_secret_basic", secret=SECRET)
        assert browser.go("/o/default/launch/keys").json() == {"keys": []}


def test_an_ehr_that_is_taken_off_the_list_meanwhile_lets_nobody_in(site, ehr):
    with site.browser() as browser:
        answer = browser.answer_for("alice", ehr.start())
        ehr.listed(iss="https://other.example/fhir")
        refused(site, browser.go(answer), "settings", 404)
        assert browser.send("GET", "/").status_code == 303


def test_who_may_not_see_a_client_is_told_so_on_an_accessible_page(browse, axe):
    async def test(site):
        await (await site.api()).open("EHR-1")
        client = await site.clinic.clients.get("EHR-1")
        page = await (await site.visitor("admin-1", "admin")).open(f"/clients/{client.id}")
        assert page.status == 200
        assert "EHR-1" not in page.text
        axe(page)

    browse(test)
