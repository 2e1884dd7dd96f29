"""Which page answers whom, and how. A route of a page without a row here fails.

Each row gives the statuses for the columns: nobody who is signed in, the course's therapist, another therapist, a supervisor, an auditor, an
administrator. A GET that sends elsewhere is 303. A POST carries its token against forgery and no other field.
"""

import pytest

from ipt_workflow.service.access.sessions import SignInSessions
from ipt_workflow.store import people
from ipt_workflow.web.app import routers

COLUMNS = ("nobody", "therapist", "foreign", "supervisor", "auditor", "admin")
PEOPLE = {
    "therapist": "therapist-1",
    "foreign": "therapist-2",
    "supervisor": "supervisor-1",
    "auditor": "auditor-1",
    "admin": "admin-1",
}
ROLES = {"foreign": "therapist"}
ALL = "303 200 200 200 200 200"
DONE = "403 303 303 303 303 303"
COURSE = "303 200 404 200 200 404"  # a page of one course: who may not see it is not told that it exists
WRITTEN = "303 200 404 403 403 404"  # where a therapist records
AUDIT = "303 403 403 200 200 403"
ROWS = {
    ("GET", "/"): ALL,
    ("GET", "/me"): ALL,
    ("POST", "/me"): DONE,
    ("POST", "/role"): "403 403 403 403 403 403",  # no role is named
    ("POST", "/access-token"): "403 200 200 200 200 200",
    ("GET", "/confirm"): "303 403 403 403 403 403",  # these sessions are by link
    ("POST", "/sessions/{session_id}/end"): "403 404 404 404 404 404",
    ("POST", "/sign-out"): "403 200 200 200 200 200",
    ("GET", "/passkeys"): ALL,
    ("POST", "/passkeys/options"): "403 403 403 403 403 403",
    ("POST", "/passkeys"): "403 403 403 403 403 403",
    ("POST", "/passkeys/{passkey_id}/remove"): "403 403 403 403 403 403",
    ("POST", "/password"): "403 403 403 403 403 403",
    ("POST", "/recovery-codes"): "403 403 403 403 403 403",
    ("GET", "/courses"): "303 200 200 200 200 403",
    ("POST", "/courses/search"): "403 422 422 422 422 403",  # no client is named
    ("POST", "/courses/{course_id}/outcome"): "403 422 404 403 403 404",  # no outcome is named
    ("GET", "/courses/{course_id}/label"): "303 200 404 200 403 404",
    ("POST", "/courses/{course_id}/label"): "403 303 404 303 403 404",
    ("GET", "/inbox"): "303 200 200 200 200 403",
    ("GET", "/inbox/{notice_id}"): "303 404 404 404 404 404",
    ("POST", "/inbox/{notice_id}"): "403 404 404 404 404 404",
    ("GET", "/clients/{client_id}"): "303 303 200 303 303 200",
    ("GET", "/courses/{course_id}"): COURSE,
    ("GET", "/courses/{course_id}/do/{trigger}"): "303 200 404 200 403 404",
    ("POST", "/courses/{course_id}/do/{trigger}"): "403 422 404 422 403 404",  # nothing is filled in
    ("GET", "/courses/new"): "303 200 200 200 403 200",
    ("POST", "/courses/new"): "403 422 422 422 403 422",
    ("GET", "/courses/{course_id}/paper/{kind}"): COURSE,
    ("GET", "/courses/{course_id}/session"): WRITTEN,
    ("POST", "/courses/{course_id}/session"): "403 422 404 403 403 404",  # nothing is filled in
    ("GET", "/courses/{course_id}/session/{number}"): "303 404 404 403 403 404",  # the course has no session
    ("POST", "/courses/{course_id}/session/{number}"): "403 404 404 403 403 404",
    ("GET", "/courses/{course_id}/do/record_measure"): WRITTEN,
    ("POST", "/courses/{course_id}/do/record_measure"): "403 422 404 403 403 404",
    ("GET", "/courses/{course_id}/history"): COURSE,
    ("GET", "/courses/{course_id}/rights"): "303 200 404 200 200 403",
    ("GET", "/courses/{course_id}/rights/disclosure"): "303 200 404 200 403 404",
    ("POST", "/courses/{course_id}/rights/disclosure"): "403 422 404 422 403 404",  # nothing is filled in
    ("GET", "/courses/{course_id}/rights/export"): COURSE,
    ("POST", "/courses/{course_id}/rights/export"): "403 422 404 422 422 404",
    ("GET", "/courses/{course_id}/history/{seq}"): COURSE,
    ("GET", "/courses/{course_id}/history/{seq}/put-right"): "303 200 404 200 403 404",
    ("POST", "/courses/{course_id}/history/{seq}/put-right"): "403 422 404 422 403 404",
    ("GET", "/audit"): AUDIT,
    ("POST", "/audit"): "403 403 403 200 200 403",
    ("GET", "/audit/clients"): AUDIT,
    ("POST", "/audit/clients"): "403 403 403 422 422 403",
    ("GET", "/audit/rules"): AUDIT,
    ("GET", "/audit/exports"): "303 403 403 403 200 403",
    ("POST", "/audit/exports"): "403 403 403 403 422 403",
    ("GET", "/audit/verifications"): AUDIT,
    ("POST", "/audit/verifications"): "403 403 403 303 303 403",
    ("GET", "/audit/verifications/{run_id}"): "303 403 403 404 404 403",
    ("GET", "/audit/courses/{course_id}/{seq}"): "303 403 404 200 200 404",
    ("GET", "/groups"): "303 200 200 200 200 403",
    ("GET", "/groups/new"): "303 200 200 200 403 403",
    ("POST", "/groups/new"): "403 422 422 422 403 403",
    ("GET", "/groups/{group_id}"): "303 404 404 404 404 404",
    ("GET", "/groups/{group_id}/join"): "303 404 404 404 403 403",
    ("POST", "/groups/{group_id}/join"): "403 404 404 404 403 403",
    ("GET", "/groups/{group_id}/members/{course_id}/leave"): "303 404 404 404 403 403",
    ("POST", "/groups/{group_id}/members/{course_id}/leave"): "403 404 404 404 404 404",
    ("GET", "/groups/{group_id}/record"): "303 404 404 403 403 403",
    ("POST", "/groups/{group_id}/record"): "403 404 404 404 404 404",
    ("GET", "/groups/{group_id}/sessions/{session_id}/sign"): "303 404 404 403 403 403",
    ("POST", "/groups/{group_id}/sessions/{session_id}/sign"): "403 404 404 404 404 404",
    ("GET", "/supervision"): "303 403 403 200 403 403",
    ("GET", "/supervision/agenda"): "303 200 200 200 200 403",
    ("GET", "/supervision/agreements"): "303 200 200 200 200 403",
    ("GET", "/supervision/agreements/{proposal_id}"): "303 404 404 404 404 404",
    ("POST", "/supervision/agreements/{proposal_id}/agree"): "403 404 404 404 404 404",
    ("POST", "/supervision/agreements/{proposal_id}/decline"): "403 404 404 404 404 404",
    ("POST", "/supervision/agreements/{proposal_id}/return"): "403 404 404 404 404 404",
    ("GET", "/supervision/emergencies"): "303 200 200 200 200 403",
    ("POST", "/supervision/emergencies/{access_id}/review"): "403 404 404 404 404 404",
    ("GET", "/supervision/records"): "303 200 200 200 200 403",
    ("GET", "/supervision/records/new"): "303 200 200 200 403 403",
    ("POST", "/supervision/records/new"): "403 422 422 422 403 403",
}
ADMIN = "303 403 403 403 403 {}"
ADMIN_POST = "403 403 403 403 403 {}"
ROWS |= {
    ("GET", f"/admin{path}"): ADMIN.format(200) for path in ("", "/people", "/tokens", "/systems", "/sources", "/subscriptions")
}
ROWS |= {("GET", f"/admin/{what}/new"): ADMIN.format(200) for what in ("people", "tokens", "systems", "sources", "subscriptions")}
ROWS |= {
    ("POST", f"/admin/{what}/new"): ADMIN_POST.format(422) for what in ("people", "tokens", "systems", "sources", "subscriptions")
}
ROWS |= {("GET", f"/admin/people/{{person_id}}{path}"): ADMIN.format(404) for path in ("", "/change", "/leave")}
ROWS |= {
    ("POST", f"/admin/people/{{person_id}}/{path}"): ADMIN_POST.format(404)
    for path in ("change", "leave", "return", "link", "revoke", "sessions/{session_id}/end")
}
ROWS |= {("GET", f"/admin/sources/{{source_id}}{path}"): ADMIN.format(404) for path in ("", "/key")}
ROWS |= {("POST", f"/admin/sources/{{source_id}}{path}"): ADMIN_POST.format(404) for path in ("", "/key", "/disable", "/enable")}
ROWS |= {
    ("GET", f"/admin/subscriptions/{{subscription_id}}{path}"): ADMIN.format(404) for path in ("", "/change", "/keys", "/replay")
}
ROWS |= {
    ("POST", f"/admin/subscriptions/{{subscription_id}}/{path}"): ADMIN_POST.format(404)
    for path in ("change", "keys", "replay", "ping", "pause", "resume", "delete", "deliveries/{delivery_id}/replay")
}
ROWS |= {
    ("GET", "/admin/organisation"): ADMIN.format(200),
    ("POST", "/admin/organisation"): ADMIN_POST.format(422),
    ("POST", "/admin/tokens/{token_id}/revoke"): ADMIN_POST.format(404),
    ("GET", "/admin/systems/{system_id}"): ADMIN.format(404),
    ("POST", "/admin/systems/{system_id}"): ADMIN_POST.format(404),
    ("POST", "/admin/systems/{system_id}/revoke"): ADMIN_POST.format(404),
    ("GET", "/admin/erasures"): "303 403 403 200 200 200",
    ("GET", "/admin/erasures/new"): "303 403 403 200 403 200",
    ("POST", "/admin/erasures/new"): "403 403 403 422 403 422",  # nothing is filled in
    ("POST", "/admin/erasures/again"): "403 403 403 303 403 303",
    ("GET", "/admin/erasures/{erasure_id}"): "303 403 403 404 404 404",
    ("GET", "/admin/marks"): "303 403 403 200 200 200",
    ("GET", "/admin/marks/new/{mark_kind}"): "303 403 403 200 403 200",
    ("POST", "/admin/marks/new/{mark_kind}"): "403 403 403 422 403 422",  # nothing is filled in
    ("GET", "/admin/marks/{mark_id}"): "303 403 403 404 404 404",
    ("POST", "/admin/marks/{mark_id}/end"): "403 403 403 404 403 404",
    ("GET", "/admin/cover"): ALL,
    ("GET", "/admin/cover/new"): "303 200 200 200 403 200",
    ("POST", "/admin/cover/new"): "403 422 422 422 403 422",
    ("POST", "/admin/cover/{cover_id}/end"): "403 404 404 404 404 404",
    ("GET", "/admin/retention"): "303 403 403 403 200 200",
    ("GET", "/admin/retention/new"): ADMIN.format(200),
    ("POST", "/admin/retention/new"): ADMIN_POST.format(422),
    ("POST", "/admin/retention/{name}/end"): ADMIN_POST.format(404),
    ("GET", "/admin/retention/records"): "303 403 403 403 200 200",
    ("GET", "/admin/retention/records/{client}"): ADMIN.format(404),
    ("POST", "/admin/retention/records/{client}"): ADMIN_POST.format(404),
    ("GET", "/admin/retention/months"): "303 403 403 403 200 200",
    ("POST", "/admin/retention/months/{kind}/{month}"): ADMIN_POST.format(422),  # no such kind and month
    ("GET", "/admin/protocols"): ALL,
    ("GET", "/admin/protocols/{protocol_id}/{version}"): "303 404 404 404 404 404",
    ("GET", "/admin/protocols/{protocol_id}/{before}/differences/{after}"): "303 404 404 404 404 404",
    ("GET", "/admin/protocols/{protocol_id}/{version}/proof"): "303 403 403 404 404 404",
    ("GET", "/admin/protocols/{protocol_id}/{before}/move/{after}"): "303 403 403 404 404 404",
    ("POST", "/admin/protocols/{protocol_id}/{before}/move/{after}"): "403 403 403 404 403 403",
}
NONE_SUCH = ("erasure", "group", "proposal", "access", "person", "source", "subscription", "delivery", "token", "system", "cover")
GIVEN = {
    "mark_kind": "hold",
    "mark_id": "nothing",
    **{f"{each}_id": "none" for each in NONE_SUCH},
    "protocol_id": "ipt",
    "version": "99",
    "before": "2",
    "after": "99",
    "session_id": "none",
    "passkey_id": "none",
    "trigger": "note",
    "notice_id": "none",
    "kind": "summary",
    "number": "1",
    "run_id": "none",
    "seq": "1",
    "client": "none",
    "name": "none",
    "month": "2026-01",
}  # other parts of paths: `course_id` and `client_id` are of a course of therapist-1


def routes(router):
    return {(method, route.path_format) for route in router.routes for method in route.methods if method not in {"HEAD", "OPTIONS"}}


def test_every_page_for_whoever_is_signed_in_has_its_decision(settings):
    signed_in, _open, _unforgeable = routers(settings)
    assert routes(signed_in) == set(ROWS)


@pytest.mark.matrix(5)
@pytest.mark.parametrize(("method", "path"), ROWS, ids=[f"{method} {path}" for method, path in ROWS])
def test_a_page_answers_whom_it_should(browse, method, path):
    async def test(site):
        course = await (await site.api()).open("EHR-1")
        client = await site.clinic.clients.get("EHR-1")
        address = path.format(**GIVEN, course_id=course["id"], client_id=client.id)
        statuses = []
        for column in COLUMNS:
            signed_in = await site.signed_in(PEOPLE[column], (ROLES.get(column, column),)) if column in PEOPLE else None
            cookie = signed_in.secret.cookie if signed_in else ""
            answer = await (site.get(address, cookie) if method == "GET" else site.post(address, cookie))
            statuses.append(str(answer.status_code))
        assert " ".join(statuses) == ROWS[method, path]

    browse(test)


PAGES = [path for method, path in ROWS if method == "GET"]
REF = "EHR-7741"  # which no page has by chance


async def address_of(site, path):
    """A page's address, of the course of a client whose name is REF."""
    course = await (await site.api()).open(REF)
    client = await site.clinic.clients.get(REF)
    return path.format(**GIVEN, course_id=course["id"], client_id=client.id)


@pytest.mark.matrix(8)
@pytest.mark.parametrize("path", PAGES)
def test_a_title_names_no_client_and_a_stranger_reads_of_none(browse, path):
    async def test(site):
        address = await address_of(site, path)
        for column, person in PEOPLE.items():
            page = await site.visitor(person, ROLES.get(column, column))
            await page.open(address)
            assert REF not in page.title, column
            assert page.answer.headers["cache-control"] == "no-store"
            if column in {"foreign", "admin"}:
                assert REF not in page.answer.text, column

    browse(test)


@pytest.mark.matrix(8)
@pytest.mark.parametrize("path", PAGES)
def test_another_organisation_reads_of_no_client(browse, clock, path):
    async def test(site):
        address = await address_of(site, path)
        operator = {"Authorization": f"Bearer {await site.token('operator', 'ops')}"}
        await site.client.post("/v1/organisations", json={"id": "south", "title": "South"}, headers=operator)
        south = await site.credentials.clinics.of("south")
        for role in ("therapist", "supervisor", "auditor", "admin"):
            await south.write(people.make_known, role, role, clock.now())
            session = await SignInSessions(south).begin(role, (role,), "link", authenticated_at=clock.now())
            answer = await site.get(address, session.secret.cookie)
            assert answer.status_code in ({403, 404} if "{course_id}" in path else {200, 303, 403, 404}), role
            assert REF not in answer.text, role

    browse(test)
