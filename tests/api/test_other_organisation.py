"""Every route as a caller of another organisation, whose people have the same names: nothing of ours is told, and nothing changed.

The routes are those of the table in `test_access`, which has every route. A parameter of a path that is new must be placed here.
"""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api.test_access import NOBODY, NOTE, REFERRAL, SUPERVISION, TABLE, URL, Row, prepared, token
from support import group_walk, retention
from support.ehr_sender import Ehr
from support.http_client import OPERATOR, ROLES, START, Api
from support.two_clinics import ids_of, kept_of, other_clinic, said

from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"
PARAMETER = re.compile(r"\{(\w+)\}")
NEVER = {  # parameters that name what belongs to an organisation, and a name that nothing ever had
    "course_id": NOBODY,
    "proposal_id": NOBODY,
    "notice_id": NOBODY,
    "group_id": NOBODY,
    "session_id": NOBODY,
    "subscription_id": NOBODY,
    "delivery_id": NOBODY,
    "resource_id": NOBODY,
    "source_id": "nobody",
    "cover_id": NOBODY,
    "mark_id": NOBODY,
    "erasure_id": NOBODY,
    "access_id": NOBODY,
    "person_id": "nobody",
    "system_id": "nobody",
}
PUBLIC = {"kind", "member", "seq", "version", "protocol_id", "policy", "place"}  # the same names in every organisation
INSTALLATION = {"organisation"}  # named by the operator alone
EVERYTHING = ("proposal", "notice", "source", "group", "subscription")  # what lists may show
STAFF = tuple(role for role in ROLES if role != "operator")  # the operator belongs to no organisation


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a protocol for groups."""
    return group_walk.settings(tmp_path)


def parameters(path: str) -> set[str]:
    return set(PARAMETER.findall(path))


NAMING = {key: row for key, row in TABLE.items() if parameters(key[1]) & NEVER.keys()}
NAMING_NOTHING = {key: row for key, row in TABLE.items() if key not in NAMING}


def test_every_parameter_of_every_path_has_its_place():
    for _, path in TABLE:
        assert parameters(path.partition("?")[0]) <= NEVER.keys() | PUBLIC | INSTALLATION, path


async def both(api: Api, row: Row) -> tuple[Api, dict[str, str]]:
    """The other clinic, and what the row needs in ours."""
    other = await other_clinic(api)
    return other, await prepared(api, row)


async def if_match(api: Api, path: str, names: dict[str, str]) -> dict[str, str]:
    """What a caller would send who knew the version."""
    if "{group_id}" in path:
        return {"If_Match": (await api.get(f"/v1/groups/{names['group_id']}", "supervisor")).headers["etag"]}
    return {"If_Match": f'"{await api.version(names["course_id"])}"'} if "{course_id}" in path else {}


def filled(body: Any, names: dict[str, str]) -> Any:
    text = msgspec.json.encode(body).decode()
    return msgspec.json.decode(PARAMETER.sub(lambda found: names.get(found[1], found[0]), text))


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", NAMING, ids=" ".join)
def test_what_is_ours_is_answered_to_others_as_if_it_never_was(api, key):
    (method, path), row = key, TABLE[key]

    async def test(api: Api) -> None:
        other, names = await both(api, row)
        headers, before = await if_match(api, path, names), await kept_of(api)
        for role in STAFF:
            answers = []
            for named in (names, {**names, **NEVER}):
                answer = await other.client.request(
                    method, path.format(**named), json=filled(row.body, named), headers=other.headers(role, **headers)
                )
                assert answer.status_code in {403, 404}, (role, answer.text)
                answers.append(said(answer))
            assert answers[0] == answers[1], role
        assert await kept_of(api) == before

    api(test, VirtualClock(START))


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", NAMING_NOTHING, ids=" ".join)
def test_no_other_answer_to_others_names_what_is_ours(api, key):
    (method, path), row = key, TABLE[key]

    async def test(api: Api) -> None:
        other, names = await both(api, row)
        for needs in EVERYTHING:
            await prepared(api, Row("", needs=needs), f"EHR-{needs}")
        await prepared(other, Row("", needs="proposal"), "EHR-proposal")
        before, ours = await kept_of(api), await ids_of(api, other)
        assert names["course_id"] in ours
        for role in STAFF:
            answer = await other.client.request(method, path.format(**names), json=row.body, headers=other.headers(role))
            assert answer.status_code < 500, (role, answer.text)
            told = [each for each in ours if each in answer.text or each in str(answer.headers)]
            assert told == [], role
        assert await kept_of(api) == before

    api(test, VirtualClock(START))


# Cursors, idempotency keys, versions


LISTS = {  # every list with a cursor: the role that reads it, and what it is filled with
    "/v1/courses": ("supervisor", "course"),
    "/v1/proposals": ("supervisor", "proposal"),
    "/v1/notices": ("supervisor", "notice"),
    "/v1/groups": ("supervisor", "group"),
    "/v1/sources": ("admin", "source"),
    "/v1/subscriptions": ("admin", "subscription"),
    "/v1/audit": ("auditor", "course"),
    "/v1/ehr/messages": ("ehr", "message"),
    "/v1/people": ("admin", "person"),
    "/v1/cover": ("supervisor", "cover"),
    "/v1/clients/marks": ("supervisor", "mark"),
    "/v1/erasures": ("admin", "erasure"),
    "/v1/systems": ("admin", "system"),
    "/v1/emergency-access": ("supervisor", "emergency"),
    "/v1/unmasking": ("supervisor", "unmasking"),
    "/v1/sessions-to-attest": ("supervisor", "left unsigned"),
    "/v1/supervision": ("supervisor", "supervision"),
    "/v1/retention/records": ("admin", "due"),
    "/v1/retention/decisions": ("admin", "kept"),
}


def test_every_list_with_a_cursor_is_tried():
    document = msgspec.json.decode(DOCUMENT.read_bytes())
    with_cursor = {
        path
        for path, routes in document["paths"].items()
        if "cursor" in {each["name"] for each in routes.get("get", {}).get("parameters", ())}
    }
    assert {path for path in with_cursor if not parameters(path)} == set(LISTS)


async def unsigned(api: Api) -> None:
    """Three sessions that a therapist left without a signature."""
    for number in range(3):
        await api.walk((await api.open(f"EHR-{number}"))["id"], "record_consent", "start", "record_session")
    assert (await api.post("/v1/people/therapist-1/leave", role="admin")).status_code == 200


async def due(api: Api) -> list[str]:
    """Three clients whose records are due."""
    return await retention.due(api.clinic, "EHR-0", "EHR-1", "EHR-2")


async def kept(api: Api) -> None:
    """Three of which somebody decided to keep them."""
    await retention.keep(api.clinic, *await due(api))


FILLED = {"left unsigned": unsigned, "due": due, "kept": kept}


async def fill(api: Api, needs: str) -> None:
    """Three of what a list shows."""
    if needs == "unmasking":
        for number in range(3):
            names = await prepared(api, Row("", needs="masked"), f"EHR-{number}")
            unmasked = await api.post("/v1/unmasking", {"course": names["course_id"], "reason": "A complaint."}, "auditor")
            assert unmasked.status_code == 201, unmasked.text
    elif needs == "supervision":
        for number in range(3):
            discussed = {**SUPERVISION, "courses": [{"course": (await api.open(f"EHR-{number}"))["id"]}]}
            assert (await api.post("/v1/supervision", discussed, "supervisor")).status_code == 201
    elif needs in FILLED:
        await FILLED[needs](api)
    elif needs == "message":
        north = await Ehr.register(api, "north")
        for number in range(3):
            consent = {"client_ref": f"EHR-{number}", "scope": "sharing"}
            assert (
                await north.send({"type": "consent.given", "timestamp": "2026-01-05T09:00:00Z", "data": consent})
            ).status_code == 202
    else:
        for number in range(3):
            await prepared(api, Row("", needs=needs), f"EHR-{number}")


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_of_ours_continues_nothing_but_the_others_own_list(api, path):
    role, needs = LISTS[path]

    async def test(api: Api) -> None:
        other = await other_clinic(api)
        await fill(api, needs)
        if needs == "message":  # each reads as the source north of its own organisation
            await Sources(other.clinic).add(OPERATOR, lambda: NewSource(id="north"))
            for clinic in (api, other):
                clinic.tokens["ehr"] = (await token(clinic, "ehr", "ehr-1", source="north")).token
        elif needs != "notice":  # the address of a notice means the first organisation
            await fill(other, needs)
        ours = await ids_of(api, other)
        cursor = (await api.get(f"{path}?limit=1", role)).json()["next"]
        answer = await other.client.get(path, params={"limit": 200, "cursor": cursor}, headers=other.headers(role))
        assert answer.status_code == 200, answer.text
        assert [each for each in ours if each in answer.text.replace(cursor, "")] == []

    api(test, VirtualClock(START))


def test_a_place_in_our_feed_shows_others_only_their_own_events(api):
    async def test(api: Api) -> None:
        other = await other_clinic(api)
        for clinic in (api, other):
            course = (await clinic.open())["id"]
            await clinic.walk(course, "record_consent")
        page = (await api.get("/v1/events?limit=1", "supervisor")).json()
        assert page["items"]
        ours = await ids_of(api, other)
        for after in (page["next"], page["last"]):
            answer = await other.get(f"/v1/events?after={after}", "supervisor")
            assert answer.status_code in {200, 404, 422}, answer.text
            assert [each for each in ours if each in answer.text and each != after] == []

    api(test, VirtualClock(START))


def test_nothing_of_ours_is_delivered_to_a_subscription_of_others(api):
    async def test(api: Api) -> None:
        other = await other_clinic(api)
        subscriptions = []
        for clinic in (api, other):
            made = await clinic.post("/v1/subscriptions", {"url": URL}, "admin")
            assert made.status_code == 201, made.text
            subscriptions.append(f"/v1/subscriptions/{made.json()['subscription']['id']}/deliveries")
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        events = [(await clinic.get("/v1/events", "supervisor")).json()["items"] for clinic in (api, other)]  # and fans them out
        deliveries = [
            (await clinic.get(path, "admin")).json()["items"] for clinic, path in zip((api, other), subscriptions, strict=True)
        ]
        assert len(events[0]) == len(deliveries[0]) > 0
        assert events[1] == deliveries[1] == []
        assert (await other.get(subscriptions[0], "admin")).status_code == 404

    api(test, VirtualClock(START))


def test_a_cursor_of_our_fhir_search_shows_others_only_their_own(api):
    async def test(api: Api) -> None:
        other = await other_clinic(api)
        for clinic in (api, other):
            for number in range(3):
                await prepared(clinic, Row("", needs="client"), f"EHR-{number}")
        ours = await ids_of(api, other)
        for path in ("/fhir/R4/EpisodeOfCare", "/fhir/R4/EpisodeOfCare/_history", "/fhir/R4/AuditEvent"):
            first = (await api.get(f"{path}?_count=1", "auditor")).json()
            (following,) = [each["url"] for each in first["link"] if each["relation"] == "next"]
            answer = await api.client.get(following, headers=other.headers("auditor"))
            assert answer.status_code == 200, answer.text
            entries = str(answer.json().get("entry", ()))
            assert [each for each in ours if each in entries] == []

    api(test, VirtualClock(START))


def test_an_idempotency_key_of_ours_replays_nothing_to_others(api):
    async def test(api: Api) -> None:
        other = await other_clinic(api)
        first = await api.post("/v1/courses", REFERRAL, Idempotency_Key="k")
        assert first.status_code == 201
        theirs = await other.post("/v1/courses", REFERRAL, Idempotency_Key="k")
        assert theirs.status_code == 201
        assert "idempotent-replayed" not in theirs.headers
        assert theirs.json()["course"]["id"] != first.json()["course"]["id"]
        path = f"/v1/courses/{first.json()['course']['id']}/transitions"
        assert (await api.post(path, NOTE, Idempotency_Key="n", If_Match='"1"')).status_code == 201
        replayed = await other.post(path, NOTE, Idempotency_Key="n", If_Match='"1"')
        assert replayed.status_code == 404
        assert (await api.post(path, NOTE, Idempotency_Key="n", If_Match='"1"')).headers["idempotent-replayed"] == "true"

    api(test, VirtualClock(START))


def test_a_version_of_ours_is_no_version_of_theirs(api):
    async def test(api: Api) -> None:
        other = await other_clinic(api)
        ours, theirs = (await api.open())["id"], (await other.open())["id"]
        await api.walk(ours, "record_consent", "start")
        version = await api.version(ours)
        assert version > 1
        stale = await other.post(f"/v1/courses/{theirs}/transitions", NOTE, If_Match=f'"{version}"')
        assert (stale.status_code, stale.json()["version"]) == (412, 1)
        for path, tag in ((f"/v1/courses/{theirs}", f'"{version}"'), (f"/fhir/R4/EpisodeOfCare/{theirs}", f'W/"{version}"')):
            assert (await other.get(path, If_None_Match=tag)).status_code == 200

    api(test, VirtualClock(START))
