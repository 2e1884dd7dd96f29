"""Two processes of the service behind nginx and behind HAProxy, with TLS and under a path, configured as the examples say."""

import asyncio
import itertools
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from faults import after
from faults.histories import Load
from faults.service import Service, free_port
from fhirpy import SyncFHIRClient
from support import databases, fhir_bodies, service_walk
from support.http_client import OPERATOR

from deploy.programs import DEPLOY, Certificate, answers, example, program, running
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.service.clinic import Clinic

REFERRAL = {"protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
ROLES = ("therapist", "admin", "auditor")
SECRET = "s" * 32
(NETWORKS,) = re.findall(r"^IPT_PROXY_NETWORKS=(.*)$", (DEPLOY / "environment").read_text(encoding="utf-8"), re.MULTILINE)
PROXIED = {"proxy_networks": NETWORKS}
BUNDLE_BYTES = 4 * 1024 * 1024


async def tokens(clinic: Clinic) -> dict[str, str]:
    made = {role: await Tokens(clinic).create(OPERATOR, NewToken(role=role, name=f"{role}-1", days=1)) for role in ROLES}
    return {role: each.token for role, each in made.items()}


class Site:
    """Two processes on one database, and the address at which a proxy shows them."""

    def __init__(self, database: str, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.tokens: dict[str, str] = service_walk.with_clinic(databases.settings_of(database), tokens, SystemClock())
        self.refs = (f"EHR-{number}" for number in itertools.count(1))
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}/ipt"
        self.certificate = Certificate(folder)
        settings = {"public_url": self.url, "drain_seconds": "3", "log_level": "info", "log_addresses": "true", **PROXIED}
        self.services = [Service(database, folder / f"service-{number}.log", **settings) for number in (1, 2)]

    @property
    def places(self) -> dict[str, str]:
        """Where the processes are, and where the examples say that they are."""
        return {f"127.0.0.1:800{number}": f"127.0.0.1:{each.port}" for number, each in enumerate(self.services, 1)}

    @property
    def up(self) -> bool:
        return answers(f"{self.url}/health/ready", self.certificate.trusted)

    def client(self, role: str = "therapist") -> httpx.Client:
        token = {"Authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(base_url=self.url, headers=token, verify=self.certificate.trusted, timeout=30)

    def open(self, client: httpx.Client) -> httpx.Response:
        answer = client.post("/v1/courses", json={**REFERRAL, "client_ref": next(self.refs)})
        assert answer.status_code == 201, answer.text
        return answer


@contextmanager
def nginx(site: Site, folder: Path) -> Iterator[None]:
    served = example(
        "nginx.conf",
        {
            **site.places,
            "listen 443 ssl": f"listen 127.0.0.1:{site.port} ssl",
            "/etc/ssl/certs/clinic.example.pem": str(site.certificate.certificate),
            "/etc/ssl/private/clinic.example.key": str(site.certificate.key),
            "/var/log/nginx/ipt.log": str(folder / "access.log"),
            "/var/log/nginx/ipt-error.log": str(folder / "requests-error.log"),
        },
    )
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ gzip_min_length 1; {temporary}\n{served} }}\n"
    )
    path = [program("nginx"), "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf"]
    with running(path, lambda: site.up, folder / "nginx.log"):
        yield


@contextmanager
def haproxy(site: Site, folder: Path) -> Iterator[None]:
    served = example(
        "haproxy.cfg",
        {
            **site.places,
            "bind :443": f"bind 127.0.0.1:{site.port}",
            "/etc/ssl/private/clinic.example.pem": str(site.certificate.both),
            "log /dev/log local0": "log stdout format raw local0",
            "  user haproxy\n  group haproxy\n": "",
            "inter 1s": "inter 250ms",
        },
    )
    (folder / "haproxy.cfg").write_text(served)
    with running([program("haproxy"), "-db", "-f", f"{folder}/haproxy.cfg"], lambda: site.up, folder / "access.log"):
        yield


PROXIES = {"nginx": nginx, "haproxy": haproxy}


@pytest.fixture(scope="module")
def site(postgres, tmp_path_factory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    made = Site(databases.empty(folder, postgres).database_url, folder)

    async def each(do: str) -> None:
        await asyncio.gather(*(getattr(service, do)() for service in made.services))

    asyncio.run(each("start"))
    yield made
    asyncio.run(each("kill"))


@pytest.fixture(scope="module", params=PROXIES)
def behind(request, site, tmp_path_factory) -> Iterator[tuple[Site, Path]]:
    """The site behind a running proxy, and the proxy's folder."""
    folder = tmp_path_factory.mktemp(request.param)
    with PROXIES[request.param](site, folder):
        yield site, folder


def test_every_address_leads_back_through_the_proxy(behind):
    site, _ = behind
    with site.client() as client:
        opened = site.open(client)
        site.open(client)
        assert opened.headers["location"].startswith(f"{site.url}/v1/courses/")
        assert client.get(opened.headers["location"]).json()["id"] == opened.json()["course"]["id"]
        first = client.get("/v1/courses?limit=1")
        following = first.links["next"]["url"]
        assert following.startswith(f"{site.url}/v1/courses?")
        assert client.get(following).json()["items"][0]["id"] != first.json()["items"][0]["id"]
        page = client.get("/schema").text
        assert client.get(f"{site.url}/{re.search('href=([^>]+)', page)[1]}").status_code == 200


def test_a_fhir_client_pages_through_the_proxy(behind, monkeypatch):
    site, _ = behind
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(site.certificate.root))
    with site.client() as client:
        known = {site.open(client).json()["course"]["id"] for _ in range(3)}
        fhir = SyncFHIRClient(f"{site.url}/fhir/R4", authorization=f"Bearer {site.tokens['therapist']}")
        found = [each["id"] for each in fhir.resources("EpisodeOfCare").limit(2).fetch_all()]
        assert len(set(found)) == len(found)
        assert known <= set(found)
        entry = client.get("/fhir/R4/EpisodeOfCare?_count=1").json()["entry"][0]
        assert entry["fullUrl"].startswith(f"{site.url}/fhir/R4/")
        assert client.get(entry["fullUrl"]).json() == entry["resource"]


def test_an_etag_is_a_precondition_behind_the_proxy_even_if_it_was_weakened(behind):
    site, _ = behind
    with site.client() as client:
        course = site.open(client).json()["course"]["id"]
        read = client.get(f"/v1/courses/{course}")
        assert (read.headers.get("content-encoding") == "gzip") == read.headers["etag"].startswith('W/"')
        options = {each["trigger"]: each for each in client.get(f"/v1/courses/{course}/options").json()["items"]}
        path, version = f"/v1/courses/{course}/transitions", {"If-Match": read.headers["etag"]}
        fired = client.post(path, json=options["record_consent"]["example"], headers=version)
        assert fired.status_code == 201, fired.text
        assert client.post(path, json=options["start"]["example"], headers=version).status_code == 412


def test_a_bundle_of_four_mebibytes_passes_and_one_byte_more_does_not(behind):
    site, folder = behind
    source = folder.name
    form = fhir_bodies.form([0] * 9) | {"text": {"status": "generated", "div": ""}}
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [{"resource": form}]}
    bundle["entry"][0]["request"] = {"method": "PUT", "url": "QuestionnaireResponse/Q1"}
    form["text"]["div"] = "x" * (BUNDLE_BYTES - len(json.dumps(bundle)))
    raw = json.dumps(bundle).encode()
    assert len(raw) == BUNDLE_BYTES
    with site.client("admin") as client:
        added = client.post("/v1/sources", json={"id": source, "kind": "bearer", "secret": SECRET})
        assert added.status_code == 201, added.text
        headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/fhir+json", "Accept": "application/json"}
        taken = client.post(f"/v1/ehr/fhir/{source}", content=raw, headers=headers)
        assert taken.status_code == 202, taken.text
        assert len(taken.json()["entries"]) == 1
        assert client.post(f"/v1/ehr/fhir/{source}", content=raw + b" ", headers=headers).status_code == 413


def test_neither_the_proxy_nor_the_service_logs_a_query(behind):
    site, folder = behind
    with site.client() as client:
        assert client.get("/v1/courses?client_ref=EHR-of-somebody").status_code == 200
        assert client.get("/v1/courses/none?client_ref=EHR-of-somebody").status_code == 404
        too_large = client.post("/v1/courses?client_ref=EHR-of-somebody", content=bytes(BUNDLE_BYTES + 1))
        assert too_large.status_code == 413
    assert "/v1/courses" in (folder / "access.log").read_text()
    logs = [*folder.glob("*.log"), *(each.log for each in site.services)]
    assert [log.name for log in logs if "somebody" in log.read_text()] == []


def addresses(site: Site, request_id: str) -> set[str]:
    """The addresses in the log lines of a request, which are written when it has been answered."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        lines = [json.loads(line) for each in site.services for line in each.log.read_text().splitlines() if request_id in line]
        if found := {line["address"] for line in lines if "address" in line}:
            return found
        time.sleep(0.02)
    raise AssertionError("the request is not in the log")


def test_the_service_knows_who_called_the_proxy_and_not_what_a_caller_says_of_itself(behind):
    site, folder = behind
    caller = httpx.HTTPTransport(local_address="127.0.0.2", verify=site.certificate.trusted)
    with httpx.Client(base_url=site.url, transport=caller) as client:
        answer = client.get("/v1/courses", headers={"X-Forwarded-For": "203.0.113.7", "X-Request-Id": folder.name})
    assert answer.status_code == 401
    assert addresses(site, folder.name) == {"127.0.0.2"}


async def restarted(site: Site, folder: Path) -> None:
    """Runs the example `rolling-restart`. A command in the place of systemctl names the unit, and waits until it was restarted."""
    fake = folder / "systemctl"
    fake.write_text('#!/bin/sh\necho "$1 $2"; read -r _\n')
    fake.chmod(0o755)
    services = {f"restart ipt-workflow@{each.port}": each for each in site.services}
    ports = [str(each.port) for each in site.services]
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    path = f"{folder}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_exec(DEPLOY / "rolling-restart", *ports, env={"PATH": path}, **pipes)
    for asked, service in services.items():
        assert (await process.stdout.readline()).decode().strip() == asked
        assert await service.stop() == -signal.SIGTERM
        await service.start()
        process.stdin.write(b"\n")
    assert await process.wait() == 0


@pytest.mark.rest
@pytest.mark.parametrize("behind", ["haproxy"], indirect=True)
def test_a_rolling_restart_under_load_fails_no_request(behind, tmp_path):
    """Each process says that it is not ready before it stops listening, and HAProxy has sent its requests elsewhere by then."""
    site, _ = behind
    program("curl")

    async def play():
        async with Load([site.url], site.tokens["therapist"], seed=1, name="rolling", hurried=0, pause=0.02, patience=30) as load:
            await load.open()
            working = asyncio.create_task(load.run(clients=4, most=100_000, seconds=120))
            await restarted(site, tmp_path)
            load.stop()
            await working
            assert load.unexpected == []
            assert len(load.acknowledged) > 100
            for course in load.versions:
                after.in_order([each for each in load.sent if each.course == course])

    asyncio.run(play())
    assert [each.errors() for each in site.services] == ["", ""]
