"""One delivery: where it goes and where it does not, and that everything has an end. Against real servers on the loopback."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ipt_workflow.ehr.deliveries.addresses import LOOPBACK, Reach
from ipt_workflow.ehr.deliveries.posts import RESPONSE_BYTES_MAX, Posts
from ipt_workflow.ehr.deliveries.sender import AddressDenied, DeliverySender, SendResult, look_up, retry_after

NOW = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
NEAR = Reach(networks=tuple(ipaddress.ip_network(each) for each in LOOPBACK), ports=None, plain_http=True)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A server that answers every request with the same bytes, and keeps what it was sent. `hold` keeps it from ever ending."""

    def __init__(self, answer: bytes, hold: bool) -> None:
        self.answer, self.hold = answer, hold
        self.requests: list[bytes] = []
        self.connections = 0
        self.names: list[str | None] = []
        self.port = 0
        self.closing = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
                )
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
                if self.hold:
                    await self.closing.wait()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: bytes = OK, *, hold: bool = False, tls: ssl.SSLContext | None = None):
    held = Server(answer, hold)
    if tls:
        tls.sni_callback = lambda _socket, name, _context: held.names.append(name)
    server = await asyncio.start_server(held.serve, "127.0.0.1", 0, ssl=tls)
    held.port = server.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        held.closing.set()
        server.close()
        await server.wait_closed()


async def sent(url: str, reach: Reach = NEAR, within: float = 5.0, **more) -> SendResult:
    sender = DeliverySender(reach, within, **more)
    try:
        return await sender.send(url, {"content-type": "application/json", "webhook-id": "evt_1"}, b'{"type":"a"}', NOW)
    finally:
        await sender.close()


def to(*addresses: str):
    """A name service that knows these addresses for every name."""

    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


def test_a_delivery_arrives_with_its_headers_and_exactly_its_bytes():
    async def scene():
        async with serving() as server:
            outcome = await sent(f"http://127.0.0.1:{server.port}/hooks?x=1")
            return outcome, server.requests

    outcome, (request,) = asyncio.run(scene())
    assert outcome == SendResult(status=200)
    assert outcome.delivered
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hooks?x=1 HTTP/1.1\r\n")
    assert b"webhook-id: evt_1" in head
    assert body == b'{"type":"a"}'


def test_the_connection_goes_to_the_address_that_was_checked_and_the_host_stays_the_urls():
    async def scene():
        async with serving() as server:
            outcome = await sent(f"http://ehr.example:{server.port}/", resolve=to("127.0.0.1"))
            return outcome, server.requests[0], server.port

    outcome, request, port = asyncio.run(scene())
    assert outcome.status == 200
    assert f"Host: ehr.example:{port}".encode() in request


@pytest.mark.parametrize(
    "addresses", (["10.0.0.1"], ["1.1.1.1", "10.0.0.1"], ["::ffff:10.0.0.1"], ["127.0.0.1", "169.254.169.254"])
)
def test_a_name_with_any_address_that_is_denied_is_not_connected_to_at_all(addresses):
    async def scene():
        async with serving() as server:
            outcome = await sent(f"http://ehr.example:{server.port}/", resolve=to(*addresses))
            return outcome, server.connections

    assert asyncio.run(scene()) == (SendResult(problem="address"), 0)


def test_a_name_that_is_pointed_elsewhere_after_it_was_registered_is_refused_when_it_is_connected_to():
    """Rebinding: good at first, then the metadata service."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]

    async def resolve(_host, _port):
        return answers.pop(0)

    async def scene():
        async with serving(OK.replace(b"Content-Length", b"Connection: close\r\nContent-Length")) as server:
            sender, url = DeliverySender(NEAR, 5, resolve=resolve), f"http://ehr.example:{server.port}/"
            found = [await sender.send(url, {}, b"", NOW), await sender.send(url, {}, b"", NOW)]
            await sender.close()
            return found, server.connections

    assert asyncio.run(scene()) == ([SendResult(status=200), SendResult(problem="address")], 1)


def test_the_next_address_is_tried_where_the_first_does_not_answer():
    async def scene():
        async with serving() as server:
            return await sent(f"http://ehr.example:{server.port}/", resolve=to("127.99.0.1", "127.0.0.1"))

    assert asyncio.run(scene()).status == 200


def test_a_url_that_may_not_be_used_any_more_is_not_sent_to():
    async def scene():
        async with serving() as server:
            return await sent(f"http://127.0.0.1:{server.port}/", Reach()), server.connections

    assert asyncio.run(scene()) == (SendResult(problem="address"), 0)


def test_an_address_in_a_url_is_checked_once_more_when_it_is_connected_to():
    """The library looks up no address that stands in a URL, so the check of names would not see it."""

    async def scene():
        async with serving() as server:
            posts = Posts(Reach(), look_up, ssl.create_default_context())
            try:
                with pytest.raises(AddressDenied):
                    await posts.post(f"http://127.0.0.1:{server.port}/", {}, b"{}")
            finally:
                await posts.close()
            return server.connections

    assert asyncio.run(scene()) == 0


def test_a_connection_is_kept_for_the_next_delivery():
    async def scene():
        async with serving() as server:
            sender, url = DeliverySender(NEAR, 5), f"http://127.0.0.1:{server.port}/"
            for _ in range(3):
                await sender.send(url, {}, b"{}", NOW)
            await sender.close()
            return server.connections

    assert asyncio.run(scene()) == 1


def test_a_redirect_is_a_failure_and_is_not_followed():
    async def scene():
        async with serving() as other:
            answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n".encode()
            async with serving(answer) as server:
                return await sent(f"http://127.0.0.1:{server.port}/"), other.connections

    assert asyncio.run(scene()) == (SendResult(status=302, problem="status"), 0)


def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    async def scene():
        async with serving() as proxy, serving() as server:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            outcome = await sent(f"http://127.0.0.1:{server.port}/")
            return outcome.status, server.connections, proxy.connections

    assert asyncio.run(scene()) == (200, 1, 0)


def test_an_answer_without_end_is_read_only_so_far():
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {2**40}\r\n\r\n".encode()

    async def scene():
        async with serving(head + b"x" * (RESPONSE_BYTES_MAX + 100_000), hold=True) as server:
            return await sent(f"http://127.0.0.1:{server.port}/", within=60)

    assert asyncio.run(scene()) == SendResult(status=200)


@pytest.mark.parametrize("answer", (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
def test_an_answer_that_does_not_come_or_does_not_end_is_a_timeout(answer):
    async def scene():
        async with serving(answer, hold=True) as server:
            return await sent(f"http://127.0.0.1:{server.port}/", within=0.3)

    assert asyncio.run(scene()) == SendResult(problem="timeout")


def test_what_is_no_answer_is_reported_as_such():
    async def scene():
        async with serving(b"SMTP ready\r\n\r\n") as server:
            return await sent(f"http://127.0.0.1:{server.port}/")

    assert asyncio.run(scene()) == SendResult(problem="answer")


def test_nobody_listening_and_an_unknown_name_are_different_problems():
    async def scene():
        async with serving() as server:
            port = server.port
        return (
            await sent(f"http://127.0.0.1:{port}/"),
            await sent("http://ehr.example:1/", resolve=to()),
            await look_up("no-such-host.invalid", 443),
            await look_up("127.0.0.1", 443),
        )

    assert asyncio.run(scene()) == (SendResult(problem="connection"), SendResult(problem="name"), [], ["127.0.0.1"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    (
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("999999999", 86400),
        ("Mon, 02 Mar 2026 09:00:30 GMT", 30),
        ("Mon, 02 Mar 2026 08:00:00 GMT", 0),
        ("Mon, 02 Mar 2036 08:00:00 GMT", 86400),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٣", None),
    ),
)
def test_retry_after_is_read_in_seconds_or_as_a_date_and_never_more_than_a_day(text, seconds):
    found = retry_after(text, NOW)
    assert found == (None if seconds is None else dt.timedelta(seconds=seconds))


def test_an_answer_that_asks_to_wait_says_so_in_the_outcome():
    async def scene():
        async with serving(b"HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n") as server:
            return await sent(f"http://127.0.0.1:{server.port}/")

    assert asyncio.run(scene()) == SendResult(status=429, problem="status", retry_after=dt.timedelta(seconds=30))


def certificates(folder, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of this name shows, and what a client trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shown.load_cert_chain(chain, secret)
    return shown, ssl.create_default_context(cafile=str(chain))


def test_over_tls_the_name_that_is_asked_for_and_checked_is_the_urls_not_the_address(tmp_path):
    shown, trusted = certificates(tmp_path, "ehr.example")

    async def scene():
        async with serving(tls=shown) as server:
            right = await sent(f"https://ehr.example:{server.port}/", resolve=to("127.0.0.1"), ssl_context=trusted)
            wrong = await sent(f"https://other.example:{server.port}/", resolve=to("127.0.0.1"), ssl_context=trusted)
            unknown = await sent(f"https://ehr.example:{server.port}/", resolve=to("127.0.0.1"))
            return right, wrong, unknown, server.names

    right, wrong, unknown, names = asyncio.run(scene())
    assert right == SendResult(status=200)
    assert (wrong, unknown) == (SendResult(problem="connection"),) * 2
    assert names == ["ehr.example", "other.example", "ehr.example"]
