"""OpenID Connect, as the party that relies on an identity provider: what is asked, and what is believed of the answer.

Nothing here calls anybody: descriptions, keys and the present moment are parameters. `id_tokens` reads what comes back.
"""

import base64
import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode, urlsplit

import msgspec
from joserfc import jwk, jwt
from msgspec import Meta

from ipt_workflow.access.people import StaffRole
from ipt_workflow.errors import ProviderUnusable, SignInRefused

ALGORITHMS = {"P-256": "ES256", "P-384": "ES384"}  # of our own keys, by their curve
UNLIKE_OURS = "The identity provider's answer is not one to our question. Start the sign-in again."

_ADDRESS = re.compile(r"[!-~]+")  # as it goes into a header

Name = Annotated[str, Meta(min_length=1, max_length=255)]


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an organisation's people sign in at its identity provider.

    `groups` gives each group or app role of `groups_claim` a role; without any, a person's roles are those that this service knows.
    `person_claim` names the claim that holds the person's id here: at their first sign-in their subject is linked to it. One of `acr`,
    and one of `amr`, must be in the token.
    `secret` is sealed: the client's secret, or with `private_key_jwt` its private key as a JWK.
    """

    issuer: Name
    client_id: Name
    title: Annotated[str, Meta(min_length=1, max_length=80)] = "the account of your organisation"
    authentication: Literal["client_secret_basic", "private_key_jwt"] = "client_secret_basic"
    secret: str = ""
    scopes: Annotated[tuple[Name, ...], Meta(max_length=20)] = ("profile",)
    groups_claim: Name = "groups"
    groups: Annotated[dict[Name, StaffRole], Meta(max_length=200)] = {}
    person_claim: Name | None = None
    acr: Annotated[tuple[Name, ...], Meta(max_length=20)] = ()
    amr: Annotated[tuple[Name, ...], Meta(max_length=20)] = ()


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a provider's description (OpenID Connect Discovery 1.0) that are used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class SignInQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-in asks, and must find in the answer. `again` is the session of somebody who proves again who they are."""

    nonce: str
    verifier: str
    browser: str  # the SHA-256 of the cookie of the browser that began
    again: str | None = None


def discovery_url(issuer: str) -> str:
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def description_of(content: bytes, issuer: str) -> Description:
    """A provider's description. Raises ProviderUnusable unless it is this issuer's, and its addresses are as safe as the issuer's."""
    try:
        found = msgspec.json.decode(content, type=Description)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderUnusable("The identity provider's description is not JSON, or lacks an endpoint.") from None
    if found.issuer != issuer:
        raise ProviderUnusable("The identity provider describes another issuer than the one in the organisation's settings.")
    named = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.end_session_endpoint or issuer)
    if not all(is_safe(each, issuer) for each in named):
        raise ProviderUnusable(
            "The identity provider's description holds an address that does not begin with https://, or is none."
        )
    return found


def is_safe(address: str, base: str) -> bool:
    """Whether an address that a provider names is as safe as its own, and can stand in a header."""
    try:
        scheme = urlsplit(address).scheme
    except ValueError:
        return False
    return scheme in {"https", urlsplit(base).scheme} and _ADDRESS.fullmatch(address) is not None


def question(browser: str, again: str | None = None) -> SignInQuestion:
    return SignInQuestion(nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48), browser=digest(browser), again=again)


def challenge(verifier: str) -> str:
    """What PKCE shows of a verifier (RFC 7636, S256)."""
    return _base64(hashlib.sha256(verifier.encode()).digest())


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def authorization_url(
    settings: OidcSettings, found: Description, asked: SignInQuestion, state: str, redirect_uri: str, max_age: dt.timedelta
) -> str:
    """Where the browser goes to sign in. Somebody who proves again who they are must do so even if the provider knows them still."""
    query = {
        "response_type": "code",
        "client_id": settings.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(("openid", *settings.scopes)),
        "state": state,
        "nonce": asked.nonce,
        "code_challenge": challenge(asked.verifier),
        "code_challenge_method": "S256",
        "max_age": str(int(max_age.total_seconds())),
        **({"prompt": "login"} if asked.again else {}),
        **({"acr_values": " ".join(settings.acr)} if settings.acr else {}),
    }
    return f"{found.authorization_endpoint}{'&' if '?' in found.authorization_endpoint else '?'}{urlencode(query)}"


def code_of(query: Mapping[str, str], found: Description) -> str:
    """The code in a provider's answer. Raises SignInRefused for another issuer's answer (RFC 9207), an error, or no code."""
    issuer = query.get("iss")
    if issuer != found.issuer and (issuer is not None or found.authorization_response_iss_parameter_supported):
        raise SignInRefused("issuer", UNLIKE_OURS)
    if "error" in query:
        raise SignInRefused(
            "provider", "The identity provider did not sign you in. Start the sign-in again, or ask its administrator."
        )
    if not query.get("code"):
        raise SignInRefused("code", UNLIKE_OURS)
    return query["code"]


def token_request(
    settings: OidcSettings, secret: str, found: Description, asked: SignInQuestion, code: str, redirect_uri: str, now: dt.datetime
) -> tuple[dict[str, str], bytes]:
    """Headers and body of the request that turns a code into an ID token. `secret` is no longer sealed."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri, "code_verifier": asked.verifier}
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    if settings.authentication == "client_secret_basic":
        halves = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(halves.encode()).decode()}"
    else:
        form["client_id"] = settings.client_id
        form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        form["client_assertion"] = _assertion(settings.client_id, secret, found.token_endpoint, now)
    return headers, urlencode(form).encode()


def _assertion(client_id: str, private_key: str, audience: str, now: dt.datetime) -> str:
    """A token that proves who this service is (RFC 7523)."""
    key = jwk.ECKey.import_key(msgspec.json.decode(private_key))
    seconds = int(now.timestamp())
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": seconds,
        "exp": seconds + 60,
        "jti": secrets.token_urlsafe(16),
    }
    algorithm = ALGORITHMS[key.curve_name]
    return jwt.encode({"alg": algorithm, "kid": key.kid}, claims, key, algorithms=[algorithm])


def new_private_key(curve: Literal["P-256", "P-384"] = "P-256") -> str:
    """A new private key for `private_key_jwt`, as a JWK. SMART wants P-384."""
    key = jwk.ECKey.generate_key(curve, {"use": "sig", "alg": ALGORITHMS[curve]}, auto_kid=True)
    return msgspec.json.encode(key.as_dict(private=True)).decode()


def public_keys(private_key: str) -> dict[str, Any]:
    """The JWK Set with the public half of a private key: what the provider registers."""
    return {"keys": [jwk.ECKey.import_key(msgspec.json.decode(private_key)).as_dict(private=False)]}


def roles_of(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[StaffRole, ...]:
    """The roles that a person's groups give them, in the order of the table. A claim inside others is named with dots."""
    held = claim(claims, settings.groups_claim)
    names = {str(each) for each in held} if isinstance(held, list) else {held} if isinstance(held, str) else set()
    return tuple(dict.fromkeys(role for group, role in settings.groups.items() if group in names))


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its name, or else by its path: `realm_access.roles`. None if there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for each in name.split("."):
        found = found.get(each) if isinstance(found, Mapping) else None
    return found


def logout_url(found: Description, hint: str, settings: OidcSettings, back_to: str) -> str | None:
    """Where the browser goes to sign out at the provider too (OpenID Connect RP-Initiated Logout 1.0)."""
    if found.end_session_endpoint is None:
        return None
    query = urlencode({"id_token_hint": hint, "client_id": settings.client_id, "post_logout_redirect_uri": back_to})
    return f"{found.end_session_endpoint}{'&' if '?' in found.end_session_endpoint else '?'}{query}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
