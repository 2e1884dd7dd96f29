"""Signing in at a real identity provider over loopback: who is let in, and every answer that is not believed."""

import time
import urllib.parse

import pytest
from support import databases, signing_in
from support.signing_in import PRIVATE_KEY, START

NOW = int(time.time())
REFUSED = "sign-in refused"


def refused(site, page, why, person=None, status=400):
    """The page says so in words, nobody is signed in, and the audit log names the check."""
    assert page.status_code == status, page.text
    assert "Something is wrong" in page.text
    found = site.audit()[-1]
    assert found[1:] == ("nobody", REFUSED, why)
    if person:
        assert found[0].startswith(person)


def callback(url, **changed):
    """The provider's answer with other parameters; None leaves one out."""
    parts = urllib.parse.urlsplit(url)
    query = {**dict(urllib.parse.parse_qsl(parts.query)), **changed}
    return parts._replace(
        query=urllib.parse.urlencode({name: value for name, value in query.items() if value is not None})
    ).geturl()


def test_somebody_known_signs_in_with_the_role_of_their_group_and_it_is_recorded(site):
    with site.browser() as browser:
        page = browser.sign_in("alice", START)
        assert page.status_code == 200
        assert "therapist-1, as therapist" in page.text
        assert site.audit()[-1] == ("therapist-1", "therapist", "signed in by oidc", None)
        assert set(browser.cookies["localhost"]) == {"__Host-ipt", "__Host-csrf"}


@pytest.mark.parametrize(
    "client",
    ({"client_id": "ipt-rs256"}, {"client_id": "ipt-jwt", "authentication": "private_key_jwt", "secret": PRIVATE_KEY}),
    ids=("RS256", "private_key_jwt"),
)
def test_other_ways_in_which_provider_and_service_prove_who_they_are(site, client):
    site.configure(**client)
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text


def test_the_public_half_of_the_private_key_is_there_for_the_provider_and_nothing_else(site):
    site.configure(client_id="ipt-jwt", authentication="private_key_jwt", secret=PRIVATE_KEY)
    with site.browser() as browser:
        (key,) = browser.go("/o/default/sign-in/keys").json()["keys"]
        assert "d" not in key
        site.configure()
        assert browser.go("/o/default/sign-in/keys").status_code == 404


def test_groups_may_stand_in_a_claim_inside_others(site):
    site.configure(groups_claim="realm_access.roles")
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text


def test_without_a_table_of_groups_a_person_has_the_roles_that_they_have_here(site):
    site.configure(groups={})
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("eve", START).text


def test_who_has_several_roles_chooses_one_and_gets_a_new_session_with_each_choice(site):
    with site.browser() as browser:
        page = browser.sign_in("bob", START)
        assert "Choose a role" in page.text
        first = browser.cookies["localhost"]["__Host-ipt"]
        browser.submit(page, "/role", role="supervisor")
        page = browser.go("/me")
        assert "supervisor-1, as supervisor" in page.text
        assert site.audit()[-1] == ("supervisor-1", "supervisor", "took the role supervisor", None)
        second = browser.cookies["localhost"]["__Host-ipt"]
        assert first != second
        browser.cookies["localhost"]["__Host-ipt"] = first
        assert str(browser.go("/").url).endswith("/o/default/sign-in")


def test_a_role_that_the_person_has_not_is_not_taken(site):
    with site.browser() as browser:
        page = browser.sign_in("bob", START)
        form = {**browser.form(page, "/role", role="supervisor"), "role": "admin"}
        assert browser.go("/role", form, Sec_Fetch_Site="same-origin").status_code == 403


@pytest.mark.parametrize(
    ("who", "why", "person"),
    (
        ("stranger", "unmapped", "stranger at http"),
        ("gone", "unmapped", "gone at http"),
        ("impostor", "unmapped", "impostor at http"),
        ("eve", "no_role", "therapist-9"),
    ),
)
def test_who_is_nobody_here_has_left_claims_to_be_another_or_has_no_group_is_refused_and_recorded(site, who, why, person):
    with site.browser() as browser:
        browser.sign_in("alice", START)  # so that another cannot be linked to her
    with site.browser() as browser:
        refused(site, browser.sign_in(who, START), why, person, status=403)
        assert "__Host-ipt" not in browser.cookies["localhost"]


@pytest.mark.parametrize("demand", ({"acr": ["urn:strong"]}, {"amr": ["mfa", "hwk"]}), ids=("acr", "amr"))
def test_who_did_not_prove_strongly_enough_who_they_are_is_refused(site, demand):
    site.configure(**demand)
    with site.browser() as browser:
        refused(site, browser.sign_in("alice", START), "strength", "alice at", status=403)
    site.provider.say(token={"claims": {"acr": "urn:strong", "amr": ["pwd", "mfa"]}})
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text


TOKENS = {
    "another issuer": ({"claims": {"iss": "https://idp.example"}}, "issuer"),
    "another audience": ({"claims": {"aud": "other"}}, "audience"),
    "several audiences and no authorized party": ({"claims": {"aud": ["ipt", "other"]}}, "authorized_party"),
    "another authorized party": ({"claims": {"azp": "other"}}, "authorized_party"),
    "expired": ({"claims": {"exp": NOW - 3600}}, "expired"),
    "without an end": ({"without": ["exp"]}, "expired"),
    "made in the future": ({"claims": {"iat": NOW + 3600}}, "time"),
    "valid in the future": ({"claims": {"nbf": NOW + 3600}}, "time"),
    "of no time": ({"without": ["iat"]}, "time"),
    "another nonce": ({"claims": {"nonce": "other"}}, "nonce"),
    "no nonce": ({"without": ["nonce"]}, "nonce"),
    "no subject": ({"without": ["sub"]}, "subject"),
    "a subject that is no text": ({"claims": {"sub": 5}}, "subject"),
    "signed by nobody": ({"header": {"alg": "none"}}, "algorithm"),
    "signed by a stranger": ({"key": "stranger"}, "signature"),
    "signed in long ago": ({"claims": {"auth_time": NOW - 40_000}}, "auth_time"),
    "signed in in the future": ({"claims": {"auth_time": NOW + 3600}}, "auth_time"),
}


@pytest.mark.parametrize(("token", "why"), TOKENS.values(), ids=TOKENS)
def test_an_id_token_that_is_not_what_it_must_be_is_refused(site, token, why):
    site.provider.say(token=token)
    with site.browser() as browser:
        refused(site, browser.sign_in("alice", START), why)


@pytest.mark.parametrize("body", ({}, {"id_token": 5}, {"id_token": "x"}, {"id_token": "a.b.c"}, []), ids=str)
def test_a_token_endpoint_that_gives_no_id_token_lets_nobody_in(site, body):
    site.provider.say(body=body)
    with site.browser() as browser:
        refused(site, browser.sign_in("alice", START), "token", "unknown")


def test_several_audiences_are_right_if_this_service_is_the_authorized_party(site):
    site.provider.say(token={"claims": {"aud": ["ipt", "other"], "azp": "ipt"}})
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text


@pytest.mark.parametrize(
    ("changed", "why"),
    (
        ({"iss": "https://idp.example"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"code": None}, "code"),
        ({"code": "forged"}, "code"),
        ({"error": "access_denied"}, "provider"),
    ),
)
def test_an_answer_by_another_provider_without_a_code_or_with_an_error_is_refused(site, changed, why):
    with site.browser() as browser:
        refused(site, browser.go(callback(browser.answer_for("alice", START), **changed)), why, "unknown")


@pytest.mark.parametrize("state", ("forged", "", None, "\x00"))
def test_a_forged_state_is_refused_before_anybody_is_asked_and_fills_no_log(site, state):
    before = len(site.audit()), site.provider.calls("/token")
    with site.browser() as browser:
        page = browser.go(callback(browser.answer_for("alice", START), state=state))
        assert page.status_code == 400
        assert "__Host-ipt" not in browser.cookies["localhost"]
    assert (len(site.audit()), site.provider.calls("/token")) == before


def test_an_answer_is_taken_once_and_only_by_the_browser_that_asked(site):
    with site.browser() as browser, site.browser() as other:
        url = browser.answer_for("alice", START)
        other.send("GET", START)  # it has a cookie of its own
        assert other.go(url).status_code == 400
        assert browser.go(url).status_code == 400  # the attempt used the state up
        url = browser.answer_for("alice", START)
        assert "as therapist" in browser.go(url).text
        assert browser.go(url).status_code == 400


def test_a_code_that_was_used_is_not_taken_with_another_state(site):
    with site.browser() as browser:
        code = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(browser.answer_for("alice", START)).query))["code"]
        browser.go(callback(browser.answer_for("alice", START), code=code))
        refused(site, browser.go(callback(browser.answer_for("alice", START), code=code)), "code")


def test_an_answer_that_took_too_long_is_refused(site):
    with site.browser() as browser:
        url = browser.answer_for("alice", START)
        site.on_database(lambda connection: connection.exec_driver_sql("UPDATE one_time SET expires_at = created_at"))
        assert browser.go(url).status_code == 400


def test_only_the_digest_of_what_a_browser_holds_is_stored(site):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        secret = browser.cookies["localhost"]["__Host-ipt"].partition(".")[2]
        held = databases.select(site.settings, "SELECT * FROM sign_in_session")
        assert secret not in str(held)
        browser.send("GET", START)
        assert browser.cookies["localhost"]["__Host-ipt-sign-in"] not in str(
            databases.select(site.settings, "SELECT * FROM one_time")
        )


def test_whose_first_sign_in_was_linked_signs_in_without_the_claim_afterwards(site):
    with site.browser() as browser:
        browser.sign_in("alice", START)
    site.configure(person_claim=None)
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text


def test_without_a_claim_of_their_id_a_person_is_linked_by_an_administrator(site):
    site.configure(person_claim=None)
    with site.browser() as browser:
        refused(site, browser.sign_in("ada", START), "unmapped", status=403)
    signing_in.link(site.settings, "ada", "admin-1", site.provider.issuer)
    with site.browser() as browser:
        assert "admin-1, as administrator" in browser.sign_in("ada", START).text


@pytest.mark.parametrize(
    "path", ("/o/nowhere/sign-in", "/o/nowhere/sign-in/start", "/o/nowhere/sign-in/callback?state=x", "/o/A%00/sign-in")
)
def test_an_organisation_that_does_not_exist_has_no_sign_in(site, path):
    with site.browser() as browser:
        assert browser.go(path).status_code in {400, 404}


def test_an_organisation_without_a_provider_offers_none(site):
    signing_in.on_database(
        site.settings,
        lambda connection: connection.exec_driver_sql("UPDATE organisation SET settings = x'7b7d', version = version + 1"),
    )
    with site.browser() as browser:
        assert START not in browser.go("/o/default/sign-in").text
        assert browser.go(START).status_code == 404
