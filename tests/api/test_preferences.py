"""`Prefer: return=minimal`: an answer without the course."""

import httpx
import pytest
from support.http_client import Api

NOTE = {"trigger": "note", "data": {"text": "Prefers mornings."}}
REFERRAL = {"client_ref": "EHR-7", "protocol": "ipt", "data": {"source": "General practitioner"}}
MINIMAL = "return=minimal"


async def fire(api: Api, course: str, body: object = NOTE, **headers: str) -> httpx.Response:
    answer = await api.post(f"/v1/courses/{course}/transitions", body, **headers)
    assert answer.status_code == 201, answer.text
    return answer


def is_minimal(answer: httpx.Response, kept: str = "entry") -> None:
    assert set(answer.json()) == {kept}
    assert answer.headers["preference-applied"] == MINIMAL


def is_whole(answer: httpx.Response, kept: str = "entry") -> None:
    assert set(answer.json()) == {kept, "course"}
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize("query", ["", "?dry_run=false"], ids=["fast path", "router"])
def test_a_transition_is_answered_with_its_entry_and_the_new_version_alone(api, query):
    async def test(api):
        course = (await api.open())["id"]
        answer = await api.post(f"/v1/courses/{course}/transitions{query}", NOTE, Prefer=MINIMAL)
        assert answer.status_code == 201, answer.text
        is_minimal(answer)
        assert answer.headers["etag"] == '"2"' == (await api.get(f"/v1/courses/{course}")).headers["etag"]
        assert answer.json()["entry"] == (await api.get(f"/v1/courses/{course}/transitions/2")).json()

    api(test)


def test_several_together_are_answered_with_their_entries_alone(api):
    async def test(api):
        course = (await api.open())["id"]
        answer = await fire(api, course, {"together": [NOTE, NOTE]}, Prefer=MINIMAL)
        is_minimal(answer, "entries")
        assert [entry["seq"] for entry in answer.json()["entries"]] == [2, 3]
        assert answer.headers["etag"] == '"3"'

    api(test)


def test_an_opened_course_is_named_by_its_location(api):
    async def test(api):
        answer = await api.post("/v1/courses", REFERRAL, Prefer=MINIMAL)
        assert answer.status_code == 201, answer.text
        is_minimal(answer)
        opened = (await api.get(answer.headers["location"])).json()
        assert (opened["version"], answer.headers["etag"]) == (1, '"1"')

    api(test)


def test_a_cosigned_proposal_is_answered_with_its_entry_alone(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        body = {"trigger": "extend_phase", "reason": "One more session is needed."}
        proposal = (await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"3"')).json()["id"]
        headers = api.headers("supervisor", Prefer=MINIMAL)
        answer = await api.client.post(f"/v1/proposals/{proposal}/cosign", headers=headers)
        assert answer.status_code == 201, answer.text
        is_minimal(answer)
        assert (answer.json()["entry"]["trigger"], answer.headers["etag"]) == ("extend_phase", '"4"')

    api(test)


def test_a_repeated_key_is_answered_as_the_repeating_request_prefers(api):
    async def test(api):
        course = (await api.open())["id"]
        whole = await fire(api, course, Idempotency_Key="k")
        minimal = await fire(api, course, Idempotency_Key="k", Prefer=MINIMAL)
        again = await fire(api, course, Idempotency_Key="k")
        is_minimal(minimal)
        is_whole(again)
        assert minimal.headers["idempotent-replayed"] == again.headers["idempotent-replayed"] == "true"
        assert minimal.json()["entry"] == whole.json()["entry"]
        assert again.json() == whole.json()
        assert minimal.headers["etag"] == whole.headers["etag"]

    api(test)


@pytest.mark.parametrize(
    ("prefer", "minimal"),
    [
        ("return=minimal", True),
        ("Return = Minimal", True),
        ('return="minimal"', True),
        ("respond-async, return=minimal; foo=bar, wait=10", True),
        ("return=representation", False),
        ("return=representation, return=minimal", False),
        ("return=minimalist", False),
        ("noreturn=minimal", False),
        ("", False),
    ],
)
def test_a_preference_is_read_as_rfc_7240_says_and_what_is_unknown_is_ignored(api, prefer, minimal):
    async def test(api):
        course = (await api.open())["id"]
        (is_minimal if minimal else is_whole)(await fire(api, course, Prefer=prefer))

    api(test)


def test_a_refusal_is_answered_whole(api):
    async def test(api):
        course = (await api.open())["id"]
        answer = await api.post(f"/v1/courses/{course}/transitions", {"trigger": "start"}, If_Match='"1"', Prefer=MINIMAL)
        assert answer.status_code == 409
        assert answer.json()["refusals"]
        assert "preference-applied" not in answer.headers

    api(test)
