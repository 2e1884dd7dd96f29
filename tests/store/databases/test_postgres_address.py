"""Connections to PostgreSQL are made as the URL says: hosts in order, TLS, and the settings of the session."""

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import asyncpg
import pytest
from support import databases
from support.tls import Authority, in_front_of

from ipt_workflow.errors import DatabaseNotReady, Unreachable
from ipt_workflow.store.databases.factory import open_database


def socket_of(server: str) -> Path:
    """The Unix socket of the tests' own server."""
    (folder,) = parse_qs(urlsplit(server).query).get("host", [""])
    if not folder:
        pytest.skip("the server of IPT_TEST_POSTGRES_URL is not reached through a Unix socket")
    return Path(folder)


@asynccontextmanager
async def opened(url: str):
    database = open_database(url, statement_seconds=5, connections=1)
    try:
        yield database
    finally:
        await database.close()


def shown(url: str, *settings: str) -> list[str]:
    """Settings of both kinds of sessions that the service opens; they must be the same."""

    async def ask():
        async with opened(url) as database:
            bare = [(await database.fetch({"postgresql": f"SHOW {each}"}))[0][0] for each in settings]
            pooled = await database.read(lambda c: [c.exec_driver_sql(f"SHOW {each}").scalar_one() for each in settings])
            assert bare == pooled
            return bare

    return asyncio.run(ask())


def fails(url: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        shown(url, "server_version")


def url_of(server: str, hosts: str, **options: str) -> str:
    return f"postgresql://postgres@{hosts}/postgres?{urlencode(options, quote_via=quote)}"  # to libpq, + is a plus


@pytest.fixture
def at(postgres):
    """A URL of the test's server through its socket, with more options."""
    folder = socket_of(postgres)
    return lambda **more: url_of(postgres, "", host=str(folder), **more)


def test_the_session_has_the_name_and_the_options_of_the_url(at):
    assert shown(at(), "application_name") == ["ipt_workflow"]
    url = at(application_name="clinic north", options="-c work_mem=7MB -c search_path=public")
    assert shown(url, "application_name", "work_mem", "search_path") == ["clinic north", "7MB", "public"]


def test_options_that_the_server_does_not_know_are_said_to_be_wrong(at):
    fails(at(options="-c work_memory=7MB"), DatabaseNotReady, "refuses the session.*options")


def test_our_own_limits_take_precedence_over_the_options(at):
    assert shown(at(options="-c statement_timeout=1h"), "statement_timeout") == ["5s"]


def test_the_next_host_is_asked_where_one_does_not_answer(postgres):
    dead = "/nowhere/at/all"
    assert shown(url_of(postgres, "", host=f"{dead},{socket_of(postgres)}"), "server_encoding") == ["UTF8"]
    fails(url_of(postgres, "", host=f"{dead},{dead}"), Unreachable, "cannot be reached")


@pytest.mark.rest
def test_a_host_that_is_silent_is_given_up_after_the_time_of_the_url(postgres):
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:  # connections are accepted, and nothing is ever said
        hosts = f"127.0.0.1,{socket_of(postgres)}"
        url = url_of(postgres, "", host=hosts, port=f"{silent.getsockname()[1]},5432", connect_timeout="1", sslmode="disable")
        assert shown(url, "server_encoding") == ["UTF8"]


def test_a_session_is_what_target_session_attrs_asks_for(at):
    for wanted in ("any", "read-write", "primary", "prefer-standby"):
        assert shown(at(target_session_attrs=wanted), "server_encoding") == ["UTF8"]
    for wanted in ("standby", "read-only"):
        fails(at(target_session_attrs=wanted), Unreachable, "target_session_attrs")
    read_only = at(options="-c default_transaction_read_only=on")
    assert shown(f"{read_only}&target_session_attrs=read-only", "server_encoding") == ["UTF8"]
    fails(f"{read_only}&target_session_attrs=read-write", Unreachable, "target_session_attrs")


@pytest.mark.parametrize("encoding", ("LATIN1", "SQL_ASCII"))
def test_a_database_in_another_encoding_than_utf8_is_refused(postgres, at, encoding):
    name = f"in_{encoding.lower()}"

    async def create():
        connection = await asyncpg.connect(postgres)
        await connection.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        await connection.close()

    asyncio.run(create())
    fails(f"{at()}&dbname={name}", DatabaseNotReady, f"encoding is {encoding} and must be UTF8")


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def through(postgres, context, test) -> None:
    """Runs a test with a proxy before the server."""

    async def run():
        async with in_front_of(socket_of(postgres) / ".s.PGSQL.5432", context) as port:
            await asyncio.to_thread(test, port)

    asyncio.run(run())


def serving(files: tuple[Path, Path], clients: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_the_servers_certificate_is_verified_as_sslmode_says(postgres, authority, tmp_path):
    stranger = Authority(tmp_path, "stranger")

    def test(port):
        def url(**tls):
            return url_of(postgres, f"localhost:{port}", **tls)

        for mode in ("prefer", "require", "verify-ca"):  # the certificate is for another host
            root = {} if mode != "verify-ca" else {"sslrootcert": str(authority.root)}
            assert shown(url(sslmode=mode, **root), "server_encoding") == ["UTF8"]
        fails(url(sslmode="verify-full", sslrootcert=str(authority.root)), DatabaseNotReady, "certificate is not trusted")
        for mode in ("require", "verify-ca", "verify-full"):
            fails(url(sslmode=mode, sslrootcert=str(stranger.root)), DatabaseNotReady, "certificate is not trusted")
        fails(url(sslrootcert="system"), DatabaseNotReady, "certificate is not trusted")

    through(postgres, serving(authority.issue("other", "db.example")), test)


def test_a_certificate_for_the_host_from_the_right_authority_is_trusted_in_full(postgres, authority):
    def test(port):
        for host in ("localhost", "127.0.0.1"):
            url = url_of(postgres, f"{host}:{port}", sslmode="verify-full", sslrootcert=str(authority.root))
            assert shown(url, "server_encoding") == ["UTF8"]

    through(postgres, serving(authority.issue("server", "localhost", "127.0.0.1")), test)


def test_a_client_shows_the_certificate_of_the_url(postgres, authority):
    certificate, key = authority.issue("client")

    def test(port):
        url = url_of(postgres, f"localhost:{port}", sslmode="verify-full", sslrootcert=str(authority.root))
        assert shown(f"{url}&{urlencode({'sslcert': certificate, 'sslkey': key})}", "server_encoding") == ["UTF8"]
        fails(url, Unreachable, "The database server")

    through(postgres, serving(authority.issue("server", "localhost"), authority.root), test)


def test_a_server_without_tls_is_used_only_where_sslmode_allows_it(postgres):
    def test(port):
        for mode in ("disable", "allow", "prefer"):
            assert shown(url_of(postgres, f"localhost:{port}", sslmode=mode), "server_encoding") == ["UTF8"]
        fails(url_of(postgres, f"localhost:{port}", sslmode="require"), DatabaseNotReady, "does not offer TLS")

    through(postgres, None, test)


@pytest.mark.parametrize("name", ("sslrootcert", "sslcert", "sslkey", "sslcrl"))
def test_a_file_that_is_not_there_is_named_by_its_option(tmp_path, name):
    options = {"sslcert": __file__, "sslkey": __file__, name: str(tmp_path / "none.pem")}
    with pytest.raises(DatabaseNotReady, match=f"{name} names cannot be read: No such file"):
        open_database(f"postgresql://db/ipt?{urlencode(options)}")


def test_a_url_with_an_option_that_is_not_honoured_opens_nothing():
    with pytest.raises(databases.configuration.SettingsInvalid, match="channel_binding=require"):
        open_database("postgresql://db/ipt?channel_binding=require")
