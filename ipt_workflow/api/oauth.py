"""OAuth 2.0 for systems: the token endpoint of SMART Backend Services, and what SMART says of this service."""

from urllib.parse import parse_qsl

import msgspec
from litestar import Response, get, post

from ipt_workflow.access.key_sets import KEY_TYPES
from ipt_workflow.api import oauth_errors, scopes
from ipt_workflow.api.addresses import absolute
from ipt_workflow.api.fhir_queries import BASE, FORM
from ipt_workflow.api.request_reader import incoming_of
from ipt_workflow.api.requests import ApiRequest, media_type
from ipt_workflow.api.services import front_desk
from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.ehr.smart.access_tokens import IssuedToken
from ipt_workflow.errors import TokenRefused

WELL_KNOWN = "/.well-known/smart-configuration"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
GRANT = "client_credentials"
FIELDS_MAX = 20


class SmartConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What a system needs to know to get a token. `code_challenge_methods_supported` is demanded of every server by SMART."""

    token_endpoint: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("private_key_jwt",)
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = tuple(KEY_TYPES)
    grant_types_supported: tuple[str, ...] = (GRANT,)
    scopes_supported: tuple[str, ...]
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    capabilities: tuple[str, ...] = ("client-confidential-asymmetric", "permission-v1", "permission-v2")


@post(oauth_errors.PATH, summary="Get an access token", tags=["oauth"], status_code=200)
async def token(request: ApiRequest) -> Response[IssuedToken]:
    """SMART Backend Services: a form with `grant_type=client_credentials`, `scope`, `client_assertion_type` and `client_assertion`."""
    try:
        fields = await _fields(request)
        service = front_desk(request.scope).access_tokens
        request_id = str(request.scope.get("ipt_request_id") or "") or None
        issued = await service.issue(fields["client_assertion"], fields["scope"], absolute(request, oauth_errors.PATH), request_id)
    except TokenRefused as error:
        status = 401 if error.code == "invalid_client" else 400
        return oauth_errors.response(status, error.code, str(error))  # type: ignore[return-value]
    return Response(issued, headers=oauth_errors.NO_STORE)


async def _fields(request: ApiRequest) -> dict[str, str]:
    """The form's fields. Raises TokenRefused."""
    if media_type(request) != FORM:
        raise _malformed(f"The body must be {FORM}.")
    try:
        pairs = parse_qsl((await incoming_of(request).body()).decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise _malformed(f"The form must be ASCII, with at most {FIELDS_MAX} fields.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise _malformed("A field comes more than once. Send each once.")
    if "grant_type" not in fields:
        raise _malformed(f"The field grant_type is missing: send {GRANT}.")
    if fields["grant_type"] != GRANT:
        raise TokenRefused("unsupported_grant_type", f"The grant_type must be {GRANT}.")
    if request.headers.get("authorization") or fields.get("client_assertion_type") != ASSERTION_TYPE:
        raise TokenRefused("invalid_client", f"A system proves itself by a client_assertion of the type {ASSERTION_TYPE}.")
    for name in ("client_assertion", "scope"):
        if not fields.get(name):
            raise _malformed(f"The field {name} is missing.")
    return fields


def _malformed(sentence: str) -> TokenRefused:
    return TokenRefused("invalid_request", sentence)


def _configuration(request: ApiRequest) -> SmartConfiguration:
    return SmartConfiguration(token_endpoint=absolute(request, oauth_errors.PATH), scopes_supported=scopes.supported(KINDS))


@get(WELL_KNOWN, summary="The SMART configuration", tags=["oauth"])
async def configuration(request: ApiRequest) -> SmartConfiguration:
    """Where and how systems get access tokens, and for which scopes."""
    return _configuration(request)


@get(f"{BASE}{WELL_KNOWN}", summary="The SMART configuration of the FHIR base", tags=["oauth"])
async def configuration_of_fhir(request: ApiRequest) -> SmartConfiguration:
    """The same, below the FHIR base, where SMART looks for it."""
    return _configuration(request)


OPEN_HANDLERS = (token, configuration, configuration_of_fhir)
