"""What a connection may cost: bytes of a head, time, and how many there are. Over real sockets."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import databases
from support.http_server import served, token
from support.raw_http import RawClient, exchange, request

from ipt_workflow.api import server
from ipt_workflow.api.connections import HEAD_BYTES_MAX, HEADERS_MAX, SPARE_CONNECTIONS
from ipt_workflow.runtime.settings import Settings

LIVE = request("GET", "/health/live")
BEGUN = b"POST /v1/courses HTTP/1.1\r\nHost: ipt\r\n"
KIB = 1024


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(databases.empty(tmp_path_factory.mktemp("connections"))) as found:
        yield found


def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **limits: int) -> Settings:
    """Settings of a service whose seconds take hundredths."""
    monkeypatch.setattr(server, "TICK_SECONDS", 0.01)
    return databases.empty(tmp_path).model_copy(update=limits)


def filled(head: bytes, size: int) -> bytes:
    """A head that a last header fills up to a size."""
    return head + b"X-Filler: " + b"x" * (size - len(head) - len(b"X-Filler: \r\n\r\n")) + b"\r\n\r\n"


def test_a_head_of_64_kib_is_served(url):
    assert exchange(url, filled(LIVE[:-2], HEAD_BYTES_MAX)).status == 200


@pytest.mark.parametrize(
    ("pieces", "status", "slug"),
    (
        ([b"GET /", *[b"a" * KIB] * 100], 414, "uri-too-long"),
        ([b"GET /health/live?a=", *[b"a" * KIB] * 100, b" HTTP/1.1\r\nHost: ipt\r\n\r\n"], 414, "uri-too-long"),
        ([b"GET / HTTP/1.1\r\nX-A: ", *[b"a" * KIB] * 100], 431, "head-too-large"),
        ([b"GET / HTTP/1.1\r\n", *[b"a" * KIB] * 100], 431, "head-too-large"),
        ([b"GET / HTTP/1.1\r\n", *[b"A: b\r\n" * 200] * 100], 431, "head-too-large"),
        ([filled(LIVE[:-2], HEAD_BYTES_MAX + 4 * KIB)], 431, "head-too-large"),
        ([b"GET / HTTP/1.1\r\nHost: ipt\r\n", b"A: b\r\n" * HEADERS_MAX, b"\r\n"], 431, "head-too-large"),
        ([b"GET /" + b"a" * 8 * 1024 * KIB], 414, "uri-too-long"),
    ),
    ids=("url", "query", "value", "name", "short-headers", "whole", "count", "at-once"),
)
def test_a_larger_head_is_refused_and_the_connection_closed(url, pieces, status, slug):
    with RawClient(url) as client:
        answer = client.send(*pieces).answer()
        assert (answer.status, answer.problem) == (status, slug)
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/problem+json"
        assert client.ends()
    assert exchange(url, LIVE).status == 200


def test_a_head_that_does_not_end_is_given_up_before_it_has_all_arrived(url):
    """The rest of 64 MiB is not read to its end."""
    with RawClient(url) as client:
        client.send(b"GET / HTTP/1.1\r\nX-A: ", *[b"a" * 64 * KIB] * 1024)
        assert client.answers() in ([431], [])


CHUNKED = BEGUN + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"


@pytest.mark.parametrize(
    "pieces",
    ([b"0\r\n", *[b"X-T: " + b"t" * KIB + b"\r\n"] * 2048], [b"0\r\nX-T: ", *[b"t" * KIB] * 2048], [b"1;", *[b"a" * KIB] * 2048]),
    ids=("trailers", "trailer", "chunk-extension"),
)
def test_trailers_and_what_else_is_around_a_body_are_bounded_too(url, pieces):
    with RawClient(url) as client:
        client.send(CHUNKED, *pieces)
        assert client.answers() in ([401], [431])  # who has no token is answered before the trailers come


def test_a_trailer_is_no_header(url):
    """Whoever checked the headers has not seen it."""
    with RawClient(url) as client:
        assert client.send(CHUNKED, b"0\r\nAuthorization: Bearer ipt_x\r\nHost: other\r\n\r\n").answer().status == 401


def test_what_is_no_http_is_answered_with_a_problem(url):
    answer = exchange(url, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
    assert (answer.status, answer.problem) == (400, "malformed")


def test_requests_in_one_packet_are_answered_in_their_order(url):
    with RawClient(url) as client:
        client.send(LIVE + request("GET", "/v1/courses") + request("GET", "/nowhere"))
        assert [client.answer().status for _ in range(3)] == [200, 401, 404]


def test_a_long_head_after_a_request_in_one_packet_is_refused_too(url):
    with RawClient(url) as client:
        client.send(LIVE + b"GET / HTTP/1.1\r\nX-A: ", *[b"a" * KIB] * 200)
        assert client.answers() in ([200, 431], [200], [])


@pytest.mark.parametrize(
    "sent",
    (b"GET /health/live HTT", BEGUN, BEGUN + b"Content-Length: 10\r\nContent-Type: application/json\r\n\r\n{"),
    ids=("line", "headers", "body-without-credentials"),
)
def test_a_client_that_is_slow_is_answered_and_cut_off(tmp_path, monkeypatch, sent):
    with served(impatient(tmp_path, monkeypatch, head_seconds=2, body_seconds=2)) as url, RawClient(url) as client:
        answer = client.send(sent).answer()
        assert answer.status in {401, 408}
        assert answer.headers["connection"] == "close"
        assert client.ends()


def test_a_slow_body_of_a_known_caller_is_408(tmp_path, monkeypatch):
    settings = impatient(tmp_path, monkeypatch, body_seconds=2)
    bearer = token(settings, "therapist")
    head = request("POST", "/v1/courses", f"Authorization: Bearer {bearer}", body=b"x" * 100)[:-100]
    with served(settings) as url, RawClient(url) as client:
        answer = client.send(head, b"{").answer()
        assert (answer.status, answer.problem) == (408, "timeout")
        assert client.ends()


def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(tmp_path, monkeypatch):
    with served(impatient(tmp_path, monkeypatch, head_seconds=2)) as url, RawClient(url) as client:
        assert client.ends()


def test_connections_above_the_most_are_told_so_and_those_within_go_on(tmp_path):
    settings = databases.empty(tmp_path).model_copy(update={"connections_max": 4})
    with served(settings) as url:
        within = [RawClient(url).send(LIVE[:10]) for _ in range(4)]
        above = [RawClient(url) for _ in range(SPARE_CONNECTIONS)]
        for client in above:
            answer = client.answer()
            assert (answer.status, answer.problem) == (503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        for client in within:
            assert client.send(LIVE[10:]).answer().status == 200
        for client in (*within, *above):
            client.socket.close()
        assert served_again(url)


def test_connections_far_above_the_most_are_dropped_without_a_word(tmp_path):
    with served(databases.empty(tmp_path).model_copy(update={"connections_max": 4})) as url:
        clients = [RawClient(url).send(LIVE[:10]) for _ in range(100)]
        with RawClient(url) as dropped:
            assert dropped.answers() in ([], [503])
        for client in clients:
            client.socket.close()
        assert served_again(url)


def test_a_connection_that_only_waits_for_its_next_request_makes_room(tmp_path):
    with served(databases.empty(tmp_path).model_copy(update={"connections_max": 4})) as url:
        idle = [RawClient(url) for _ in range(4)]
        for client in idle:
            assert client.send(LIVE).answer().status == 200
        new = [RawClient(url) for _ in range(2)]
        for client in new:
            assert client.send(LIVE).answer().status == 200
        for client in (*idle, *new):
            client.socket.close()


def served_again(url: str) -> bool:
    """Whether the service takes connections again, once it has seen that the others are gone."""
    for _ in range(500):
        try:
            if exchange(url, LIVE).status == 200:
                return True
        except EOFError:
            pass
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("files", "most"),
    ((None, 1000), (100_000, 1000), (1024, 968), (64, 8), (10, 4)),
    ids=("none", "many", "usual", "few", "fewest"),
)
def test_a_process_takes_no_more_connections_than_its_open_files_allow(settings, files, most):
    assert server.connections_max(settings, files) == most


def test_an_answer_before_the_body_has_come_ends_the_connection(url):
    """Else what is left of the body would be read as the next request."""
    with RawClient(url) as client:
        head = request("POST", "/v1/courses", body=b"x" * 1000)[:-1000]
        answer = client.send(head, b"x" * 10).answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        client.send(b"x" * 990, LIVE)
        assert client.ends()


@pytest.mark.parametrize("mebibytes", (1, 5, 20))
def test_who_sends_a_whole_body_that_is_not_wanted_reads_the_answer_to_it(url, mebibytes):
    body = b" " * mebibytes * 1024 * KIB
    with RawClient(url) as client:
        client.socket.sendall(BEGUN + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (client.answer().status, client.ends()) == (401, True)


def test_a_body_that_has_come_whole_leaves_the_connection_open(url):
    with RawClient(url) as client:
        assert client.send(request("POST", "/v1/courses", body={})).answer().status == 401
        assert client.send(LIVE).answer().status == 200
