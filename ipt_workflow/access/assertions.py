"""Assertions by which a system proves that it holds its private key (RFC 7523, SMART Backend Services). Pure: keys and time come in."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key
from msgspec import Meta

from ipt_workflow.access.key_sets import KEY_TYPES
from ipt_workflow.errors import TokenRefused

BYTES_MAX = 8192
LIFE = dt.timedelta(minutes=5)
LEEWAY = dt.timedelta(seconds=60)  # by which clocks may differ
CLIENT_ID = re.compile(r"([a-z0-9_-]{1,64})\.([a-z0-9_-]{1,32})")  # organisation and system
_Text = Annotated[str, Meta(min_length=1, max_length=255)]


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """What an assertion says of itself, before anything is proved."""

    organisation: str
    system: str
    kid: str
    algorithm: str
    jku: str | None


class AssertionClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of an assertion. Times are seconds since 1970."""

    iss: _Text
    sub: _Text
    aud: str | tuple[str, ...]
    exp: int | float
    jti: _Text
    iat: int | float | None = None
    nbf: int | float | None = None


def client_id(organisation: str, system: str) -> str:
    """The name by which a system calls itself. It tells the organisation, so that no other part of a request has to."""
    return f"{organisation}.{system}"


def announced(text: str) -> Announced:
    """Reads an assertion without believing it. Raises TokenRefused."""
    header, claims = _read(text)
    named = CLIENT_ID.fullmatch(claims.iss)
    if claims.sub != claims.iss or named is None:
        raise refused("iss and sub must both be the client_id of a registered system")
    if header.get("alg") not in tuple(KEY_TYPES):
        raise refused(f"alg must be {' or '.join(KEY_TYPES)}")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise refused("typ must be JWT")
    kid, jku = header.get("kid"), header.get("jku")
    if not isinstance(kid, str) or not (jku is None or isinstance(jku, str)):
        raise refused("kid must be a text, and jku too if there is one")
    return Announced(organisation=named[1], system=named[2], kid=kid, algorithm=header["alg"], jku=jku)


def verified(text: str, key: Key, algorithm: str, audience: str, now: dt.datetime) -> AssertionClaims:
    """The claims of an assertion that is signed with this key, for this audience, at this time. Raises TokenRefused."""
    try:
        jws.deserialize_compact(text, key, algorithms=[algorithm])
    except (JoseError, ValueError):
        raise refused("the signature is not that of the key") from None
    _, claims = _read(text)
    if audience not in ((claims.aud,) if isinstance(claims.aud, str) else claims.aud):
        raise refused(f"aud must be {audience}")
    at, leeway = now.timestamp(), LEEWAY.total_seconds()
    if not at - leeway < claims.exp <= at + LIFE.total_seconds() + leeway:
        raise refused("exp must be in the future, and not more than five minutes")
    if max(claims.nbf or 0, claims.iat or 0) > at + leeway:
        raise refused("nbf and iat must not be in the future")
    return claims


def refused(why: str) -> TokenRefused:
    return TokenRefused("invalid_client", f"The client_assertion is not accepted: {why}.")


def _read(text: str) -> tuple[Mapping[str, Any], AssertionClaims]:
    if len(text) > BYTES_MAX:
        raise refused(f"it must have at most {BYTES_MAX} bytes")
    try:
        signed = jws.extract_compact(text.encode())
        return signed.headers(), msgspec.json.decode(signed.payload, type=AssertionClaims)
    except msgspec.DecodeError:
        raise refused("iss, sub, aud, exp and jti are needed, each in its form") from None
    except (JoseError, ValueError, TypeError, RecursionError):
        raise refused("it must be a signed JWT") from None
