"""How a request is read: one meaning for each header, bodies within limits, and HEAD. Over real sockets, on the fast path and the router."""

import io
import json
import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import databases
from support.http_server import served, token
from support.raw_http import RawAnswer, RawClient, exchange, request

import ipt_workflow
from ipt_workflow.api import request_reader
from ipt_workflow.api.request_reader import LISTS, SINGLE, SMALL
from ipt_workflow.runtime import logs

COURSE = "/v1/courses/00000000-0000-7000-8000-000000000000/transitions"
NOTE = {"trigger": "note", "data": {"text": "x"}}
BODY = json.dumps(NOTE).encode()
FAST_AND_ROUTED = pytest.mark.parametrize("path", (COURSE, f"{COURSE}?dry_run=false"), ids=("fast", "routed"))
NOTICES = pytest.mark.parametrize("path", ("/v1/ehr/notices/north", "/v1/ehr/notices/north?a=b", "/v1/ehr/fhir/north"))
LIVE = request("GET", "/health/live")
FEW = 1_048_576  # bytes: the smallest memory for bodies


class Site:
    """A service, its address, a token for each role, and the lines of its log."""

    def __init__(self, url: str, tokens: dict[str, str], log: io.StringIO) -> None:
        self.url = url
        self.tokens = tokens
        self.log = log
        self.seen = 0
        opened = {"client_ref": "EHR-0", "protocol": "ipt", "data": {"source": "x", "indication": "depression"}}
        made = exchange(url, request("POST", "/v1/courses", self.by("therapist"), body=opened))
        self.course = f"/v1/courses/{json.loads(made.body)['course']['id']}/transitions"

    def by(self, role: str) -> str:
        return f"Authorization: Bearer {self.tokens[role]}"

    def lines(self, level: str) -> list[dict[str, object]]:
        """What the test made the service log at a level."""
        return [line for line in map(json.loads, self.log.getvalue()[self.seen :].splitlines()) if line["level"] == level]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = databases.empty(tmp_path_factory.mktemp("incoming")).model_copy(update={"bodies_bytes_max": FEW})
    tokens = {role: token(settings, role) for role in ("therapist", "auditor", "supervisor")}
    log = io.StringIO()
    before = logging.getLogger().handlers[:]
    logs.configure("json", "info", log)
    with served(settings) as url:
        yield Site(url, tokens, log)
    logging.getLogger().handlers[:] = before


@pytest.fixture
def site(running: Site) -> Site:
    running.seen = len(running.log.getvalue())
    return running


# Headers that come twice


@FAST_AND_ROUTED
@pytest.mark.parametrize("name", sorted(SINGLE))
def test_a_header_that_decides_something_may_come_once(site, path, name):
    lines = {
        "authorization": site.by("therapist").partition(": ")[2],
        "content-length": str(len(BODY)),
        "content-type": "application/json",
    }
    first = lines.get(name, "1")
    sent = request("POST", path, site.by("therapist"), 'If-Match: "1"', f"{name}: {first}", f"{name}: {first}2", body=BODY)
    answer = exchange(site.url, sent)
    assert (answer.status, answer.problem) == (400, "malformed")
    if name != "content-length":  # the server itself refuses that one
        assert name in json.loads(answer.body)["detail"]


@NOTICES
def test_a_message_with_a_doubled_header_is_refused(site, path):
    answer = exchange(site.url, request("POST", path, "webhook-id: a", "webhook-id: b", "Accept: application/json", body=b"{}"))
    assert answer.status == 400


def test_lines_of_a_list_are_one_list(site):
    for lines in (["Prefer: respond-async, return=minimal"], ["Prefer: respond-async", "Prefer: return=minimal"]):
        opened = {"client_ref": f"EHR-{len(lines)}", "protocol": "ipt", "data": {"source": "x", "indication": "depression"}}
        answer = exchange(site.url, request("POST", "/v1/courses", site.by("therapist"), *lines, body=opened))
        assert answer.status == 201
        assert "course" not in json.loads(answer.body)


def test_other_headers_may_come_twice(site):
    assert exchange(site.url, request("GET", "/health/live", "Via: 1.1 a", "Via: 1.1 b", "X-Else: a", "X-Else: b")).status == 200


def test_every_header_that_is_read_is_known_to_come_once_or_to_be_a_list():
    api = Path(ipt_workflow.__file__).parent / "api"
    found = {
        name
        for file in api.glob("*.py")
        for name in re.findall(
            r'headers\.get\(\s*"([a-z-]+)"|_header\(request, "([a-z-]+)"\)|name == b"([a-z-]+)"', file.read_text()
        )
        for name in name
    }
    others = {
        "",
        "etag",
        "last-modified",
        "x-request-id",
        "expect",
    }  # of answers, made anew if need be, and read by the server alone
    assert found - others <= SINGLE | LISTS


def test_bodies_are_read_in_one_place():
    read = re.compile(r"request\.(body|form|json|msgpack|stream)\(|await [a-z._]*receive\(\)")
    api = Path(ipt_workflow.__file__).parent / "api"
    served = [file for file in api.rglob("*.py") if file.name != "witness.py"]  # a witness is a program of its own
    assert [file.name for file in served if read.search(file.read_text())] == ["request_reader.py"]


# Bodies


def head(path: str, size: int, *headers: str) -> bytes:
    return request("POST", path, *headers, body=b"x" * size)[:-size]


@pytest.mark.parametrize("path", (COURSE, "/v1/courses", "/v1/ehr/notices/north", "/v1/ehr/fhir/north", "/v1/audit/search"))
def test_without_credentials_no_body_is_waited_for(site, path):
    with RawClient(site.url) as client:
        assert client.send(head(path, 1000, "Expect: 100-continue")).answer().status == 401


@pytest.mark.parametrize(
    "lines",
    (
        ["webhook-id: a", "webhook-timestamp: 1", "webhook-signature: v1,AAAA"],
        ["webhook-id: a.b", "webhook-timestamp: 1", "webhook-signature: v1,AAAA"],
        ["webhook-signature: v1,AAAA"],
        ["X-Signature: zz"],
        ["Authorization: Bearer made-up"],
    ),
    ids=("long-ago", "no-id", "alone", "no-hex", "token"),
)
@NOTICES
def test_a_message_whose_headers_prove_nothing_is_refused_before_its_body_comes(site, path, lines):
    with RawClient(site.url) as client:
        assert client.send(head(path, 1000, *lines)).answer().status == 401


@FAST_AND_ROUTED
def test_a_body_that_is_announced_too_large_is_not_waited_for(site, path):
    with RawClient(site.url) as client:
        answer = client.send(head(path.replace(COURSE, site.course), 300_000, site.by("therapist"), 'If-Match: "1"')).answer()
        assert (answer.status, answer.problem) == (413, "too-large")


@FAST_AND_ROUTED
def test_a_body_that_grows_too_large_is_413(site, path):
    lines = [site.by("therapist"), 'If-Match: "1"', "Content-Type: application/json", "Transfer-Encoding: chunked"]
    pieces = [b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 8
    answer = exchange(site.url, request("POST", path.replace(COURSE, site.course), *lines), *pieces)
    assert (answer.status, answer.problem) == (413, "too-large")


def test_large_bodies_that_are_read_at_once_have_a_limit_together(site):
    """With a signature that is made up for a source: it takes the body to tell."""
    stamp = "X-Signature: " + "0" * 64
    held = [RawClient(site.url).send(head("/v1/ehr/fhir/north", 1_000_000, stamp), b"x" * 600_000) for _ in range(2)]
    last = held[1].answer()
    assert last.status == 503
    assert int(last.headers["retry-after"]) >= 1
    small = exchange(site.url, request("POST", "/v1/ehr/fhir/north", stamp, body=b"x" * SMALL))
    assert small.status == 401
    held[0].send(b"x" * 400_000)
    assert held[0].answer().status == 401
    for each in held:
        each.socket.close()
    assert incoming_memory_is_free(site, stamp)


def incoming_memory_is_free(site: Site, stamp: str) -> bool:
    return exchange(site.url, request("POST", "/v1/ehr/fhir/north", stamp, body=b"x" * 900_000)).status == 401


def test_a_body_in_single_bytes_takes_linear_time():
    """Joining anew for every byte would take half a minute."""
    memory = request_reader.BodyMemory(10**9)
    size, left = 300_000, iter(range(300_000, 0, -1))

    async def receive():
        return {"type": "http.request", "body": b"x", "more_body": next(left) > 1}

    reader = request_reader.Incoming({"headers": [], "method": "POST"}, receive, 10**9, memory)
    with pytest.raises(StopIteration) as stopped:
        reader.body().send(None)
    assert len(stopped.value.value) == size
    assert memory.taken == size - SMALL
    reader.close()
    assert memory.taken == 0


# Clients that hang up


@pytest.mark.parametrize(
    "path", (COURSE, f"{COURSE}?dry_run=true", "/v1/courses", "/v1/courses/search", "/v1/ehr/fhir/north", "/fhir/R4")
)
def test_a_client_that_hangs_up_is_no_error(site, path):
    stamp = "X-Signature: " + "0" * 64
    with RawClient(site.url) as client:
        client.send(head(path, 1000, site.by("supervisor"), stamp, 'If-Match: "1"'), b"{")
    assert exchange(site.url, LIVE).status == 200
    while not site.lines("info"):  # the request is logged when it ends
        threading.Event().wait(0.01)
    assert all(line["status"] != 500 for line in site.lines("info"))
    assert site.lines("error") == []


# HEAD


def paths() -> list[str]:
    return [
        "/health/live",
        "/schema/openapi.json",
        "/v1/courses",
        "/v1/audit",
        "/v1/audit/export",
        "/v1/audit/verify",
        "/fhir/R4/Encounter",
        "/nowhere",
    ]


def test_after_a_head_the_next_answer_is_that_of_the_next_request(site):
    with RawClient(site.url) as client:
        for path in paths():
            for role in ("auditor", "therapist"):
                got = client.send(request("GET", path, site.by(role))).answer()
                headed = client.send(request("HEAD", path, site.by(role))).answer("HEAD")
                assert headed.status == got.status, path
                assert headed.headers.get("content-type") == got.headers.get("content-type")
                assert headed.headers.get("etag") == got.headers.get("etag")
                if "content-length" in headed.headers:
                    assert "content-length" in got.headers
        assert client.send(LIVE).answer().body == b'{"status":"ok"}'
    assert site.lines("error") == []


def exports(site: Site) -> list[dict[str, object]]:
    answer = exchange(site.url, request("GET", "/v1/audit?kind=export&limit=200", site.by("auditor")))
    return json.loads(answer.body)["items"]


@pytest.mark.parametrize("kind", ("ndjson", "csv", "fhir"))
def test_a_head_of_an_export_exports_nothing(site, kind):
    before = exports(site)
    answer = exchange(site.url, request("HEAD", f"/v1/audit/export?format={kind}", site.by("auditor")), method="HEAD")
    assert answer.status == 200
    assert answer.body == b""
    assert exports(site) == before
    assert site.lines("error") == []


def test_a_head_in_one_packet_with_a_get_is_answered_before_it(site):
    with RawClient(site.url) as client:
        client.send(request("HEAD", "/v1/audit/export", site.by("auditor")) + LIVE)
        first: RawAnswer = client.answer("HEAD")
        assert first.status == 200
        assert client.answer().body == b'{"status":"ok"}'
