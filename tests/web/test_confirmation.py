"""Proving again who one is, and signing out: here, at the provider, and by the provider's own message."""

import time
import urllib.parse

import pytest
from support import databases
from support.signing_in import START

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
BACK_CHANNEL = "/o/default/sign-in/back-channel"


def session(site, browser):
    """The stored row of the browser's session."""
    session_id = browser.cookies["localhost"]["__Host-ipt"].partition(".")[0]
    columns = "id, person, role, authenticated_at, ended_at, ended_why, provider_session, expires_at"
    (row,) = databases.select(site.settings, f"SELECT {columns} FROM sign_in_session WHERE id = '{session_id}'")
    return dict(zip(columns.split(", "), row, strict=True))


def grow_old(site, browser, minutes=30):
    """As if the person had proved so long ago who they are."""
    row = session(site, browser)["id"]
    statement = f"UPDATE sign_in_session SET authenticated_at = datetime(authenticated_at, '-{minutes} minutes') || '.000000' WHERE id = '{row}'"
    site.on_database(lambda connection: connection.exec_driver_sql(statement))


def test_who_proves_again_who_they_are_goes_on_in_another_session_with_the_same_role(site):
    with site.browser() as browser:
        browser.submit(browser.sign_in("bob", START), "/role", role="supervisor")
        grow_old(site, browser)
        before = session(site, browser)
        page = browser.sign_in("bob", "/confirm")
        assert "supervisor-1, as supervisor" in page.text
        assert any("prompt=login" in url and "max_age=300" in url for url in browser.seen)
        after = session(site, browser)
        assert after["id"] != before["id"]
        assert after["authenticated_at"] > before["authenticated_at"]
        (old,) = databases.select(site.settings, f"SELECT ended_why FROM sign_in_session WHERE id = '{before['id']}'")
        assert old == ("reauthenticated",)


def test_a_session_that_is_confirmed_lasts_no_longer_than_the_one_before(site):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        before = session(site, browser)
        browser.sign_in("alice", "/confirm")
        assert session(site, browser)["expires_at"] == before["expires_at"]


def test_nobody_confirms_for_another(site):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        page = browser.sign_in("bob", "/confirm")
        assert page.status_code == 403
        assert ("supervisor-1", "nobody", "sign-in refused", "person") in site.audit()
        assert "<strong>supervisor-1</strong>" not in browser.go("/").text


@pytest.mark.parametrize(
    "said", ({"without": ["auth_time"]}, {"claims": {"auth_time": int(time.time()) - 900}}), ids=("unknown", "old")
)
def test_a_provider_that_does_not_say_that_it_asked_lately_confirms_nothing(site, said):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        site.provider.say(token=said)
        assert browser.sign_in("alice", "/confirm").status_code in {400, 403}
        assert site.audit()[-1][3] == "auth_time"


def test_a_sign_in_of_unknown_time_is_never_fresh(site):
    site.provider.say(token={"without": ["auth_time"]})
    with site.browser() as browser:
        assert "as therapist" in browser.sign_in("alice", START).text
        assert session(site, browser)["authenticated_at"] is None


def test_signing_out_ends_the_session_here_and_goes_on_to_the_provider(site):
    with site.browser() as browser:
        page = browser.sign_in("alice", START)
        held = dict(browser.cookies["localhost"])
        row = session(site, browser)
        page = browser.submit(page, "/sign-out")
        url = page.headers["refresh"].removeprefix("0; url=")
        assert url.startswith(f"{site.provider.issuer}/session/end?id_token_hint=")
        assert "__Host-ipt" not in browser.cookies["localhost"]
        assert site.audit()[-1] == ("therapist-1", "therapist", "signed out", None)
        (why,) = databases.select(site.settings, f"SELECT ended_why FROM sign_in_session WHERE id = '{row['id']}'")
        assert why == ("signed_out",)
        browser.cookies["localhost"] = held
        assert str(browser.go("/").url).endswith("/o/default/sign-in")
        asked = browser.go(url)
        assert asked.status_code == 200  # the provider knows the hint and where to go back to
        assert "logout" in asked.text


def test_signing_out_at_the_provider_ends_the_sessions_of_that_browser_here(site):
    with site.browser() as browser, site.browser() as other:
        browser.sign_in("alice", START)
        other.sign_in("alice", START)
        url = browser.submit(browser.go("/"), "/sign-out").headers["refresh"].removeprefix("0; url=")
        browser.go(START)  # the provider knows her still
        assert "therapist-1, as therapist" in browser.go("/").text
        asked = browser.go(url)
        form = browser.form(asked, "/session/end/confirm")
        browser.send("POST", urllib.parse.urljoin(str(asked.url), "/session/end/confirm"), {**form, "logout": "yes"})
        deadline = time.monotonic() + 20
        while browser.send("GET", "/").status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert str(browser.go("/").url).endswith("/o/default/sign-in")
        assert "therapist-1, as therapist" in other.go("/").text  # another session at the provider
        assert ("therapist-1", "therapist", "signed out by the identity provider", None) in site.audit()


def logout(site, browser, **changed):
    """Claims of a logout token that ends the browser's session."""
    now = int(time.time())
    claims = {
        "iss": site.provider.issuer,
        "aud": "ipt",
        "iat": now,
        "exp": now + 120,
        "jti": f"{time.monotonic_ns()}",
        "sub": "alice",
        "sid": session(site, browser)["provider_session"],
        "events": {LOGOUT: {}},
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def send(browser, token):
    return browser.send("POST", BACK_CHANNEL, {"logout_token": token}, Cookie="")


FORGED = {
    "unsigned": ({}, {"alg": "none"}, "ec"),
    "signed by a stranger": ({}, {}, "stranger"),
    "of another key": ({}, {}, "next"),
    "of another issuer": ({"iss": "https://idp.example"}, {}, "ec"),
    "for another audience": ({"aud": "other"}, {}, "ec"),
    "an ID token": ({"events": None, "nonce": "n"}, {}, "ec"),
    "with a nonce": ({"nonce": "n"}, {}, "ec"),
    "without events": ({"events": None}, {}, "ec"),
    "with another event": ({"events": {"other": {}}}, {}, "ec"),
    "without an id": ({"jti": None}, {}, "ec"),
    "that names nobody": ({"sub": None, "sid": None}, {}, "ec"),
    "made in the future": ({"iat": int(time.time()) + 3600}, {}, "ec"),
    "made long ago": ({"iat": int(time.time()) - 3600}, {}, "ec"),
    "expired": ({"exp": int(time.time()) - 3600}, {}, "ec"),
    "of another type": ({}, {"typ": "at+jwt"}, "ec"),
}


@pytest.mark.parametrize(("claims", "header", "key"), FORGED.values(), ids=FORGED)
def test_a_logout_token_that_is_not_what_it_must_be_ends_nothing(site, claims, header, key):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        answer = send(browser, site.provider.sign(logout(site, browser, **claims), key, **header))
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
        assert answer.headers["cache-control"] == "no-store"
        assert session(site, browser)["ended_at"] is None


@pytest.mark.parametrize("token", ("", "a.b.c", "x" * 200, "..."))
def test_what_is_no_token_at_all_ends_nothing(site, token):
    with site.browser() as browser:
        assert send(browser, token).status_code == 400


@pytest.mark.parametrize("named", ({}, {"sub": None}, {"sid": None}), ids=("both", "sid", "sub"))
def test_a_right_logout_token_ends_the_session_once(site, named):
    with site.browser() as browser:
        browser.sign_in("alice", START)
        token = site.provider.sign(logout(site, browser, **named), typ="logout+jwt")
        answer = send(browser, token)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert session(site, browser)["ended_why"] == "provider"
        assert str(browser.go("/").url).endswith("/o/default/sign-in")
        assert send(browser, token).status_code == 400
