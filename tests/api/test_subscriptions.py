"""Subscriptions, deliveries and the feed over HTTP: permissions, responses, and faults in requests."""

import msgspec
import pytest

from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.sender import DeliverySender, SendResult

URL = "https://ehr.example/hooks"
ROUTES = (
    ("POST", "/v1/subscriptions", {"url": URL}),
    ("GET", "/v1/subscriptions", None),
    ("GET", "/v1/subscriptions/x", None),
    ("PATCH", "/v1/subscriptions/x", {"scope": "thin"}),
    ("DELETE", "/v1/subscriptions/x", None),
    ("POST", "/v1/subscriptions/x/rotate", {}),
    ("POST", "/v1/subscriptions/x/ping", None),
    ("POST", "/v1/subscriptions/x/pause", None),
    ("POST", "/v1/subscriptions/x/resume", None),
    ("POST", "/v1/subscriptions/x/replay", {"first": "evt_1"}),
    ("POST", "/v1/deliveries/x/replay", None),
)


class Deaf(DeliverySender):
    """Returns one status, and keeps each message."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.sent = status, []

    async def send(self, url, headers, body, now):
        self.sent.append((url, headers, msgspec.json.decode(body)))
        return SendResult(status=self.status, problem=None if self.status == 200 else "status")

    async def close(self) -> None:
        pass


async def subscribed(api, **more) -> dict:
    answer = await api.post("/v1/subscriptions", {"url": URL, **more}, "admin")
    assert answer.status_code == 201, answer.text
    return answer.json()


async def call(api, method: str, path: str, body, role: str):
    return await api.client.request(method, path, json=body, headers=api.headers(role))


def faults(answer) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {each["where"]: each["message"] for each in answer.json()["errors"]}


@pytest.mark.parametrize("role", ("therapist", "supervisor", "auditor", "ehr"))
def test_subscriptions_are_the_administrators(api, role):
    async def test(api):
        for method, path, body in ROUTES:
            assert (await call(api, method, path, body, role)).status_code == 403, (method, path)

    api(test)


def test_what_is_not_there_is_not_found(api):
    async def test(api):
        for method, path, body in ROUTES[2:]:
            assert (await call(api, method, path, body, "admin")).status_code == 404, (method, path)
        assert (await api.get("/v1/subscriptions/x/deliveries", "admin")).status_code == 404

    api(test)


def test_a_secret_is_shown_once_and_never_again(api):
    async def test(api):
        answer = await api.post("/v1/subscriptions", {"url": URL}, "admin")
        shown = answer.json()
        assert answer.headers["location"] == f"/v1/subscriptions/{shown['subscription']['id']}"
        signatures.read_key(shown["secret"])
        one = f"/v1/subscriptions/{shown['subscription']['id']}"
        assert (await api.get(one, "admin")).json() == shown["subscription"]
        assert shown["subscription"]["status"] == "active"
        assert shown["subscription"]["types"] == ["course.changed", "course.attention", "access.emergency", "subscription.disabled"]
        rotated = (await api.post(f"{one}/rotate", {}, "admin")).json()
        assert rotated["secret"] != shown["secret"]
        for path in (one, "/v1/subscriptions", f"{one}/deliveries", "/v1/audit"):
            text = (await api.get(path, "auditor" if "audit" in path else "admin")).text
            assert shown["secret"][6:] not in text
            assert rotated["secret"][6:] not in text

    api(test)


def test_an_asymmetric_subscription_needs_no_secret_and_shows_the_key_that_verifies(api):
    async def test(api):
        shown = await subscribed(api, signatures=["v1a"])
        assert shown["secret"] is None
        (key,) = shown["subscription"]["keys"]
        assert key["scheme"] == "v1a"
        public = signatures.read_key(key["public"])
        await api.open()
        sender = Deaf()
        await Relay(api.clinic, sender).drain()
        _, headers, event = sender.sent[0]
        body = msgspec.json.encode(event)
        assert signatures.verify(headers, body, [public], api.clinic.clock.now()).id == headers["webhook-id"]

    api(test)


@pytest.mark.parametrize(
    ("body", "where"),
    (
        ({"url": "http://ehr.example/"}, {"url"}),
        ({"url": "https://127.0.0.1/", "types": ["course.refused", "course.nonsense"]}, {"url", "types[0]", "types[1]"}),
        ({"url": URL, "types": ["course.begin_middle"]}, {"types[0]"}),
        ({"url": URL, "courses": ["0197c8f2-7d3a-7c1e-9f60-2f5b6f0c1a11"]}, {"courses[0]"}),
        ({"url": URL, "types": []}, {"types"}),
        ({"url": URL, "scope": "all"}, {"scope"}),
        ({"url": URL, "secret": "mine"}, {"secret"}),
        ({}, {"url"}),
    ),
)
def test_every_fault_of_a_subscription_is_reported_at_once(api, body, where):
    async def test(api):
        assert set(faults(await api.post("/v1/subscriptions", body, "admin"))) == where

    api(test)


def test_a_subscription_is_changed_paused_resumed_and_deleted_and_all_of_it_is_recorded(api):
    async def test(api):
        shown = await subscribed(api)
        one = f"/v1/subscriptions/{shown['subscription']['id']}"
        changed = await call(api, "PATCH", one, {"scope": "clinical", "types": ["course.*"]}, "admin")
        assert (changed.json()["scope"], changed.json()["types"], changed.json()["url"]) == ("clinical", ["course.*"], URL)
        assert set(faults(await call(api, "PATCH", one, {"scope": "thin"}, "admin"))) == {"types[0]"}
        assert (await api.post(f"{one}/pause", None, "admin")).json()["status"] == "paused"
        assert (await api.post(f"{one}/resume", None, "admin")).json()["status"] == "active"
        assert (await api.post(f"{one}/ping", None, "admin")).status_code == 202
        assert (await call(api, "DELETE", one, None, "admin")).status_code == 204
        assert (await api.get("/v1/subscriptions", "admin")).json() == {"items": [], "next": None}
        records = (await api.get("/v1/audit?kind=config", "auditor")).json()["items"]
        verbs = [each["action"].split()[-1] for each in records if each["action"].startswith("subscription")]
        assert verbs == ["created", "changed", "paused", "resumed", "pinged", "deleted"]

    api(test)


def test_deliveries_are_listed_by_page_and_status_and_replayed(api):
    async def test(api):
        shown = await subscribed(api)
        one = f"/v1/subscriptions/{shown['subscription']['id']}"
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        await Relay(api.clinic, Deaf(500)).drain()
        listed = (await api.get(f"{one}/deliveries?limit=2", "auditor")).json()
        assert [(each["sequence"], each["status"], each["attempts"], each["problem"]) for each in listed["items"]] == [
            (1, "waiting", 1, "status"),
            (2, "waiting", 0, None),
        ]
        rest = (await api.get(f"{one}/deliveries?cursor={listed['next']}", "auditor")).json()
        assert [each["sequence"] for each in rest["items"]] == [3]
        assert (await api.get(f"{one}/deliveries?status=dead", "auditor")).json()["items"] == []
        assert "status" in faults(await api.get(f"{one}/deliveries?status=lost", "auditor"))

        await api.post(f"{one}/pause", None, "admin")
        await api.post(f"{one}/resume", None, "admin")
        first = listed["items"][0]
        assert (await api.post(f"/v1/deliveries/{first['id']}/replay", None, "admin")).json() == {"deliveries": 0, "next": None}
        answer = await api.post(f"{one}/replay", {"first": first["event"], "missed": True}, "admin")
        assert (answer.status_code, answer.json()["deliveries"]) == (202, 0)
        assert "since" in str(faults(await api.post(f"{one}/replay", {}, "admin")))

    api(test)


def test_the_feed_has_the_same_events_with_the_same_ids_also_where_nothing_delivers(api):
    async def test(api):
        await subscribed(api)
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        page = (await api.get("/v1/events?limit=2", "ehr")).json()
        assert [each["data"]["sequence"] for each in page["items"]] == [1, 2]
        answer = await api.get(f"/v1/events?limit=2&after={page['next']}", "ehr")
        rest = answer.json()
        assert [each["data"]["sequence"] for each in rest["items"]] == [3]
        assert rest["next"] is None
        assert "link" not in answer.headers
        assert (await api.get(f"/v1/events?after={rest['last']}", "ehr")).json() == {
            "items": [],
            "next": None,
            "last": rest["last"],
        }

        sender = Deaf()
        await Relay(api.clinic, sender).drain()
        items = page["items"] + rest["items"]
        assert [(headers["webhook-id"], event) for _, headers, event in sender.sent] == [
            (each["id"], {name: each[name] for name in ("type", "timestamp", "data")}) for each in items
        ]

    api(test)


def test_the_feed_of_a_subscription_has_the_events_that_it_receives(api):
    async def test(api):
        course = (await api.open())["id"]
        other = (await api.open("EHR-2"))["id"]
        shown = await subscribed(api, types=["course.*", "course.refused"], scope="clinical", courses=[course])
        await api.fire(course, "begin_middle")
        await api.walk(other, "record_consent")
        path = f"/v1/events?subscription={shown['subscription']['id']}"
        items = (await api.get(path, "supervisor")).json()["items"]
        assert [(each["type"], each["data"]["course"]) for each in items] == [("course.refer", course), ("course.refused", course)]
        assert [each["type"] for each in (await api.get("/v1/events", "supervisor")).json()["items"]] == ["course.changed"] * 3
        assert (await api.get("/v1/events?subscription=x", "supervisor")).status_code == 404
        assert "after" in faults(await api.get("/v1/events?after=evt_none", "supervisor"))

    api(test)


@pytest.mark.parametrize("role", ("therapist", "admin"))
def test_the_feed_is_not_for_those_who_see_no_organisation(api, role):
    async def test(api):
        assert (await api.get("/v1/events", role)).status_code == 403

    api(test)


def test_a_course_that_is_not_to_be_shared_any_more_is_not_in_an_ehrs_feed(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.fire(course, "withdraw_consent", {"scope": "sharing", "who": "client"})
        (item,) = (await api.get("/v1/events", "ehr")).json()["items"]
        assert (item["type"], item["data"]) == ("course.withheld", {"course": course})
        types = [each["type"] for each in (await api.get("/v1/events", "supervisor")).json()["items"]]
        assert types == ["course.changed", "course.changed", "course.withheld"]
        await api.fire(course, "record_consent", {"scope": "sharing", "who": "client"})
        types = [each["type"] for each in (await api.get("/v1/events", "ehr")).json()["items"]]
        assert types == ["course.changed", "course.changed", "course.withheld", "course.changed", "course.resumed"]

    api(test)


def test_the_same_terms_twice_are_a_conflict_with_the_id_of_the_first(api):
    async def test(api):
        first = (await subscribed(api, types=["course.changed", "course.attention"]))["subscription"]["id"]
        same = {"url": URL, "types": ["course.attention", "course.changed"], "signatures": ["v1a"]}
        await api.post(f"/v1/subscriptions/{first}/pause", None, "admin")
        answer = await api.post("/v1/subscriptions", same, "admin")
        assert answer.status_code == 409
        assert answer.json()["type"] == "/problems/subscription-exists"
        assert answer.json()["subscription"] == first
        assert "resume" in answer.json()["detail"]
        other = (await subscribed(api, types=["course.changed"]))["subscription"]["id"]
        changed = await call(api, "PATCH", f"/v1/subscriptions/{other}", {"types": same["types"]}, "admin")
        assert (changed.status_code, changed.json()["subscription"]) == (409, first)
        assert (await api.get(f"/v1/subscriptions/{other}", "admin")).json()["types"] == ["course.changed"]
        await call(api, "DELETE", f"/v1/subscriptions/{first}", None, "admin")
        assert (await api.post("/v1/subscriptions", same, "admin")).status_code == 201

    api(test)


def test_a_snapshot_and_the_events_after_it_are_the_whole_course(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        await api.get("/v1/events", "ehr")
        await api.walk(course, "start")
        answer = await api.get(f"/v1/courses/{course}/snapshot", "ehr")
        snapshot = answer.json()
        assert answer.headers["etag"] == '"3"'
        assert (snapshot["sequence"], snapshot["head"]) == (3, snapshot["state"]["head"])
        await api.walk(course, "record_session")
        later = (await api.get(f"/v1/events?after={snapshot['last']}", "ehr")).json()["items"]
        assert [each["data"]["sequence"] for each in later if each["data"]["sequence"] > snapshot["sequence"]] == [4]
        assert (await api.get("/v1/courses/none/snapshot", "ehr")).status_code == 404
        assert (await api.get(f"/v1/courses/{course}/snapshot", "admin")).status_code == 404

    api(test)


def test_what_is_delivered_and_read_is_in_the_audit_log_with_its_course(api):
    async def test(api):
        shown = await subscribed(api)
        course = (await api.open())["id"]
        await Relay(api.clinic, Deaf()).drain()
        await api.get("/v1/events", "ehr")
        (delivered,) = (await api.get("/v1/audit?kind=delivery", "auditor")).json()["items"]
        assert delivered["actor"]["person"] == f"subscription:{shown['subscription']['id']}"
        assert delivered["courses"] == [course]
        reads = (await api.get(f"/v1/audit?kind=read&course={course}", "auditor")).json()["items"]
        assert reads[0]["action"] == "events"

    api(test)


def test_deliveries_are_counted_in_metrics(api):
    async def test(api):
        await subscribed(api)
        await api.open()
        await Relay(api.clinic, Deaf()).drain()
        text = (await api.get("/metrics", "admin")).text
        assert 'ipt_delivery_attempts_total{outcome="delivered"} 1.0' in text
        assert 'ipt_deliveries{status="delivered"} 1.0' in text

    api(test)
