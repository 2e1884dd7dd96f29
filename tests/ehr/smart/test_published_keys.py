"""Keys at a URL: fetched through the table of addresses, kept as long as SMART allows, and fetched anew for a key that is not known."""

import asyncio
import ipaddress
import json
from contextlib import asynccontextmanager

import pytest
from joserfc.jwk import ECKey
from support.http_client import running
from support.smart import JWKS, asked, assertion, registered

from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.addresses import LOOPBACK, Reach
from ipt_workflow.ehr.deliveries.posts import CONTENT_BYTES_MAX
from ipt_workflow.ehr.smart.published_keys import FLOOR, MOST, USUAL, PublishedKeys
from ipt_workflow.errors import ProviderUnusable

NEAR = Reach(networks=tuple(ipaddress.ip_network(each) for each in LOOPBACK), ports=None, plain_http=True)
NEW = ECKey.generate_key("P-384", {"kid": "new"}, private=True)


class Publisher:
    """A server of keys on the loopback. It counts the requests that it was sent."""

    def __init__(self) -> None:
        self.keys, self.status, self.cache_control, self.raw = JWKS, "200 OK", "", b""
        self.requests: list[bytes] = []
        self.held = asyncio.Event()
        self.held.set()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append(head)
                await self.held.wait()
                body = self.raw or json.dumps(self.keys).encode()
                lines = f"HTTP/1.1 {self.status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                lines += f"Cache-Control: {self.cache_control}\r\n" if self.cache_control else ""
                lines += f"Location: {self.url}\r\n" if self.status.startswith("3") else ""
                writer.write(lines.encode() + b"\r\n" + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def publishing():
    published = Publisher()
    server = await asyncio.start_server(published.serve, "127.0.0.1", 0)
    published.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys.json"
    try:
        yield published
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def keeping(reach: Reach = NEAR, within: float = 5.0):
    """What keeps keys, and its clock as a list of one number."""
    calls, clock = Calls(reach, within), [0.0]
    try:
        yield PublishedKeys(calls, lambda: clock[0]), clock
    finally:
        await calls.close()


@pytest.mark.parametrize(
    ("cache_control", "seconds"),
    [("", USUAL), ("max-age=60", 60), ("public, MAX-AGE=120", 120), ("max-age=1", FLOOR), ("max-age=99999999", MOST), ("no-store", FLOOR), ("no-cache, max-age=900", FLOOR)],
)  # fmt: skip
def test_keys_are_kept_as_long_as_their_answer_says_and_not_too_long(cache_control, seconds):
    async def scene():
        async with publishing() as publisher, keeping() as (keys, clock):
            publisher.cache_control = cache_control
            assert {each["kid"] for each in await keys.of(publisher.url, "ec")} == {"ec", "rsa"}
            clock[0] = seconds - 0.1
            await keys.of(publisher.url, "rsa")
            assert len(publisher.requests) == 1
            clock[0] = seconds
            await keys.of(publisher.url, "ec")
            assert len(publisher.requests) == 2

    asyncio.run(scene())


def test_a_key_that_is_not_known_is_fetched_once_in_a_while():
    async def scene():
        async with publishing() as publisher, keeping() as (keys, clock):
            await keys.of(publisher.url, "ec")
            publisher.keys = {"keys": [*JWKS["keys"], NEW.as_dict(private=False)]}
            for _ in range(5):
                assert "new" not in {each["kid"] for each in await keys.of(publisher.url, "new")}
            assert len(publisher.requests) == 1
            clock[0] = FLOOR
            assert "new" in {each["kid"] for each in await keys.of(publisher.url, "new")}
            assert len(publisher.requests) == 2

    asyncio.run(scene())


def test_many_that_ask_at_once_cause_one_fetch():
    async def scene():
        async with publishing() as publisher, keeping() as (keys, _):
            publisher.held.clear()
            asking = [asyncio.create_task(keys.of(publisher.url, "ec")) for _ in range(10)]
            while not publisher.requests:
                await asyncio.sleep(0.001)
            publisher.held.set()
            assert len({str(each) for each in await asyncio.gather(*asking)}) == 1
            assert len(publisher.requests) == 1
            assert keys._fetching == {}

    asyncio.run(scene())


BAD = {
    "missing": ("404 Not Found", b"", "answered 404"),
    "redirect": ("302 Found", b"", "answered 302"),
    "no keys": ("200 OK", b"{}", "no JSON Web Key Set"),
    "no JSON": ("200 OK", b"<html>", "no JSON Web Key Set"),
    "too long": ("200 OK", b" " * (CONTENT_BYTES_MAX + 1), "cannot be read"),
}


@pytest.mark.parametrize(("status", "raw", "why"), BAD.values(), ids=BAD)
def test_an_answer_without_keys_is_said_and_asked_for_again_later(status, raw, why):
    async def scene():
        async with publishing() as publisher, keeping() as (keys, clock):
            publisher.status, publisher.raw = status, raw
            for _ in range(3):
                with pytest.raises(ProviderUnusable, match=why):
                    await keys.of(publisher.url, "ec")
            assert len(publisher.requests) == 1
            publisher.status, publisher.raw, clock[0] = "200 OK", b"", FLOOR
            assert await keys.of(publisher.url, "ec")

    asyncio.run(scene())


def test_a_server_that_does_not_answer_is_given_up():
    async def scene():
        async with publishing() as publisher, keeping(within=0.05) as (keys, _):
            publisher.held.clear()
            with pytest.raises(ProviderUnusable, match="did not answer in time"):
                await keys.of(publisher.url, "ec")
            publisher.held.set()

    asyncio.run(scene())


def test_no_request_goes_to_an_address_that_the_table_denies():
    async def resolve(_host: str, _port: int) -> list[str]:
        return ["93.184.216.34", "127.0.0.1"]

    async def scene():
        async with publishing() as publisher:
            far = Reach(ports=None, plain_http=True)
            calls = Calls(far, resolve=resolve)
            port = publisher.url.rpartition(":")[2]
            try:
                for url in (publisher.url, f"http://rebound.example:{port}", f"http://[::ffff:127.0.0.1]:{port}"):
                    with pytest.raises(ProviderUnusable, match="address that this service may not call"):
                        await calls.ask("It", "GET", url, {})
            finally:
                await calls.close()
            assert publisher.requests == []

    asyncio.run(scene())


def test_a_system_is_known_by_the_keys_at_its_url(settings):
    async def scene():
        async with publishing() as publisher, running(settings.model_copy(update={"development": True})) as api:
            await registered(api, jwks_url=publisher.url)
            answer = await asked(api, assertion(header={"jku": publisher.url}))
            assert answer.status_code == 200, answer.text
            assert (await asked(api, assertion(algorithm="RS384"))).status_code == 200
            assert len(publisher.requests) == 1
            assert b"authorization" not in publisher.requests[0].lower()
            await registered(api, "south", jwks_url=publisher.url + "?2")
            publisher.status = "500 Internal Server Error"
            refused = await asked(api, assertion("south"))
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
            assert "could not be read. The system answered 500" in refused.json()["error_description"]

    asyncio.run(scene())
