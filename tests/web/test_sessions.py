"""Sessions in the browser: when they end, what they open, and forms that another site sends."""

import asyncio
import datetime as dt

import pytest
from support import page_client

from ipt_workflow.errors import NotFound
from ipt_workflow.service.access.sessions import SignInSessions, acting
from ipt_workflow.service.access.sign_in_links import SignInLinks
from ipt_workflow.store import people
from ipt_workflow.web.app import routers

SIGN_IN = "/o/default/sign-in"


@pytest.fixture
def pages(settings, clock):
    """Runs a coroutine function with `Pages` and the clock."""

    def run(test):
        async def inside():
            async with page_client.running(settings.model_copy(update={"development": True}), clock) as found:
                return await test(found, clock)

        return asyncio.run(inside())

    return run


def sent_away(answer):
    return answer.status_code == 303 and answer.headers["location"] == SIGN_IN


def minutes(number):
    return dt.timedelta(minutes=number)


def test_a_page_has_the_headers_of_a_page_that_runs_nothing(pages):
    async def test(pages, clock):
        for path in (SIGN_IN, "/"):
            page = await pages.get(path, (await pages.signed_in()).secret.cookie)
            assert page.status_code == 200
            policy = page.headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "form-action 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert "<script" not in page.text
            assert "style=" not in page.text
            assert page.headers["cache-control"] == "no-store"
            assert page.text.startswith('<!doctype html>\n<html lang="en" ')

    pages(test)


def test_a_cookie_is_for_this_host_alone_and_for_no_script(pages):
    async def test(pages, clock):
        page = await pages.get(SIGN_IN)
        (line,) = page.headers.get_list("set-cookie")
        assert line.startswith("__Host-csrf=")
        for part in ("Secure", "HttpOnly", "Path=/", "SameSite=lax"):
            assert part in line
        assert "Domain" not in line

    pages(test)


@pytest.mark.parametrize("cookie", ("", "x", f"{'0' * 16}.{'a' * 43}"))
def test_without_a_session_one_is_sent_to_sign_in(pages, cookie):
    async def test(pages, clock):
        assert sent_away(await pages.get("/", cookie))
        assert (await pages.post("/sign-out", cookie)).status_code in {401, 403}

    pages(test)


def test_a_session_ends_fifteen_minutes_after_its_last_request(pages):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        for _ in range(4):
            clock.advance(minutes(14))
            assert (await pages.get("/", cookie)).status_code == 200
        clock.advance(minutes(15))
        assert sent_away(await pages.get("/", cookie))

    pages(test)


def test_who_was_signed_in_elsewhere_is_sent_there_also_when_it_is_suspended(pages):
    async def test(pages, clock):
        operator = {"Authorization": f"Bearer {await pages.token('operator', 'ops')}"}
        await pages.client.post("/v1/organisations", json={"id": "south", "title": "South"}, headers=operator)
        clinic = await pages.credentials.clinics.of("south")
        await clinic.write(people.make_known, "ann", "therapist", clock.now())
        south = SignInSessions(clinic)
        cookie = (await south.begin("ann", ("therapist",), "link", authenticated_at=clock.now())).secret.cookie
        await pages.client.patch("/v1/organisations/south", json={"status": "suspended"}, headers=operator)
        assert (await pages.get("/", cookie)).headers["location"] == "/o/south/sign-in"
        clock.advance(minutes(15))
        assert (await pages.get("/", cookie)).headers["location"] == "/o/south/sign-in"

    pages(test)


def test_a_session_ends_ten_hours_after_it_began_however_busy_it_is(pages):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        for _ in range(59):
            clock.advance(minutes(10))
            assert (await pages.get("/", cookie)).status_code == 200
        clock.advance(minutes(10))
        assert sent_away(await pages.get("/", cookie))

    pages(test)


def test_another_role_is_another_session_that_ends_when_the_first_would_have(pages):
    async def test(pages, clock):
        first = await pages.signed_in("supervisor-1", ("therapist", "supervisor"))
        clock.advance(minutes(10))
        answer = await pages.post("/role", first.secret.cookie, {"role": "supervisor"})
        cookie = answer.cookies["__Host-ipt"]
        pages.client.cookies.clear()
        assert cookie != first.secret.cookie
        assert sent_away(await pages.get("/", first.secret.cookie))
        (listed,) = await pages.sessions.list(page_principal(first))
        assert (listed.role, listed.expires_at) == ("supervisor", first.session.expires_at)

    pages(test)


def page_principal(signed_in):
    return acting(signed_in.session, "pages")


def test_a_person_ends_their_other_sessions_and_nobody_elses(pages):
    async def test(pages, clock):
        here, there = await pages.signed_in(), await pages.signed_in()
        other = await pages.signed_in("therapist-2")
        assert there.session.id in (await pages.get("/me", here.secret.cookie)).text
        assert (await pages.post(f"/sessions/{other.session.id}/end", here.secret.cookie)).status_code == 404
        assert (await pages.post(f"/sessions/{there.session.id}/end", here.secret.cookie)).status_code == 303
        assert sent_away(await pages.get("/", there.secret.cookie))
        assert (await pages.get("/", other.secret.cookie)).status_code == 200
        assert (await pages.post("/sessions/none/end", here.secret.cookie)).status_code == 404

    pages(test)


def test_a_bearer_token_opens_no_page_and_a_cookie_no_route_of_the_api(pages):
    async def test(pages, clock):
        signed_in, token = await pages.signed_in(), await pages.token("therapist", "therapist-1")
        access = await pages.sessions.open_access(signed_in.session)
        for bearer in (token, access.access):
            assert sent_away(await pages.get("/", Authorization=f"Bearer {bearer}"))
            assert (await pages.get("/v1/courses", Authorization=f"Bearer {bearer}")).status_code == 200
        assert (await pages.get("/v1/courses", signed_in.secret.cookie)).status_code == 401
        for wrong in (signed_in.secret.cookie, signed_in.secret.access, f"ipts_{signed_in.session.id}_{'a' * 43}"):
            assert (await pages.get("/v1/courses", Authorization=f"Bearer {wrong}")).status_code == 401
        assert sent_away(await pages.get("/", access.cookie))

    pages(test)


def test_an_access_token_acts_in_the_role_of_its_session_and_ends_with_it(pages):
    async def test(pages, clock):
        signed_in = await pages.signed_in("supervisor-1", ("supervisor",))
        page = await pages.post("/access-token", signed_in.secret.cookie)
        token = page.text.partition('id="access-token">')[2].partition("<")[0]
        assert token.startswith("ipts_")
        headers = {"Authorization": f"Bearer {token}"}
        assert (await pages.get("/v1/audit", **headers)).status_code == 200
        assert (await pages.get("/v1/audit/export", **headers)).status_code == 403
        second = await pages.sessions.open_access(signed_in.session)
        assert (await pages.get("/v1/audit", **headers)).status_code == 401  # the new one replaced it
        assert (await pages.post("/sign-out", signed_in.secret.cookie)).status_code == 200
        assert (await pages.get("/v1/audit", Authorization=f"Bearer {second.access}")).status_code == 401

    pages(test)


def test_an_access_token_is_given_to_who_proved_lately_who_they_are(pages):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        clock.advance(minutes(6))
        answer = await pages.post("/access-token", cookie)
        assert answer.status_code == 401
        assert "within the last 5 minutes" in answer.text
        assert "ipts_" not in answer.text

    pages(test)


def test_somebody_who_has_not_chosen_a_role_gets_no_access_token(pages):
    async def test(pages, clock):
        signed_in = await pages.signed_in("supervisor-1", ("therapist", "supervisor"))
        assert (await pages.post("/access-token", signed_in.secret.cookie)).status_code == 401

    pages(test)


FORGERIES = {
    "another site": {"Sec_Fetch_Site": "cross-site"},
    "another host of the site": {"Sec_Fetch_Site": "same-site"},
    "an old browser on another site": {"Sec_Fetch_Site": None, "Origin": "https://evil.example"},
    "no origin at all": {"Sec_Fetch_Site": None, "Origin": "null"},
}


@pytest.mark.parametrize("headers", FORGERIES.values(), ids=FORGERIES)
def test_a_form_of_another_site_changes_nothing_whatever_token_it_has(pages, headers):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        page = await pages.get("/", cookie)
        token = page.cookies["__Host-csrf"]
        pages.client.cookies.clear()
        named = {"Cookie": f"__Host-ipt={cookie}; __Host-csrf={token}"}
        named |= {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
        answer = await pages.client.post("/sign-out", data={"_csrf_token": token}, headers=named)
        assert answer.status_code == 403
        assert "not sent from a page of this service" in answer.text
        assert (await pages.get("/", cookie)).status_code == 200

    pages(test)


@pytest.mark.parametrize(
    ("in_form", "in_cookie"), ((False, True), (True, False), ("forged", True), (True, "forged"), ("forged", "forged"))
)
def test_a_form_without_its_token_changes_nothing(pages, in_form, in_cookie):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        token = (await pages.get("/", cookie)).cookies["__Host-csrf"]
        pages.client.cookies.clear()
        forged = "0" * len(token)
        fields = {"_csrf_token": forged if in_form == "forged" else token} if in_form else {}
        held = f"; __Host-csrf={forged if in_cookie == 'forged' else token}" if in_cookie else ""
        headers = {"Cookie": f"__Host-ipt={cookie}{held}", "Sec-Fetch-Site": "same-origin"}
        assert (await pages.client.post("/sign-out", data=fields, headers=headers)).status_code == 403
        assert (await pages.get("/", cookie)).status_code == 200

    pages(test)


@pytest.mark.parametrize("kind", ("text/plain", "application/json", "multipart/form-data"))
def test_a_body_of_another_type_is_no_form(pages, kind):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        token = (await pages.get("/", cookie)).cookies["__Host-csrf"]
        pages.client.cookies.clear()
        headers = {"Cookie": f"__Host-ipt={cookie}; __Host-csrf={token}", "Content-Type": kind}
        answer = await pages.client.post("/sign-out", content=f"_csrf_token={token}", headers=headers)
        assert answer.status_code == 415
        assert (await pages.get("/", cookie)).status_code == 200

    pages(test)


def test_two_cookies_of_one_name_are_none(pages):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        assert sent_away(await pages.get("/", f"{cookie}; __Host-ipt={cookie}"))

    pages(test)


def test_a_large_form_is_refused(pages):
    async def test(pages, clock):
        cookie = (await pages.signed_in()).secret.cookie
        assert (await pages.post("/role", cookie, {"role": "x" * 70_000})).status_code == 413

    pages(test)


def test_a_link_signs_in_once_after_it_was_confirmed_and_only_where_rehearsals_are(pages, settings):
    async def test(pages, clock):
        links = SignInLinks(pages.clinic)
        link = await links.make("therapist-1")
        page = await pages.get(link)
        assert "Sign in as therapist-1" in page.text
        assert (await pages.get(link)).status_code == 200  # looking at it does not use it up
        token = page.cookies["__Host-csrf"]
        key = link.partition("key=")[2]
        pages.client.cookies.clear()
        headers = {"Cookie": f"__Host-csrf={token}", "Sec-Fetch-Site": "same-origin"}
        answer = await pages.client.post(f"{SIGN_IN}/link", data={"_csrf_token": token, "key": key}, headers=headers)
        assert answer.status_code == 303
        cookie = answer.cookies["__Host-ipt"]
        pages.client.cookies.clear()
        assert "<strong>therapist-1</strong>, as therapist" in (await pages.get("/me", cookie)).text
        assert (
            await pages.client.post(f"{SIGN_IN}/link", data={"_csrf_token": token, "key": key}, headers=headers)
        ).status_code == 400
        assert (await pages.get(link)).status_code == 400
        late = await links.make("therapist-1")
        clock.advance(dt.timedelta(hours=1))
        assert (await pages.get(late)).status_code == 400

    pages(test)


@pytest.mark.parametrize("changed", ({"development": False}, {"development": True, "host": "0.0.0.0"}), ids=("real", "reachable"))
def test_where_no_rehearsal_is_or_others_reach_it_no_link_is_made_and_none_signs_in(settings, clock, changed):
    async def inside():
        async with page_client.running(settings.model_copy(update=changed), clock) as pages:
            with pytest.raises(NotFound):
                SignInLinks(pages.clinic)
            assert (await pages.get(f"{SIGN_IN}/link?key=x")).status_code == 404

    asyncio.run(inside())


def test_a_link_is_not_taken_from_another_machine(settings, clock):
    async def inside():
        async with page_client.running(settings.model_copy(update={"development": True}), clock, "192.0.2.7") as pages:
            assert (await pages.get(await SignInLinks(pages.clinic).make("therapist-1"))).status_code == 404

    asyncio.run(inside())


def test_a_service_that_does_not_know_its_address_sends_nobody_to_a_provider(settings, clock):
    async def inside():
        async with page_client.running(settings, clock) as pages:
            answer = await pages.get(f"{SIGN_IN}/start")
            assert answer.status_code == 400
            assert "IPT_PUBLIC_URL" in answer.text

    asyncio.run(inside())


def test_an_unknown_page_is_a_problem_document_and_an_unknown_session_a_page(pages):
    async def test(pages, clock):
        assert (await pages.get("/nothing")).headers["content-type"] == "application/problem+json"

    pages(test)


def test_every_route_that_changes_something_is_behind_both_checks_or_named(settings):
    """A new page that changes something without them fails here."""
    named = {"/o/{organisation}/sign-in/back-channel"}  # no browser sends it; its token is signed
    signed_in, open_to_all, bare = routers(settings)
    assert {route.path_format for route in bare.routes if "POST" in route.methods} == named
    for router in (signed_in, open_to_all):
        kinds = [getattr(each, "middleware", type(each)).__name__ for each in router.middleware]
        assert kinds[:5] == ["NoNul", "Language", "OwnPages", "ReadableForm", "TokenCheck"]
