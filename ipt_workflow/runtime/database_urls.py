"""The URL of a database, and the options after its `?`: those of libpq that this service honours, and SQLite's `mode`.

An option that is not honoured is refused by its name, since it may be there for safety. Faults never repeat a value, which may be secret.
"""

import re
from collections.abc import Mapping
from typing import Literal, NoReturn
from urllib.parse import unquote

import msgspec

_SQLITE = re.compile(r"sqlite:///(?P<path>[^?]+)(\?(?P<options>.*))?")
# A password may hold "/", "?" or "#", as SQLAlchemy reads it.
_POSTGRESQL = re.compile(
    r"postgres(ql)?://((?P<user>[^:/]*)(:(?P<password>[^@]*))?@)?(?P<hosts>[^/?]*)(/(?P<database>[^?]*))?(\?(?P<options>.*))?"
)
_HOST = re.compile(r"(\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]*))(:(?P<port>[0-9]*))?")
_NAME = re.compile(r"[A-Za-z_.]{1,40}")  # else it is no option's name, and perhaps part of a secret
_SECONDS = re.compile(r"[1-9][0-9]{0,3}")
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
TLS = ("sslmode", *FILES, "sslpassword", "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version")
SYSTEM_ROOTS = "system"  # of sslrootcert: the certificate authorities that the machine trusts
_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# The options of libpq that are honoured, and their values; None where any text is a value.
HONOURED: Mapping[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("host", "port", "user", "password", "dbname", "passfile", "application_name", "options")),
    **dict.fromkeys((*FILES, "sslpassword")),
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "ssl": ("true",),  # as JDBC writes sslmode=require; libpq reads it too
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS_VERSIONS,
    "ssl_max_protocol_version": _TLS_VERSIONS,
    "connect_timeout": None,  # checked by _SECONDS
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "channel_binding": ("prefer", "disable"),
    "gssencmode": ("prefer", "disable"),
    "client_encoding": ("auto", "utf8", "UTF8", "utf-8", "UTF-8"),
}
MODES = ("ro", "rw", "rwc")  # of SQLite: read only, read and write, and also create
_FOR_SAFETY = "cannot be honoured, since the driver lacks it: leave it out, and use sslmode=verify-full"


class DatabaseUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A URL taken apart. SQLite has a `path`; PostgreSQL has the rest. A port is None where the URL gives none."""

    system: Literal["sqlite", "postgresql"]
    path: str = ""
    user: str | None = None
    password: str | None = None
    hosts: tuple[tuple[str, int | None], ...] = ()
    database: str | None = None
    options: Mapping[str, str] = {}


def parse(url: str) -> DatabaseUrl:
    """Takes a URL apart. Raises ValueError with a sentence about what is wrong."""
    if found := _SQLITE.fullmatch(url):
        return _sqlite(found)
    found = _POSTGRESQL.fullmatch(url)
    if not found:
        raise ValueError("must be sqlite:///path or postgresql://user@host/name, without a driver")
    options = _options(found["options"], HONOURED)
    _check(options)
    hosts = options.pop("host", None) or unquote(found["hosts"])
    ports = options.pop("port", "")
    return DatabaseUrl(
        system="postgresql",
        hosts=_hosts(hosts, ports),
        user=options.pop("user", None) or _decoded(found["user"]),
        password=options.pop("password", None) or _decoded(found["password"]),
        database=options.pop("dbname", None) or _decoded(found["database"]),
        options=options,
    )


def _decoded(text: str | None) -> str | None:
    return unquote(text) if text else None


def _sqlite(found: re.Match[str]) -> DatabaseUrl:
    options = _options(found["options"], {"mode": MODES})
    if found["path"] == ":memory:":
        raise ValueError("must name a file: a database in memory would be gone at the end")
    return DatabaseUrl(system="sqlite", path=found["path"], options=options)


def _options(text: str | None, honoured: Mapping[str, tuple[str, ...] | None]) -> dict[str, str]:
    """The options by name, the last of a name. Raises ValueError for any that is not honoured, or has a value that is not."""
    if text is None:
        return {}
    options: dict[str, str] = {}
    for each in text.split("&"):
        name, equals, value = (unquote(part) for part in each.partition("="))
        if not equals or name not in honoured:
            _refuse(name, honoured)
        values = honoured[name]
        if value and values is not None and value not in values:
            if value == "require" and name in {"channel_binding", "gssencmode"}:
                raise ValueError(f"has {name}=require, which {_FOR_SAFETY}")
            raise ValueError(f"has {name} with a value that is not honoured; use {' or '.join(values)}")
        options[name] = value
    return {name: value for name, value in options.items() if value}


def _refuse(name: str, honoured: Mapping[str, object]) -> NoReturn:
    subject = name if _NAME.fullmatch(name) else "something after ? that is no option"
    in_path = "" if len(honoured) > 1 else "; the path of a file must not hold ?"
    raise ValueError(f"has {subject}, which is not honoured; after ? may stand {', '.join(sorted(honoured))}{in_path}")


def _check(options: dict[str, str]) -> None:
    """Raises ValueError for options that contradict each other. Reads `ssl=true` as `sslmode=require`, as libpq does."""
    if "ssl" in options:
        del options["ssl"]
        options.setdefault("sslmode", "require")
    if not _SECONDS.fullmatch(options.get("connect_timeout", "1")):
        raise ValueError("has connect_timeout, which must be a number of seconds from 1 to 9999")
    if options.get("sslrootcert") == SYSTEM_ROOTS and options.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("has sslrootcert=system, which needs sslmode=verify-full")
    if "sslcert" in options and "sslkey" not in options:
        raise ValueError("has sslcert without sslkey, the file of its private key")


def _hosts(hosts: str, ports: str) -> tuple[tuple[str, int | None], ...]:
    """Hosts with their ports. Ports in the option `port` are for hosts that have none."""
    if not hosts:
        return (("", _port(ports)),) if ports else ()
    named = hosts.split(",")
    given = ports.split(",") if ports else [""]
    if len(given) not in {1, len(named)}:
        raise ValueError("has another number of ports than of hosts")
    found = []
    for host, port in zip(named, given if len(given) == len(named) else given * len(named), strict=True):
        if host.startswith("/"):  # the folder of a Unix socket
            found.append((host, _port(port)))
            continue
        parts = _HOST.fullmatch(host)
        if parts is None:
            raise ValueError("has a host that cannot be read; write host:port, and an IPv6 address in brackets")
        found.append((parts["six"] or parts["host"], _port(parts["port"] or port)))
    return tuple(found)


def _port(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("has a port that is no number from 1 to 65535")
    return int(text)
