"""Calls to identity providers: bounded, without redirects, and to no address that deliveries may not go to either."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ipt_workflow.ehr import calls
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries import posts
from ipt_workflow.ehr.deliveries.addresses import Reach, reach_of
from ipt_workflow.errors import ProviderUnusable
from ipt_workflow.runtime import settings as configuration

HERE = reach_of(configuration.load({"IPT_DEVELOPMENT": "true"}))


@contextmanager
def answering(status: int, body: bytes, *headers: tuple[str, str]) -> Iterator[str]:
    """A server that answers every request alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in (("Content-Length", str(len(body))), *headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def called(url, reach=HERE, **more):
    async def inside():
        found = Calls(reach, **more)
        try:
            return await found.call("GET", url, {})
        finally:
            await found.close()

    return asyncio.run(inside())


def test_status_and_content_come_back():
    with answering(404, b"none") as url:
        assert called(url) == (404, b"none")


def test_a_redirect_is_not_followed():
    with answering(200, b"secret") as secret, answering(302, b"", ("Location", secret)) as url:
        assert called(url) == (302, b"")


def test_a_long_answer_is_read_to_its_bound_and_refused(monkeypatch):
    monkeypatch.setattr(posts, "CONTENT_BYTES_MAX", 1000)
    with answering(200, b"x" * 1000) as url:
        assert called(url) == (200, b"x" * 1000)
    with answering(200, b"x" * 1001) as url, pytest.raises(ProviderUnusable, match="cannot be read"):
        called(url)


def test_what_is_no_http_is_refused():
    async def talk(reader, writer):
        writer.write(b"SSH-2.0\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def inside():
        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        found = Calls(HERE)
        async with server:
            with pytest.raises(ProviderUnusable):
                await found.call("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
            await found.close()

    asyncio.run(inside())


def test_one_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(calls, "SECONDS", 0.05)

    async def inside():
        over = asyncio.Event()

        async def talk(reader, writer):
            await over.wait()
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        found = Calls(HERE)
        async with server:
            with pytest.raises(ProviderUnusable, match="in time"):
                await found.call("GET", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
            over.set()
            await found.close()

    asyncio.run(inside())


@pytest.mark.parametrize("address", ("10.0.0.1", "127.0.0.1", "169.254.169.254"))
def test_a_name_may_not_lead_to_this_machine_or_a_private_network(address):
    async def resolve(host, port):
        return ["93.184.216.34", address]

    with pytest.raises(ProviderUnusable, match="may not call"):
        called("https://idp.example/", Reach(), resolve=resolve)


@pytest.mark.parametrize(
    "url",
    ("http://idp.example/", "https://idp.example:8443/", "https://user@idp.example/", "ftp://idp.example/", "https://127.0.0.1/"),
)
def test_an_address_is_one_that_deliveries_may_go_to(url):
    with pytest.raises(ProviderUnusable, match="may not call"):
        called(url, Reach())


def test_a_name_without_an_address_is_said_so():
    async def resolve(host, port):
        return []

    with pytest.raises(ProviderUnusable, match="has no address"):
        called("https://idp.example/", Reach(), resolve=resolve)
