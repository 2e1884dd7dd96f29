"""Connecting to the PostgreSQL servers that a URL names, as libpq would: hosts one after the other, TLS, and the session wanted."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import asyncpg

from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.runtime.database_urls import FILES, SYSTEM_ROOTS, TLS, DatabaseUrl
from ipt_workflow.store.databases.meanings import of_sqlstate

CONNECT_SECONDS = 5.0  # for each host
REFUSED = "The database server refuses the session's settings. Check options in IPT_DATABASE_URL."
NAME = "ipt_workflow"  # the application's name in pg_stat_activity
# A host that fails in one of these ways may be followed by another one. A wrong password is wrong everywhere.
NEXT_HOST = (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched)


class PostgresAddress:
    """The servers of a URL. `settings` are those of every session; what the URL itself sets takes second place.

    Raises DatabaseNotReady if a file that the URL names cannot be read.
    """

    def __init__(self, url: DatabaseUrl, command_seconds: float | None, settings: Mapping[str, str]) -> None:
        options = dict(url.options)
        self._hosts = url.hosts or (("", None),)
        self._wanted = options.pop("target_session_attrs", None)  # without it, the driver asks PGTARGETSESSIONATTRS
        tls = {name: options.pop(name) for name in TLS if name in options}
        for name in FILES:
            _check_readable(name, tls.get(name))
        self._ssl = _context(tls) if tls.get("sslrootcert") == SYSTEM_ROOTS else None
        self._dsn = None if self._ssl else f"postgresql:///?{urlencode(tls)}"
        given: dict[str, str] = {name: options[name] for name in ("application_name", "options") if name in options}
        self._at_the_start: dict[str, str] = {"application_name": NAME, **given}
        self._arguments: dict[str, Any] = {
            "user": url.user,
            "password": url.password,
            "database": url.database,
            "passfile": options.get("passfile"),
            "timeout": float(options.get("connect_timeout", CONNECT_SECONDS)),
            "command_timeout": command_seconds,
        }
        self._settings = settings

    async def connect(self, **more: str) -> asyncpg.Connection:
        """A connection with the settings of every session and `more` of them. Raises what the driver raises.

        They are set by statements: a pooler refuses what it does not know if it is named when the connection is made.
        """
        connection = await self.connect_plainly()
        settings = {**self._settings, **more}
        try:
            if settings:
                await connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def connect_plainly(self) -> asyncpg.Connection:
        """A connection to the first host that can be used, without settings. Raises what the driver raises."""
        passes = ("standby", "any") if self._wanted == "prefer-standby" else (self._wanted,)
        failed: Exception | None = None
        for wanted in passes:
            for host, port in self._hosts:
                try:
                    connection = await asyncpg.connect(
                        self._dsn,
                        host=host or None,
                        port=port,
                        ssl=self._ssl,
                        target_session_attrs=wanted,
                        server_settings=self._at_the_start,
                        **self._arguments,
                    )
                except NEXT_HOST as error:
                    failed = error
                except asyncpg.PostgresError as error:
                    if of_sqlstate(error.sqlstate):
                        raise
                    raise DatabaseNotReady(REFUSED) from error
                else:
                    return await _in_unicode(connection)
        assert failed is not None  # there is at least one host
        raise failed


async def _in_unicode(connection: asyncpg.Connection) -> asyncpg.Connection:
    """The connection, unless its database has another encoding than UTF-8: then texts would be refused, or stored as bytes of no meaning."""
    encoding = getattr(connection.get_settings(), "server_encoding", "UTF8")  # a pooler may not tell
    if encoding != "UTF8":
        await connection.close()
        raise DatabaseNotReady(
            f"The database's encoding is {encoding} and must be UTF8. Create it with `createdb --encoding=UTF8`."
        )
    return connection


def _check_readable(name: str, file: str | None) -> None:
    if file is None or (name == "sslrootcert" and file == SYSTEM_ROOTS):
        return
    try:
        with Path(file).open("rb"):
            pass
    except OSError as error:
        raise DatabaseNotReady(f"The file that {name} names cannot be read: {error.strerror}. Check IPT_DATABASE_URL.") from error


def _context(tls: Mapping[str, str]) -> ssl.SSLContext:
    """TLS that trusts the authorities that the machine trusts, and checks the host's name."""
    context = ssl.create_default_context()
    if ssl.HAS_ALPN:
        context.set_alpn_protocols(["postgresql"])
    if "sslcert" in tls:
        context.load_cert_chain(tls["sslcert"], tls.get("sslkey"), tls.get("sslpassword", ""))
    return context
