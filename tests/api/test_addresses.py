"""Addresses that leave the service: from the setting `public_url`, and never from a header of the request."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from fhirpy import SyncFHIRClient
from support import service_walk
from support.http_client import OPERATOR, running

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.service.access.tokens import NewToken, Tokens

ROOT = Path(__file__).parents[2]
PUBLIC = "https://clinic.example/ipt"
FORGED = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "Forwarded": "host=evil.example",
          "X-Forwarded-Prefix": "/evil"}  # fmt: skip
REFERRAL = {"protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}


def public(settings, url: str = PUBLIC):
    return settings.model_copy(update={"public_url": url})


def test_every_address_begins_with_the_public_one(settings):
    async def test():
        async with running(public(settings)) as api:
            opened = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-1"})
            course = opened.json()["course"]["id"]
            assert opened.headers["location"] == f"{PUBLIC}/v1/courses/{course}"
            await api.walk(course, "record_consent")
            await api.open("EHR-2")
            for path, role in (
                ("/v1/courses", "therapist"),
                (f"/v1/courses/{course}/transitions", "therapist"),
                ("/v1/audit", "auditor"),
            ):
                listed = await api.get(f"{path}?limit=1", role)
                assert listed.headers["link"].startswith(f"<{PUBLIC}{path}?"), path
            group = {"protocol": "ipt-group", "label": "G-1"}
            assert (await api.post("/v1/groups", group)).headers["location"].startswith(f"{PUBLIC}/v1/groups/")
            hook = await api.post("/v1/subscriptions", {"url": "https://ehr.example/hooks"}, "admin")
            assert hook.headers["location"].startswith(f"{PUBLIC}/v1/subscriptions/")
            assert (await api.get("/v1/courses/none")).json()["instance"] == f"{PUBLIC}/v1/courses/none"
            bundle = (await api.get("/fhir/R4/EpisodeOfCare?_count=1")).json()
            assert bundle["entry"][0]["fullUrl"] == f"{PUBLIC}/fhir/R4/EpisodeOfCare/{course}"
            assert [each["relation"] for each in bundle["link"]] == ["self", "next"]
            assert all(each["url"].startswith(f"{PUBLIC}/fhir/R4/EpisodeOfCare?") for each in bundle["link"])
            history = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}/_history?_count=1")).json()
            assert all(each["url"].startswith(f"{PUBLIC}/fhir/R4/") for each in history["link"])
            assert (await api.get("/fhir/R4/metadata")).json()["implementation"]["url"] == f"{PUBLIC}/fhir/R4"
            assert (await api.get("/schema/openapi.json")).json()["servers"] == [{"url": PUBLIC}]

    asyncio.run(test())


def test_without_the_setting_paths_stand_alone_and_fhir_names_where_it_listens(api):
    async def test(api):
        opened = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-1"})
        assert opened.headers["location"] == f"/v1/courses/{opened.json()['course']['id']}"
        await api.open("EHR-2")
        assert (await api.get("/v1/courses?limit=1")).headers["link"].startswith("</v1/courses?")
        bundle = (await api.get("/fhir/R4/EpisodeOfCare?_count=1")).json()
        assert bundle["entry"][0]["fullUrl"].startswith("http://ipt/fhir/R4/EpisodeOfCare/")

    api(test)


@pytest.mark.parametrize("url", ["", PUBLIC])
def test_no_header_of_a_request_comes_back_in_an_address(settings, url):
    async def test():
        async with running(public(settings, url)) as api:
            await api.open("EHR-1")
            headers = api.headers("therapist") | FORGED
            opened = await api.client.post("/v1/courses", json={**REFERRAL, "client_ref": "EHR-2"}, headers=headers)
            assert opened.status_code == 201
            answers = [opened]
            course = opened.json()["course"]["id"]
            paths = (
                "/v1/courses?limit=1", "/v1/audit?limit=1", f"/v1/courses/{course}", "/v1/events?limit=1", "/v1/nothing", "/schema",
                "/schema/openapi.json", "/fhir/R4/metadata", "/fhir/R4/EpisodeOfCare?_count=1", f"/fhir/R4/EpisodeOfCare/{course}",
                "/fhir/R4/EpisodeOfCare/_history?_count=1", f"/fhir/R4/EpisodeOfCare/{course}/_history", "/fhir/R4/AuditEvent?_count=5",
                "/fhir/R4/nothing", "/v1/audit/export?format=fhir",
            )  # fmt: skip
            answers += [await api.client.get(path, headers=api.headers("auditor") | FORGED) for path in paths]
            for answer in answers:
                assert "evil" not in answer.text, answer.request.url
                assert "gopher" not in answer.text, answer.request.url
                assert "evil" not in str(answer.headers), answer.request.url

    asyncio.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "north.test/ipt",
        "ftp://north.test",
        "https://north.test/",
        "https://north.test/ipt/",
        "https://user@north.test",
        "https://north.test/ipt?x=1",
        "https://north.test/#top",
        "https:///ipt",
        "https://north.test/two words",
    ],
)
def test_what_is_no_address_is_refused_at_the_start_and_not_repeated(url):
    with pytest.raises(configuration.SettingsInvalid) as refused:
        configuration.load({"IPT_PUBLIC_URL": url})
    (fault,) = refused.value.faults
    assert fault.where == "IPT_PUBLIC_URL"
    assert "such as https://clinic.example/ipt" in fault.message
    assert url not in fault.message


@pytest.mark.parametrize("url", ["", "https://clinic.example", "http://10.0.0.7:8080", "https://[::1]:8443/a/b", PUBLIC])
def test_an_address_is_taken(url):
    assert configuration.load({"IPT_PUBLIC_URL": url}).public_url == url


# With nginx


@pytest.fixture(scope="module")
def nginx() -> str:
    found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and not os.environ.get("IPT_TEST_COMPLETE"):
        pytest.skip("nginx is not on this machine; the addresses themselves are tested without it")
    assert found, "nginx is not on this machine, and IPT_TEST_COMPLETE forbids leaving the test out"
    return found


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, url: str, **environment: str) -> Iterator[None]:
    """A process that answers at the URL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    with subprocess.Popen(command, env=kept | environment, stderr=subprocess.DEVNULL) as started:
        try:
            deadline = time.monotonic() + 30
            while True:
                assert started.poll() is None, command
                assert time.monotonic() < deadline, command
                try:
                    httpx.get(url)
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            yield
        finally:
            started.terminate()
            started.wait(timeout=20)


def documented(port: int, service: int, folder: Path) -> str:
    """The configuration in `docs/operating.md`, on ports of its own and without TLS."""
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
    server = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)
    assert server
    served = server[1].replace("443 ssl", f"127.0.0.1:{port}").replace("127.0.0.1:8000", f"127.0.0.1:{service}")
    temporary = " ".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; gzip_min_length 1; {temporary}\n{served} }}\n"
    )


@pytest.fixture(scope="module")
def proxied(nginx, tmp_path_factory) -> Iterator[tuple[str, str]]:
    """The service behind nginx under a path: its public URL, and a therapist's token."""
    folder = tmp_path_factory.mktemp("nginx")
    made: dict[str, str] = {}

    async def fill(clinic):
        made["token"] = (await Tokens(clinic).create(OPERATOR, NewToken(role="therapist", name="therapist-1", days=3650))).token

    database = service_walk.database(folder, fill)
    service, port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/ipt"
    (folder / "nginx.conf").write_text(documented(port, service, folder), encoding="utf-8")
    program = str(Path(shutil.which("ipt-workflow", path=f"{ROOT}/.venv/bin:{os.environ['PATH']}") or "ipt-workflow"))
    ours = {"IPT_DATABASE_URL": database.database_url, "IPT_PUBLIC_URL": url, "IPT_RELAY": "false"}
    with (
        process(program, "serve", "--port", str(service), url=f"http://127.0.0.1:{service}/health/live", **ours),
        process(nginx, "-e", f"{folder}/error.log", "-p", str(folder), "-c", f"{folder}/nginx.conf", url=f"{url}/health/live"),
    ):
        yield url, made["token"]


@pytest.fixture(scope="module")
def behind(proxied) -> Iterator[httpx.Client]:
    url, token = proxied
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        for number in range(3):
            answer = client.post("/v1/courses", json={**REFERRAL, "client_ref": f"EHR-{number}"})
            assert answer.status_code == 201, answer.text
        yield client


def test_behind_a_proxy_every_address_leads_back_through_it(proxied, behind):
    url, _ = proxied
    opened = behind.post("/v1/courses", json={**REFERRAL, "client_ref": "EHR-9"})
    assert opened.headers["location"].startswith(f"{url}/v1/courses/")
    assert behind.get(opened.headers["location"]).json()["id"] == opened.json()["course"]["id"]
    first = behind.get("/v1/courses?limit=2")
    following = first.links["next"]["url"]
    assert following.startswith(f"{url}/v1/courses?")
    known = {each["id"] for each in first.json()["items"]}
    assert known.isdisjoint(each["id"] for each in behind.get(following).json()["items"])
    page = behind.get("/schema").text
    assert behind.get(f"{url}/{re.search('href=([^>]+)', page)[1]}").status_code == 200


def test_a_fhir_client_pages_through_the_proxy(proxied, behind):
    url, token = proxied
    fhir = SyncFHIRClient(f"{url}/fhir/R4", authorization=f"Bearer {token}")
    found = fhir.resources("EpisodeOfCare").limit(1).fetch_all()
    assert len({each["id"] for each in found}) == len(found) >= 3
    entry = behind.get("/fhir/R4/EpisodeOfCare?_count=1").json()["entry"][0]
    assert behind.get(entry["fullUrl"]).json() == entry["resource"]


def test_an_etag_that_the_proxy_weakened_is_a_precondition_still(behind):
    course = behind.get("/v1/courses?limit=1").json()["items"][0]["id"]
    read = behind.get(f"/v1/courses/{course}")
    assert read.headers["content-encoding"] == "gzip"
    assert read.headers["etag"].startswith('W/"')
    version = read.headers["etag"]
    options = {each["trigger"]: each for each in behind.get(f"/v1/courses/{course}/options").json()["items"]}
    body = options["record_consent"]["example"]
    fired = behind.post(f"/v1/courses/{course}/transitions", json=body, headers={"If-Match": version})
    assert fired.status_code == 201, fired.text
    stale = behind.post(f"/v1/courses/{course}/transitions", json=options["start"]["example"], headers={"If-Match": version})
    assert stale.status_code == 412
