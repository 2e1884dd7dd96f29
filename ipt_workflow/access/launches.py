"""SMART App Launch, as the app that an EHR opens: what is asked of the EHR, and what is believed of its answer. Pure.

The EHR is named by the URL of its FHIR server (`iss`). It signs people in, and says beside its token which client is in context.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from ipt_workflow.access import oidc
from ipt_workflow.access.oidc import Description, OidcSettings, SignInQuestion
from ipt_workflow.errors import ProviderUnusable, SignInRefused
from ipt_workflow.values.types import whole

SCOPES = "openid fhirUser launch"
LAUNCH = re.compile(r"[\x21-\x7e]{1,2000}")  # opaque to this service
_FHIR_USER = re.compile(r"(?:.*/)?(Practitioner|PractitionerRole|Person)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
_Text = Annotated[str, Meta(min_length=1, max_length=255, pattern=whole(r"[\x21-\x7e]+"))]


class EhrSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An EHR that may open courses. `iss` is the URL of its FHIR server, and `client_id` how it knows this service.

    `secret` is sealed: with `private_key_jwt` a private key as a JWK, otherwise a shared secret. `client_prefix` goes before the id of
    a FHIR Patient to make a client reference. With `knows_persons`, the id in `fhirUser` is the person's id here.
    """

    iss: _Text
    client_id: _Text
    authentication: Literal["private_key_jwt", "client_secret_basic"] = "private_key_jwt"
    secret: str
    client_prefix: Annotated[str, Meta(max_length=64, pattern=whole(r"[!-~]*"))] = ""
    knows_persons: bool = False


class SmartServer(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an EHR's `.well-known/smart-configuration` that are used."""

    authorization_endpoint: str
    token_endpoint: str
    issuer: str | None = None
    code_challenge_methods_supported: tuple[str, ...] = ()

    def description(self, iss: str) -> Description:
        """The same in the form of an identity provider's description. Keys are found at the issuer."""
        return Description(
            issuer=self.issuer or iss,
            authorization_endpoint=self.authorization_endpoint,
            token_endpoint=self.token_endpoint,
            jwks_uri="",
        )


class LaunchQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a launch asks, and by which EHR."""

    asked: SignInQuestion
    iss: str


class LaunchContext(msgspec.Struct, frozen=True, kw_only=True):
    """What an EHR says beside its token: the Patient in context."""

    id_token: str
    patient: Annotated[str, Meta(min_length=1, max_length=64, pattern=whole(r"[A-Za-z0-9.-]+"))]


def same(one: str, other: str) -> bool:
    """Whether two URLs name the same FHIR server: a slash at the end makes no difference."""
    return one.rstrip("/") == other.rstrip("/")


def configuration_url(iss: str) -> str:
    return f"{iss.rstrip('/')}/.well-known/smart-configuration"


def server_of(content: bytes, iss: str) -> SmartServer:
    """An EHR's configuration. Raises ProviderUnusable unless it takes PKCE, and its addresses are as safe as its own."""
    try:
        found = msgspec.json.decode(content, type=SmartServer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProviderUnusable("The SMART configuration of the EHR is not JSON, or lacks an endpoint.") from None
    if "S256" not in found.code_challenge_methods_supported:
        raise ProviderUnusable("The EHR does not take PKCE with S256, which SMART 2 demands.")
    named = (found.authorization_endpoint, found.token_endpoint, found.issuer or iss)
    if not all(oidc.is_safe(each, iss) for each in named):
        raise ProviderUnusable("The SMART configuration of the EHR holds an address that does not begin with https://, or is none.")
    return found


def settings_of(ehr: EhrSettings, server: SmartServer) -> OidcSettings:
    """The EHR as the identity provider that it is here too."""
    return OidcSettings(
        issuer=server.issuer or ehr.iss, client_id=ehr.client_id, authentication=ehr.authentication, secret=ehr.secret
    )


def authorization_url(
    ehr: EhrSettings, server: SmartServer, asked: SignInQuestion, state: str, redirect_uri: str, launch: str
) -> str:
    """Where the browser goes, so that the EHR says who it is and which client is in context."""
    query = {
        "response_type": "code",
        "client_id": ehr.client_id,
        "redirect_uri": redirect_uri,
        "scope": SCOPES,
        "state": state,
        "nonce": asked.nonce,
        "aud": ehr.iss,
        "launch": launch,
        "code_challenge": oidc.challenge(asked.verifier),
        "code_challenge_method": "S256",
    }
    return f"{server.authorization_endpoint}{'&' if '?' in server.authorization_endpoint else '?'}{urlencode(query)}"


def context_of(content: bytes) -> LaunchContext:
    """The context in the answer of a token endpoint. Raises SignInRefused."""
    try:
        return msgspec.json.decode(content, type=LaunchContext)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        message = "The EHR named no client in context, or nobody who is signed in. Open the course from the client's record."
        raise SignInRefused("context", message) from None


def fhir_user(claims: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and id of the FHIR resource that describes the person, if the EHR names one."""
    named = claims.get("fhirUser")
    found = _FHIR_USER.fullmatch(named) if isinstance(named, str) and len(named) <= 2000 else None
    return (found[1], found[2]) if found else None
