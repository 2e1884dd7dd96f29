"""Which page answers whom, and how. A route of a page without a row here fails.

Each row gives the statuses for the columns: nobody who is signed in, the course's therapist, another therapist, a supervisor, an auditor, an
administrator. A GET that sends elsewhere is 303. A POST carries its token against forgery and no other field.
"""

import pytest

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
    ("GET", "/clients/{client_id}"): "303 303 200 303 303 200",
    ("GET", "/courses/{course_id}"): COURSE,
    ("GET", "/courses/{course_id}/paper/{kind}"): COURSE,
    ("GET", "/courses/{course_id}/session"): WRITTEN,
    ("POST", "/courses/{course_id}/session"): "403 422 404 403 403 404",  # nothing is filled in
    ("GET", "/courses/{course_id}/session/{number}"): "303 404 404 403 403 404",  # the course has no session
    ("POST", "/courses/{course_id}/session/{number}"): "403 404 404 403 403 404",
    ("GET", "/courses/{course_id}/do/record_measure"): WRITTEN,
    ("POST", "/courses/{course_id}/do/record_measure"): "403 422 404 403 403 404",
}
GIVEN = {
    "session_id": "none",
    "passkey_id": "none",
    "kind": "summary",
    "number": "1",
}  # other parts of paths: `course_id` and `client_id` are of a course of therapist-1


def routes(router):
    return {(method, route.path_format) for route in router.routes for method in route.methods if method not in {"HEAD", "OPTIONS"}}


def test_every_page_for_whoever_is_signed_in_has_its_decision(settings):
    signed_in, _open, _unforgeable = routers(settings)
    assert routes(signed_in) == set(ROWS)


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
