"""Sessions of people: their secrets, when they are over, and whether somebody proved lately who they are.

A browser sends `<id>.<secret>` in a cookie. A program that a person lets act in their session sends `ipts_<id>_<secret>` as a bearer
token. Neither stands for the other: the two secrets differ, and only their SHA-256 is stored.
"""

import datetime as dt
import hmac
import re
import secrets
from typing import Protocol

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.tokens import digest
from ipt_workflow.errors import PersonNeeded, ReauthenticationNeeded

_ID = re.compile(r"[0-9a-f]{16}")
_COOKIE = re.compile(r"([0-9a-f]{16})\.([A-Za-z0-9_-]{43})")
_ACCESS = re.compile(r"ipts_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")


class SessionTimes(Protocol):
    """The parts of a session that decide whether it is over."""

    @property
    def seen_at(self) -> dt.datetime: ...
    @property
    def expires_at(self) -> dt.datetime: ...
    @property
    def ended_at(self) -> dt.datetime | None: ...


class SessionSecret(msgspec.Struct, frozen=True):
    """The id of a session and one of its secrets."""

    id: str
    secret: str

    @property
    def hash(self) -> str:
        return digest(self.secret)

    @property
    def cookie(self) -> str:
        return f"{self.id}.{self.secret}"

    @property
    def access(self) -> str:
        return f"ipts_{self.id}_{self.secret}"


def new_secret(session_id: str | None = None) -> SessionSecret:
    """A secret of a new session, or of this one."""
    return SessionSecret(session_id or secrets.token_hex(8), secrets.token_urlsafe(32))


def of_cookie(text: str) -> SessionSecret | None:
    match = _COOKIE.fullmatch(text)
    return SessionSecret(match[1], match[2]) if match else None


def of_access_token(text: str) -> SessionSecret | None:
    match = _ACCESS.fullmatch(text)
    return SessionSecret(match[1], match[2]) if match else None


def is_id(text: str) -> bool:
    """Whether a text has the form of a session's id."""
    return _ID.fullmatch(text) is not None


def same_hash(given: str, known: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(given, known)


def is_over(session: SessionTimes, now: dt.datetime, idle: dt.timedelta) -> bool:
    """Whether a session was ended, has lasted as long as it may, or was not used for too long."""
    return session.ended_at is not None or session.expires_at <= now or session.seen_at + idle <= now


def require_fresh(principal: Principal, now: dt.datetime, within: dt.timedelta) -> None:
    """Raises ReauthenticationNeeded unless the person proved who they are within this time, and PersonNeeded for a fixed token.

    At the command line whoever holds the database acts, and the verb records it as `via` cli.
    """
    if principal.via == "cli":
        return
    if principal.session is None:
        raise PersonNeeded
    if principal.authenticated_at is None or principal.authenticated_at + within < now:
        raise ReauthenticationNeeded(within)
