"""A write that is wrong in several ways at once is answered by the first check of `docs/http.md`; put right, by the next."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.http_client import OPERATOR, Api

from ipt_workflow.api.problems import PROBLEM_JSON, PROBLEMS
from ipt_workflow.service.access.tokens import NewToken

ROOT = Path(__file__).parents[2]
FIELDS = {"type", "title", "status", "detail", "instance"}  # RFC 9457
MORE = {
    "invalid": {"errors"},
    "transition-refused": {"trigger", "state", "version", "refusals", "together"},
    "stale-version": {"version"},
    "trigger-not-permitted": {"trigger", "roles"},
}
DOCUMENTED = dict(
    re.findall(r"^\| `(/problems/[a-z-]+)` \| (\d+) ", (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8"), re.MULTILINE)
)
JSON = "application/json"
USED = "used-before"  # an idempotency key


class Draft:
    """A request that is put right step by step."""

    def __init__(self, api: Api, path: str) -> None:
        self.api = api
        self.path = path
        self.headers: dict[str, str] = {}
        self.content = b""

    def by(self, role: str) -> "Draft":
        self.headers["Authorization"] = f"Bearer {self.api.tokens[role]}"
        return self

    def body(self, value: Any, kind: str = JSON) -> "Draft":
        self.content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.headers["Content-Type"] = kind
        return self

    def having(self, **headers: str) -> "Draft":
        self.headers |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self

    async def send(self) -> httpx.Response:
        return await self.api.client.post(self.path, content=self.content, headers=self.headers)

    async def meets(self, slug: str) -> dict[str, Any]:
        """Sends it, and checks that it is answered with this problem, in the documented shape."""
        answer = await self.send()
        problem = answer.json()
        assert problem.get("type") == f"/problems/{slug}", (slug, answer.status_code, answer.text)
        is_documented(answer, self.path.partition("?")[0])
        return problem

    async def passes(self, status: int = 201) -> httpx.Response:
        answer = await self.send()
        assert answer.status_code == status, answer.text
        return answer


def is_documented(answer: httpx.Response, instance: str) -> None:
    problem = answer.json()
    slug = problem["type"].removeprefix("/problems/")
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.headers["cache-control"] == "no-store"
    assert set(problem) == FIELDS | MORE.get(slug, set())
    assert DOCUMENTED[problem["type"]] == str(answer.status_code)
    assert problem["status"] == answer.status_code == PROBLEMS[slug].status
    assert problem["title"] == PROBLEMS[slug].title
    assert problem["detail"]
    assert problem["instance"] == instance


async def with_foreigner(api: Api) -> None:
    made = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-2"))
    api.tokens["foreign"] = made.token


async def begun(api: Api) -> str:
    """A course in its first phase, at version 3, with a key that was used on it."""
    course = (await api.open())["id"]
    body = {"trigger": "record_consent", "data": {"scope": "treatment"}}
    assert (await api.post(f"/v1/courses/{course}/transitions", body, Idempotency_Key=USED)).status_code == 201
    await api.walk(course, "start")
    return course


def wheres(problem: dict[str, Any]) -> set[str]:
    assert all(set(fault) == {"where", "message"} and fault["message"] for fault in problem["errors"])
    return {fault["where"] for fault in problem["errors"]}


def too_large(api: Api) -> bytes:
    return b"{" + b" " * api.clinic.settings.body_bytes_max


def test_firing_a_trigger(api):
    async def test(api):
        await with_foreigner(api)
        draft = Draft(api, f"/v1/courses/{await begun(api)}/transitions")
        wrong = {"trigger": "pause", "data": {"planned_return": 3, "until": "May"}, "bogus": 1}
        draft.body(wrong, "text/plain").having(Idempotency_Key=USED)
        await draft.meets("unauthenticated")
        await draft.by("foreign").meets("not-found")
        await draft.by("auditor").meets("forbidden")
        assert (await draft.by("ehr").meets("trigger-not-permitted"))["trigger"] == "pause"
        await draft.by("therapist").meets("key-reused")
        await draft.having(Idempotency_Key="a key with spaces").meets("version-required")
        assert (await draft.having(If_Match='"2"').meets("stale-version"))["version"] == 3
        draft.having(If_Match='"3"')
        await draft.meets("malformed")
        await draft.having(Idempotency_Key="new").meets("unsupported-media-type")
        await draft.body(too_large(api)).meets("too-large")
        await draft.body(b'{"trigger": "pause"').meets("malformed")
        await draft.body([wrong]).meets("malformed")
        assert wheres(await draft.body(wrong).meets("invalid")) >= {"bogus", "data.planned_return", "data.until"}
        right = {"trigger": "pause", "data": {"planned_return": "2026-03-01"}}
        assert wheres(await draft.body(right).meets("invalid")) == {"reason"}
        refused = await draft.body({"trigger": "resume"}).meets("transition-refused")
        assert [refusal["rule"] for refusal in refused["refusals"]] == ["state_allows"]
        assert (refused["trigger"], refused["state"], refused["version"]) == ("resume", "initial", 3)
        await draft.body({**right, "reason": "A journey."}).passes()

    api(test)


def test_a_replay_answers_before_the_version_is_looked_at(api):
    async def test(api):
        draft = (
            Draft(api, f"/v1/courses/{await begun(api)}/transitions").by("therapist").having(Idempotency_Key="k", If_Match='"3"')
        )
        draft.body({"trigger": "select_focus", "data": {"primary": "grief"}})
        await draft.meets("transition-refused")
        draft.body({"trigger": "pause", "data": {"planned_return": "2026-03-01"}, "reason": "A journey."})
        await draft.passes()
        for version in ('"3"', '"99"', "not a version"):
            assert (await draft.having(If_Match=version).passes()).headers["idempotent-replayed"] == "true"
        del draft.headers["If-Match"]
        assert (await draft.passes()).headers["idempotent-replayed"] == "true"
        await draft.having(Idempotency_Key="other").meets("version-required")

    api(test)


def test_opening_a_course(api):
    async def test(api):
        referral = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner"}}
        first = Draft(api, "/v1/courses").by("therapist").body(referral).having(Idempotency_Key=USED)
        await first.passes()
        draft = Draft(api, "/v1/courses").having(Idempotency_Key=USED)
        wrong = {"client_ref": "", "protocol": 3, "bogus": 1}
        draft.body(wrong, "text/plain")
        await draft.meets("unauthenticated")
        await draft.by("auditor").meets("forbidden")
        await draft.by("therapist").meets("key-reused")
        await draft.having(Idempotency_Key="\t").meets("malformed")
        await draft.having(Idempotency_Key="new").meets("unsupported-media-type")
        await draft.body(too_large(api)).meets("too-large")
        await draft.body(b"").meets("malformed")
        assert wheres(await draft.body(wrong).meets("invalid")) == {"bogus", "client_ref", "data", "protocol"}
        adopt = {"trigger": "adopt", "client_ref": "EHR-2", "protocol": "ipt", "data": {}}
        await draft.body(adopt).meets("trigger-not-permitted")
        assert wheres(await draft.body({**referral, "protocol": "no-such"}).meets("invalid")) == {"protocol"}
        assert wheres(await draft.body({**referral, "data": {"indication": 3}}).meets("invalid")) == {
            "data.indication",
            "data.source",
        }
        refused = await draft.body(referral).meets("transition-refused")
        assert [refusal["rule"] for refusal in refused["refusals"]] == ["one_active_course"]
        assert (refused["state"], refused["version"]) == (None, 0)
        await draft.body({**referral, "client_ref": "EHR-2"}).passes()

    api(test)


def test_proposing(api):
    async def test(api):
        await with_foreigner(api)
        draft = Draft(api, f"/v1/courses/{await begun(api)}/proposals")
        wrong = {"trigger": "waive_sick_role", "data": {"bogus": 1}}
        draft.body(wrong, "text/plain")
        await draft.meets("unauthenticated")
        await draft.by("foreign").meets("not-found")
        await draft.by("auditor").meets("forbidden")
        await draft.by("ehr").meets("forbidden")
        await draft.by("therapist").meets("version-required")
        await draft.having(If_Match='"2"').meets("stale-version")
        await draft.having(If_Match='"3"').meets("unsupported-media-type")
        await draft.body({"trigger": "reopen"}, "text/plain").meets("trigger-not-permitted")
        await draft.body(too_large(api)).meets("too-large")
        await draft.body(b"null").meets("malformed")
        assert wheres(await draft.body(wrong).meets("invalid")) == {"data.bogus", "reason"}
        refused = await draft.body({"trigger": "change_protocol", "data": {"protocol": "ipt"}, "reason": "x"}).meets(
            "transition-refused"
        )
        assert [refusal["rule"] for refusal in refused["refusals"]] == ["protocol_differs"]
        await draft.body({"trigger": "waive_sick_role", "reason": "Not wanted."}).passes()

    api(test)


def test_cosigning(api):
    async def test(api):
        await with_foreigner(api)
        course = await begun(api)
        body = {"trigger": "waive_sick_role", "reason": "Not wanted."}
        made = await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"3"')
        draft = Draft(api, f"/v1/proposals/{made.json()['id']}/cosign")
        await draft.meets("unauthenticated")
        await draft.by("foreign").meets("not-found")
        await draft.by("therapist").meets("forbidden")
        await draft.by("auditor").meets("forbidden")
        moved = await api.fire(course, "record_timeline", {"events": [{"when": "Spring", "event": "Moved"}]})
        assert moved.status_code == 201
        assert (await draft.by("supervisor").having(If_Match='"3"').meets("stale-version"))["version"] == 4
        await draft.having(If_Match="three").meets("malformed")
        await draft.having(If_Match='"4"').passes()
        await draft.meets("stale-version")

    api(test)


def test_a_dry_run(api):
    async def test(api):
        await with_foreigner(api)
        draft = Draft(api, f"/v1/courses/{await begun(api)}/transitions?dry_run=true")
        draft.body({"trigger": "pause", "data": {}}, "text/plain")
        await draft.meets("unauthenticated")
        await draft.by("foreign").meets("not-found")
        await draft.by("auditor").meets("forbidden")
        await draft.by("therapist").meets("version-required")
        await draft.having(If_Match='"2"').meets("stale-version")
        await draft.having(If_Match='"3"').meets("unsupported-media-type")
        assert wheres(await draft.body({"trigger": "pause", "data": {}}).meets("invalid")) == {"data.planned_return", "reason"}
        await draft.body({"trigger": "resume"}).passes(200)

    api(test)


def test_what_is_never_blocked_needs_no_version_but_a_wrong_one_is_told_before_its_body(api):
    async def test(api):
        draft = Draft(api, f"/v1/courses/{await begun(api)}/transitions").by("therapist")
        await draft.body({"trigger": "note", "data": {}}).meets("invalid")
        await draft.having(If_Match='"2"').meets("stale-version")
        await draft.having(If_Match="*").meets("malformed")
        del draft.headers["If-Match"]
        mixed = {"together": [{"trigger": "note", "data": {"text": "x"}}, {"trigger": "resume"}]}
        await draft.body(mixed).meets("version-required")
        await draft.body({"together": mixed["together"][:1]}).passes()

    api(test)


EVERY_FIELD = (
    (
        {
            "trigger": "agree_contract",
            "data": {"sessions": 0, "weeks": "x", "goals": [], "cadence_days": 91, "therapist_agrees": "yes", "bogus": 1},
            "occurred_at": "yesterday",
            "bogus": 1,
        },
        {"bogus", "occurred_at", "data.bogus", "data.sessions", "data.weeks", "data.goals", "data.cadence_days",
         "data.therapist_agrees", "data.client_agrees"},
    ),
    (
        {"trigger": "pause", "data": {"planned_return": "May"}, "override": {"rules": ["bogus"], "reason": "x"}},
        {"reason", "data.planned_return", "override.rules[0]"},
    ),
    (
        {"trigger": "record_measure", "data": {"instrument": "bogus", "not_obtained": True, "total": 3}},
        {"reason", "data", "data.instrument"},
    ),
    (
        {"together": [{"trigger": "pause", "data": {}, "bogus": 1}, {"trigger": "note", "data": {"text": ""}}]},
        {"together[0].bogus", "together[0].data.planned_return", "together[0].reason", "together[1].data.text"},
    ),
    (
        {"together": [{"trigger": "pause", "data": {}}, {"trigger": "bogus"}, {"trigger": "note", "data": {}}]},
        {"together[0].data.planned_return", "together[0].reason", "together[1].trigger", "together[2].data.text"},
    ),
    (
        {"trigger": "pause", "occurred_at": "1066-10-14T09:00:00Z", "data": {}, "override": {"rules": ["bogus"], "reason": ""}},
        {"occurred_at", "reason", "data.planned_return", "override.rules[0]", "override.reason"},
    ),
    (
        {"trigger": "record_session", "data": {"kind": "additional", "minutes": "x"}},
        {"reason", "data.attendance", "data.minutes"},
    ),
    (
        {"trigger": "record_measure", "data": {"instrument": "phq9", "not_obtained": True, "bogus": 3}, "bogus": 1},
        {"bogus", "reason", "data.bogus"},
    ),
    (
        {"trigger": "book_session", "occurred_at": "2031-01-05T09:00:00Z", "data": {"bogus": 1}},
        {"data.bogus", "data.scheduled_for"},
    ),
    (
        {"trigger": "record_session", "occurred_at": "2031-01-05T09:00:00Z", "data": {"attendance": "5", "bogus": 1}},
        {"occurred_at", "data.bogus"},
    ),
    (
        {"together": [{"trigger": "open_followup", "data": {"bogus": 1}}, {"trigger": "pause", "data": {}}]},
        {"together[0].trigger", "together[0].data.bogus", "together[0].data.protocol", "together[1].reason", "together[1].data.planned_return"},
    ),
    (
        {"trigger": "record_inventory", "data": {"people": [{"id": "p1"}, {"id": "?", "name": ""}, {}]}},
        {"data.people[1].id", "data.people[1].name", "data.people[2].id"},
    ),
    ({"together": []}, {"together"}),
    ({"together": [{"trigger": "note", "data": {"text": "x"}}] * 21}, {"together"}),
    ({"trigger": "note", "data": {"text": "x"}, "together": []}, {"trigger", "data"}),
)  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), EVERY_FIELD)
def test_every_wrong_field_is_told_at_once(api, body, expected):
    async def test(api):
        draft = Draft(api, f"/v1/courses/{await begun(api)}/transitions").by("therapist").having(If_Match='"3"')
        assert wheres(await draft.body(body).meets("invalid")) == expected

    api(test)


@pytest.mark.parametrize(
    ("body", "expected"),
    (
        ({"client_ref": "", "protocol": "ipt", "therapist": 5, "data": {"bogus": 1}}, {"client_ref", "therapist", "data.bogus"}),
        ({"client_ref": "EHR-9", "protocol": "bogus", "data": {"bogus": 1}}, {"protocol", "data.bogus"}),
        (
            {
                "client_ref": "EHR-9",
                "protocol": "bogus",
                "trigger": "adopt",
                "occurred_at": "1066-10-14T09:00:00Z",
                "data": {"bogus": 1},
            },
            {"protocol", "reason", "occurred_at", "data.bogus"},
        ),
        ({"client_ref": "EHR-9", "trigger": "adopt", "data": {"bogus": 1}}, {"protocol", "reason", "data.bogus"}),
    ),
)
def test_every_wrong_field_of_an_opening_is_told_at_once(api, body, expected):
    async def test(api):
        found = wheres(await Draft(api, "/v1/courses").by("supervisor").body(body).meets("invalid"))
        assert expected <= found
        assert all(each.startswith("data.") for each in found - expected)  # what adopting needs

    api(test)


def test_every_wrong_field_of_a_crisis_call_is_told_at_once(api):
    async def test(api):
        await begun(api)
        draft = Draft(api, "/v1/courses/crisis-calls").by("therapist")
        call = {"client_ref": "EHR-1", "together": [{"trigger": "record_contact", "data": {"kind": "bogus"}}, {"trigger": "pause"}]}
        expected = {"together[0].data.kind", "together[1].trigger", "together[1].reason", "together[1].data.planned_return"}
        assert wheres(await draft.body(call).meets("invalid")) == {*expected, "together"}
        of_shape = {*expected, "client_ref"} - {"together[1].trigger"}
        assert wheres(await draft.body({**call, "client_ref": ""}).meets("invalid")) == of_shape

    api(test)


def test_a_method_that_a_path_does_not_know(api):
    async def test(api):
        answer = await api.client.put("/v1/triggers", headers=api.headers("therapist"))
        assert answer.json()["type"] == "/problems/method-not-allowed"
        is_documented(answer, "/v1/triggers")
        assert "GET" in answer.headers["allow"]

    api(test)
