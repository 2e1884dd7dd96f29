"""The tokens of identity providers: ID tokens and logout tokens, believed only after every check.

Algorithms are pinned. A token is checked for its signer, its issuer, its audience and its time before anything else of it is read.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError

from ipt_workflow.access.oidc import UNLIKE_OURS, OidcSettings, SignInQuestion, digest
from ipt_workflow.errors import ProviderUnusable, SignInRefused

ALGORITHMS = ("ES256", "RS256", "PS256")
LEEWAY = 60  # seconds by which the provider's clock may differ
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TYPES = {"logout+jwt", "jwt", ""}
RSA_BITS_MIN = 2048
NAME_MAX = 255


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in, by an ID token that was checked. `values` holds its claims."""

    subject: str
    session: str | None
    authenticated_at: dt.datetime | None
    values: dict[str, Any]


class LogoutToken(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sessions a provider ends: its own session, or all of a subject."""

    id: str
    subject: str | None
    session: str | None
    expires_at: dt.datetime


class KeyUnknown(Exception):
    """A token is signed with a key that is not among those known: the provider may have made a new one."""


def keys_of(content: bytes) -> jwk.KeySet:
    """A provider's public keys. Raises ProviderUnusable."""
    try:
        found = msgspec.json.decode(content)
        public = [each for each in found["keys"] if each.get("kty") in {"EC", "RSA"} and each.get("use", "sig") == "sig"]
        return jwk.KeySet.import_key_set({"keys": public})
    except (msgspec.MsgspecError, JoseError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise ProviderUnusable("The identity provider's keys cannot be read, or none is for signatures.") from None


def id_token_of(content: bytes) -> str:
    """The ID token in the answer of a token endpoint. Raises SignInRefused."""
    try:
        answer = msgspec.json.decode(content)
        token = answer["id_token"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str):
        raise SignInRefused("token", UNLIKE_OURS)
    return token


def read_id_token(text: str, keys: jwk.KeySet, settings: OidcSettings, nonce: str, now: dt.datetime) -> Claims:
    """Who signed in. Raises KeyUnknown, or SignInRefused naming the check that failed."""
    _, claims = _verified(text, keys)
    _check_common(claims, settings, now)
    if not isinstance(claims.get("exp"), int | float) or claims["exp"] + LEEWAY <= now.timestamp():
        raise SignInRefused("expired", UNLIKE_OURS)
    if claims.get("nonce") != nonce:
        raise SignInRefused("nonce", UNLIKE_OURS)
    subject = _name(claims, "sub")
    if subject is None:
        raise SignInRefused("subject", UNLIKE_OURS)
    return Claims(
        subject=subject,
        session=_name(claims, "sid"),
        authenticated_at=_authenticated_at(claims, now),
        values=claims,
    )


def read_logout_token(text: str, keys: jwk.KeySet, settings: OidcSettings, now: dt.datetime) -> LogoutToken:
    """Whose sessions end (OpenID Connect Back-Channel Logout 1.0). Raises KeyUnknown or SignInRefused."""
    header, claims = _verified(text, keys)
    _check_common(claims, settings, now)
    subject, session, token_id = (_name(claims, name) for name in ("sub", "sid", "jti"))
    events = claims.get("events")
    if str(header.get("typ", "")).lower() not in LOGOUT_TYPES or "nonce" in claims:
        raise SignInRefused("type", "This is no logout token.")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise SignInRefused("events", "This is no logout token.")
    if token_id is None or (subject is None and session is None):
        raise SignInRefused("subject", "The logout token names nobody, or has no id.")
    expires = claims.get("exp", claims["iat"] + 2 * LEEWAY)
    if not isinstance(expires, int | float) or expires + LEEWAY <= now.timestamp() or claims["iat"] + 5 * LEEWAY <= now.timestamp():
        raise SignInRefused("expired", "The logout token has expired.")
    return LogoutToken(
        id=digest(f"{settings.issuer}\n{token_id}"),
        subject=subject,
        session=session,
        expires_at=now + dt.timedelta(seconds=10 * LEEWAY),
    )


def _name(claims: Mapping[str, Any], claim: str) -> str | None:
    """A claim that names something, as it is stored. None for what is no such name."""
    found = claims.get(claim)
    return found if isinstance(found, str) and 0 < len(found) <= NAME_MAX and found.isprintable() else None


def _verified(text: str, keys: jwk.KeySet) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token that one of the keys signed. Raises KeyUnknown or SignInRefused."""
    try:
        header = jws.extract_compact(text.encode()).headers()
    except (JoseError, ValueError, AttributeError, RecursionError):
        raise SignInRefused("token", UNLIKE_OURS) from None
    if header.get("alg") not in ALGORITHMS:
        raise SignInRefused("algorithm", UNLIKE_OURS)
    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    try:
        found = jwt.decode(text, _key_of(header, keys), algorithms=[header["alg"]], registry=registry)
    except (JoseError, ValueError, RecursionError):
        raise SignInRefused("signature", UNLIKE_OURS) from None
    return dict(found.header), found.claims


def _key_of(header: Mapping[str, Any], keys: jwk.KeySet) -> jwk.Key:
    """The one key that a token names, or the only one of its kind if it names none."""
    kind = "EC" if header["alg"].startswith("ES") else "RSA"
    fitting = [each for each in keys if each.key_type == kind and each.get("alg") in {None, header["alg"]}]
    named = [each for each in fitting if "kid" not in header or each.kid == header["kid"]]
    if len(named) != 1:
        raise KeyUnknown
    if isinstance(named[0], jwk.RSAKey) and named[0].public_key.key_size < RSA_BITS_MIN:
        raise SignInRefused("signature", UNLIKE_OURS)
    return named[0]


def _check_common(claims: Mapping[str, Any], settings: OidcSettings, now: dt.datetime) -> None:
    """Issuer, audience, and that the token was not made in the future. Raises SignInRefused."""
    audience, party = claims.get("aud"), claims.get("azp")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != settings.issuer:
        raise SignInRefused("issuer", UNLIKE_OURS)
    if settings.client_id not in audiences:
        raise SignInRefused("audience", UNLIKE_OURS)
    if (len(audiences) > 1 or party is not None) and party != settings.client_id:
        raise SignInRefused("authorized_party", UNLIKE_OURS)
    for name in ("iat", *(("nbf",) if "nbf" in claims else ())):
        if not isinstance(claims.get(name), int | float) or claims[name] > now.timestamp() + LEEWAY:
            raise SignInRefused("time", UNLIKE_OURS)


def check_strength(claims: Claims, settings: OidcSettings) -> None:
    """That the person proved who they are as the organisation demands. Raises SignInRefused."""
    methods = claims.values.get("amr")
    known = {str(each) for each in methods} if isinstance(methods, list) else set()
    if (settings.acr and claims.values.get("acr") not in settings.acr) or (settings.amr and not known & set(settings.amr)):
        message = "Your organisation demands a stronger sign-in, such as a second factor. Set it up at your identity provider."
        raise SignInRefused("strength", message, forbidden=True)


def _authenticated_at(claims: Mapping[str, Any], now: dt.datetime) -> dt.datetime | None:
    """When the person proved who they are; None if the provider does not say so. Raises SignInRefused for a time to come."""
    seconds = claims.get("auth_time")
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or not 0 <= seconds <= now.timestamp() + LEEWAY:
        raise SignInRefused("auth_time", UNLIKE_OURS)
    return min(dt.datetime.fromtimestamp(seconds, dt.UTC), now)


def check_age(claims: Claims, asked: SignInQuestion, now: dt.datetime, max_age: dt.timedelta) -> None:
    """That the person proved who they are as lately as they were asked to. Raises SignInRefused."""
    if claims.authenticated_at is None:
        if asked.again:
            message = "The identity provider does not say when you signed in (auth_time), so it cannot confirm you again here."
            raise SignInRefused("auth_time", message, forbidden=True)
        return
    if claims.authenticated_at + max_age + dt.timedelta(seconds=LEEWAY) < now:
        raise SignInRefused("auth_time", "You signed in at the identity provider too long ago. Start the sign-in again.")
