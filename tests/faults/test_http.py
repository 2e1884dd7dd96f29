"""Clients that attack a running service: endless heads, slow and many connections, bodies without credentials, too few open files.

After each, the service answers as before, and has logged neither an error nor a 500. Each round is played beside a client that works.
"""

import asyncio
import json
import random
import resource
import sqlite3
import time
from contextlib import closing

import httpx
import psutil
import pytest
from support.raw_http import RawAnswer, RawClient, exchange, request

from faults.conftest import Place
from faults.service import COLLEAGUE, Service

LIVE = request("GET", "/health/live")
LAST = request("GET", "/health/live", "Connection: close")
MIB = 1_048_576
ANSWER_SECONDS = 10.0  # what a read may take meanwhile, on a slow machine too
REFERRAL = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
STAMP = "X-Signature: " + "0" * 64


class Round:
    """A running service, a token, and a client that goes on working."""

    def __init__(self, service: Service, place: Place) -> None:
        self.service = service
        self.url = service.url
        self.by = {role: f"Authorization: Bearer {token}" for role, token in place.tokens.items()}
        self.slowest = 0.0

    async def beside(self, attack, *args) -> None:
        """Plays an attack in a thread while another client reads."""
        playing = asyncio.create_task(asyncio.to_thread(attack, self, *args))
        async with httpx.AsyncClient(base_url=self.url, timeout=30, verify=False) as client:
            while not playing.done():
                started = time.monotonic()
                answer = await client.get("/v1/courses", headers=[tuple(self.by["therapist"].split(": "))])
                self.slowest = max(self.slowest, time.monotonic() - started)
                assert answer.status_code == 200, answer.text
                await asyncio.sleep(0.01)
        await playing
        assert self.slowest < ANSWER_SECONDS

    def memory(self) -> int:
        return psutil.Process(self.service.pid).memory_info().rss

    def files(self) -> int:
        return psutil.Process(self.service.pid).num_fds()


def lines(service: Service) -> list[dict[str, object]]:
    return [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]


def is_clean(service: Service) -> bool:
    """No error, no 500, no traceback."""
    logged = lines(service)
    assert [line for line in logged if line["level"] in {"error", "critical"} or line.get("status") == 500] == []
    assert "Traceback" not in service.log.read_text()
    return True


def play(place: Place, rounds, seeds, **settings: str) -> None:
    async def run() -> None:
        async with place.service(log_level="info", **settings) as service:
            await service.start()
            played = Round(service, place)
            for seed in seeds:
                chosen = rounds if seed == seeds[0] else random.Random(seed).sample(rounds, 3)
                for attack in chosen:
                    await played.beside(attack, random.Random(f"{attack.__name__}/{seed}"))
            assert exchange(service.url, LIVE).status == 200
            assert is_clean(service)
            with RawClient(service.url) as idle, RawClient(service.url) as slow, RawClient(service.url) as begun:
                idle.send(LIVE).answer()
                slow.send(request("POST", "/v1/courses", played.by["therapist"], body=REFERRAL)[:-5])
                begun.send(b"GET / HT")
                assert await service.stop() in {0, -15}  # killed, if that took too long
            assert is_clean(service)

    asyncio.run(run())


# A head that does not end


def endless_heads(played: Round, chance: random.Random) -> None:
    begin = chance.choice(
        (
            b"GET /",
            b"GET /?",
            b"GET / HTTP/1.1\r\nX-A: ",
            b"GET / HTTP/1.1\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        )
    )
    before = played.memory()
    with RawClient(played.url) as client:
        client.send(begin, *[b"a" * chance.choice((1_000, 65_536))] * 256)
        assert set(client.answers()) <= {401, 404, 405, 414, 431}
    assert played.memory() - before < 16 * MIB


# HEAD


def heads_of_everything(played: Round, chance: random.Random) -> None:
    paths = ["/v1/audit/export?format=csv", "/v1/audit/export", "/v1/audit/verify", "/v1/audit", "/nowhere", "/health/live"]
    with RawClient(played.url) as client:
        for path in chance.sample(paths, len(paths)):
            client.send(request("HEAD", path, played.by["auditor"]) + LIVE)
            assert client.answer("HEAD").status in {200, 404}
            assert client.answer().body == b'{"status":"ok"}'


# Slow and many


def slow_clients(played: Round, chance: random.Random) -> None:
    starts = (
        b"",
        b"GET /hea",
        b"POST /v1/courses HTTP/1.1\r\nHost: ipt\r\n",
        request("POST", "/v1/courses", played.by["therapist"], body=b"{}" * 99)[:-90],
    )
    clients = [RawClient(played.url).send(chance.choice(starts)) for _ in range(30)]
    for client in clients:
        statuses = client.answers()
        assert statuses in ([], [408], [503])
        client.socket.close()


def hang_ups(played: Round, chance: random.Random) -> None:
    for _ in range(20):
        path = chance.choice(("/v1/courses", "/v1/courses/search", "/fhir/R4", "/v1/ehr/fhir/north", "/v1/audit/search"))
        sent = request("POST", path, played.by["auditor"], STAMP, body=REFERRAL)
        with RawClient(played.url) as client:
            client.send(sent[: chance.randrange(1, len(sent))])
        with RawClient(played.url) as client:
            client.send(request("GET", "/v1/audit/export", played.by["auditor"]))


# Bodies without credentials


def bodies_of_nobody(played: Round, chance: random.Random) -> None:
    before = played.memory()
    head = request("POST", "/v1/ehr/fhir/north", *([STAMP] if chance.random() < 0.7 else []), body=b"x" * 4_000_000)[:-4_000_000]
    clients = [RawClient(played.url).send(head) for _ in range(60)]
    for _ in range(8):
        for client in clients:
            client.send(b"x" * 400_000)
    assert played.memory() - before < 160 * MIB
    for client in clients:
        assert set(client.answers()) <= {401, 408, 413, 503}
        client.socket.close()


# Headers that come twice


def doubled_headers(played: Round, chance: random.Random) -> None:
    path = "/v1/courses/00000000-0000-7000-8000-000000000000/transitions" + chance.choice(("", "?dry_run=false"))
    name = chance.choice(("If-Match", "Idempotency-Key", "Content-Type", "Authorization", "webhook-id"))
    sent = request("POST", path, played.by["therapist"], f"{name}: a", f"{name}: b", body={"trigger": "note"})
    assert exchange(played.url, sent).status == 400


# Replays


def replays(played: Round, chance: random.Random) -> None:
    """An opening for another therapist is written once, and repeated to nobody who may not see it."""
    ref = f"EHR-{chance.random()}"
    body = {**REFERRAL, "client_ref": ref, "therapist": COLLEAGUE}
    sent = request("POST", "/v1/courses", played.by["therapist"], f"Idempotency-Key: {ref}", body=body)
    answers: list[RawAnswer] = [exchange(played.url, sent) for _ in range(3)]
    assert [each.status for each in answers] == [201, 404, 404]
    assert ref.encode() not in answers[1].body


# Every wrong field


def wrong_fields(played: Round, chance: random.Random) -> None:
    wrong = {"client_ref": "", "protocol": "bogus", "therapist": 5, "occurred_at": "1066-10-14T09:00:00Z", "data": {"bogus": 1}}
    kept = {name: value for name, value in wrong.items() if chance.random() < 0.7 or name == "data"}
    answer = exchange(
        played.url, request("POST", "/v1/courses", played.by["therapist"], body={"client_ref": "EHR-1", "protocol": "ipt"} | kept)
    )
    places = {each["where"].partition(".")[0] for each in json.loads(answer.body)["errors"]}
    assert answer.status == 422
    assert set(kept) - {"protocol", "occurred_at"} <= places


ROUNDS = (endless_heads, heads_of_everything, slow_clients, hang_ups, bodies_of_nobody, doubled_headers, replays, wrong_fields)


@pytest.fixture(params=("on_sqlite", "on_postgres"))
def with_records(request: pytest.FixtureRequest) -> Place:
    """A place whose audit log takes seconds to export with a chunk for each record."""
    place: Place = request.getfixturevalue(request.param)
    number = "generate_series(1, 50000) AS number (n)" if place.server else RECURSIVE
    padded = "lpad(n::text, 12, '0')" if place.server else "printf('%012d', n)"
    asyncio.run(change(place, RECORDS.format(number=number, padded=padded)))
    return place


@pytest.mark.matrix(2)
def test_no_client_stalls_or_confuses_the_service(with_records, seeds):
    play(with_records, ROUNDS, seeds, head_seconds="2", body_seconds="2", long_requests_max="50", export_chunk="100")


# Too few open files


def many_connections(played: Round, chance: random.Random) -> None:
    """Far more than there are files for, kept until each was answered or dropped."""
    clients = [RawClient(played.url) for _ in range(chance.randrange(60, 150))]
    for client in clients:
        client.send(LAST)
    statuses = [status for client in clients for status in client.answers()[:1]]
    assert set(statuses) <= {200, 503}
    for client in clients:
        client.socket.close()


def test_few_open_files_are_survived(on_sqlite, seeds):
    """As under `ulimit -n 64`. Nobody is read to meanwhile: connections are what is missing."""

    async def run() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with on_sqlite.service(log_level="info", head_seconds="2", connections_max="1000") as service:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            try:
                await service.start()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            played = Round(service, on_sqlite)
            for seed in seeds:
                await asyncio.to_thread(many_connections, played, random.Random(seed))
                assert played.files() < 64
                assert await again(played)
            assert is_clean(service)

    asyncio.run(run())


async def again(played: Round) -> bool:
    """Whether the service soon reads and writes as before."""
    for _ in range(100):
        try:
            opened = {**REFERRAL, "client_ref": f"EHR-{random.random()}"}
            if exchange(played.url, request("POST", "/v1/courses", played.by["therapist"], body=opened)).status == 201:
                return True
        except (EOFError, ConnectionError):
            pass
        await asyncio.sleep(0.1)
    return False


# A token that is revoked


@pytest.mark.matrix(2)
def test_an_export_under_way_ends_when_its_token_is_revoked(with_records):
    async def run() -> None:
        async with with_records.service(export_chunk="1", log_level="info") as service:
            await service.start()
            by = f"Authorization: Bearer {with_records.tokens['auditor']}"
            with RawClient(service.url) as client:
                client.send(request("GET", "/v1/audit/export", by))
                client.socket.recv(1_000)
                await change(with_records, "UPDATE token SET revoked_at = '2026-01-01 00:00:00.000000' WHERE role = 'auditor'")
                with pytest.raises(EOFError):
                    client.answer()
            assert exchange(service.url, LIVE).status == 200
            assert is_clean(service)

    asyncio.run(run())


RECURSIVE = "(WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 50000) SELECT n FROM number)"
RECORDS = """
INSERT INTO audit_event (organisation, id, kind, recorded_at, person, role, via, action)
SELECT 'default', '00000000-0000-7000-8000-' || {padded}, 'read', '2026-01-01 00:00:00.000000', 'auditor-1', 'auditor', 'api', 'audit'
FROM {number}
"""


async def change(place: Place, statement: str) -> None:
    """Changes the database behind the service's back."""
    if place.server:
        await place.rows(statement)
        return
    with closing(sqlite3.connect(place.file, timeout=10)) as connection, connection:
        connection.execute(statement)
