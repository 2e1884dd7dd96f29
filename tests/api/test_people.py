"""People over HTTP: added, listed in pages, changed, and gone at once when they leave."""

import pytest

PERSON = {"id": "new-1", "name": "Zoë Brandt", "roles": ["supervisor", "therapist"]}
ROLES = ("therapist", "supervisor", "auditor", "admin")


def test_a_person_is_added_shown_and_changed(api):
    async def test(api):
        made = await api.post("/v1/people", {**PERSON, "supervisors": ["supervisor-1"], "language": "de-AT"}, "admin")
        assert (made.status_code, made.headers["location"]) == (201, "/v1/people/new-1")
        assert made.json()["roles"] == ["therapist", "supervisor"]
        changed = await api.client.patch(
            "/v1/people/new-1", json={"zone": "Europe/Vienna", "language": None}, headers=api.headers("admin")
        )
        shown = (await api.get("/v1/people/new-1", "admin")).json()
        assert changed.json() == shown == {**made.json(), "zone": "Europe/Vienna", "language": None}
        assert (await api.get("/v1/people/nobody", "admin")).status_code == 404

    api(test)


def test_people_are_listed_in_pages_by_role_and_status(api):
    async def test(api):
        await api.post("/v1/people", PERSON, "admin")
        left = await api.post("/v1/people/new-1/leave", role="admin")
        assert (left.status_code, left.json()["ended"]["tokens"]) == (200, 0)
        first = await api.get("/v1/people?role=supervisor&limit=2", "admin")
        rest = await api.get(first.headers["link"].partition(">")[0].lstrip("<"), "admin")
        assert [each["id"] for each in first.json()["items"] + rest.json()["items"]] == [*("new-1", "supervisor-1", "supervisor-2")]
        assert [each["id"] for each in (await api.get("/v1/people?status=left", "admin")).json()["items"]] == ["new-1"]
        for query in ("role=ehr", "status=gone", "cursor=x"):
            assert (await api.get(f"/v1/people?{query}", "admin")).status_code in {400, 422}

    api(test)


@pytest.mark.parametrize(
    ("change", "where"),
    (
        ({"id": "therapist-1"}, "id"),
        ({"id": " x"}, "id"),
        ({"name": ""}, "name"),
        ({"roles": []}, "roles"),
        ({"roles": ["ehr"]}, "roles[0]"),
        ({"roles": ["operator"]}, "roles[0]"),
        ({"language": "no_language"}, "language"),
        ({"zone": "Mars/Base"}, "zone"),
        ({"supervisors": ["therapist-1"]}, "supervisors[0]"),
        ({"status": "left"}, "status"),
    ),
)
def test_what_is_wrong_with_a_person_is_said_at_its_place(api, change, where):
    async def test(api):
        answer = await api.post("/v1/people", {**PERSON, **change}, "admin")
        assert answer.status_code == 422
        assert [each["where"] for each in answer.json()["errors"]] == [where]

    api(test)


def test_who_left_cannot_do_one_more_thing(api):
    async def test(api):
        course = (await api.open())["id"]
        for role in ROLES:
            assert (await api.get("/v1/protocols", role)).status_code == 200
        for role in ROLES:
            left = await api.post(f"/v1/people/{role}-1/leave", role="admin") if role != "admin" else None
            left = left or await api.post("/v1/people/admin-1/leave", role="admin")
            assert left.status_code == 200
            assert (await api.get("/v1/protocols", role)).status_code == 401
        assert (await api.fire(course, "note", {"text": "x"}, version=1)).status_code == 401

    api(test)


def test_a_transfer_to_somebody_who_left_says_so_and_one_to_a_colleague_passes(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.post("/v1/people/therapist-3/leave", role="admin")
        told = {"handover": "Told."}
        answer = await api.fire(course, "transfer", {"therapist": "therapist-3", **told}, "supervisor", reason="Leave")
        assert answer.status_code == 422
        assert answer.json()["errors"] == [
            {"where": "data.therapist", "message": "names a person who has left; name somebody else"}
        ]
        await api.post("/v1/people/therapist-1/leave", role="admin")
        (item,) = (await api.get("/v1/courses?attention=unassigned", "supervisor")).json()["items"]
        assert (item["id"], item["attention"]) == (course, ["unassigned"])
        answer = await api.fire(course, "transfer", {"therapist": "therapist-2", **told}, "supervisor", reason="Leave")
        assert answer.json()["course"]["attention"] == []
        assert (await api.get("/v1/courses?attention=unassigned", "supervisor")).json()["items"] == []

    api(test)


def test_sessions_to_attest_come_in_pages(api):
    async def test(api):
        theirs = []
        for number in range(3):
            theirs.append((await api.open(f"EHR-{number}"))["id"])
            await api.walk(theirs[-1], "record_consent", "start", "record_session")
        assert (await api.get("/v1/sessions-to-attest", "supervisor")).json() == {"items": [], "next": None}
        await api.post("/v1/people/therapist-1/leave", role="admin")
        first = await api.get("/v1/sessions-to-attest?limit=2", "supervisor")
        rest = await api.get(first.headers["link"].partition(">")[0].lstrip("<"), "supervisor")
        items = first.json()["items"] + rest.json()["items"]
        assert [each["course"] for each in items] == theirs
        assert {each["given_by"] for item in items for each in item["sessions"]} == {"therapist-1"}

    api(test)
