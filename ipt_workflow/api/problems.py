"""Problem documents (RFC 9457): one row for each kind, and how errors become problems.

No problem document contains a stack, SQL or text about a client.
"""

from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from ipt_workflow import errors
from ipt_workflow.api import fhir_outcomes as outcomes
from ipt_workflow.api import hook_answers, oauth_errors
from ipt_workflow.api.addresses import public
from ipt_workflow.errors import Fault, IptError
from ipt_workflow.runtime import logs

PROBLEM_JSON = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """A kind of problem. `type` on the wire is `/problems/<slug>`; `means` documents it."""

    slug: str
    status: int
    title: str
    means: str


_ROWS = (
    Problem("malformed", 400, "Malformed request", "The body is not valid JSON, a header or cursor is malformed, or a header comes twice. Correct it and send the request again."),
    Problem("unauthenticated", 401, "Authentication needed", "The token is missing, unknown, expired or revoked; or a notice has no valid signature. Send a valid token; sign a notice with the secret or key of its source."),
    Problem("reauthentication-needed", 401, "Sign in again", "The person signed in too long ago for this. They sign in again, and then send the request with the new session."),
    Problem("person-needed", 403, "A person is needed", "A fixed token cannot do this. A person signs in and uses the access token of their session."),
    Problem("sign-in-refused", 403, "Sign-in refused", "An identity provider's answer, a link or a choice of role does not let somebody in. Start the sign-in again."),
    Problem("forbidden", 403, "Not permitted", "The caller's role does not allow this. Ask somebody whose role does. At `/v1/ehr/messages` also: the token is bound to no source, or to a disabled one."),
    Problem("trigger-not-permitted", 403, "Trigger not permitted", "The caller's role may never fire this trigger; `roles` lists those that may. The attempt is recorded."),
    Problem("processing-restricted", 403, "Processing is restricted", "Processing of this client's data is restricted (GDPR 18); `ground` says why. Those who treat the client read it, and record what is never blocked. The attempt is recorded."),
    Problem("scope-missing", 403, "Scope missing", "The scopes of the caller's token do not cover this; `scope` would. Ask an administrator for it. The attempt is recorded."),
    Problem("not-found", 404, "Not found", "There is no such path or resource, or the caller may not see it. Check the URL."),
    Problem("method-not-allowed", 405, "Method not allowed", "The path does not support this method; `Allow` lists those that it supports."),
    Problem("not-acceptable", 406, "Not acceptable", "FHIR resources are served as JSON only. Ask for application/fhir+json in `Accept` or `_format`."),
    Problem("transition-refused", 409, "Transition refused", "One or more rules refuse the trigger; `refusals` lists each with its remedies. The refusal is recorded."),
    Problem("group-refused", 409, "Refused by a rule of groups", "One or more rules of groups refuse the request; `refusals` lists each with its remedies. The refusal is recorded."),
    Problem("group-session-refused", 409, "Group session refused", "With `all`, a session is recorded for every member or for nobody. `members` lists the courses that refuse it, with their refusals. The refusal is recorded."),
    Problem("emergency-reviewed", 409, "Reviewed already", "A supervisor has reviewed the emergency access already, and their judgement stands. Read it to see the review."),
    Problem("record-held", 409, "On hold", "A hold on the client's record stops an erasure or the end of a retention period; `holds` lists those in force. End a hold that is over, then try again."),
    Problem("notice-reused", 409, "Notice id reused", "This notice id was used before with another body. Send a changed notice under a new id. The attempt is recorded."),
    Problem("subscription-exists", 409, "Subscription exists", "A subscription of the organisation has the same URL, types, courses and scope; `subscription` is its id. Use, change, resume or delete that one. For a new secret, rotate its keys."),
    Problem("key-in-flight", 409, "Request still running", "A request with the same Idempotency-Key is still running. Send it again a little later."),
    Problem("timeout", 408, "Too slow", "The head or the body of the request did not arrive in time. The connection is closed. Send it again, faster."),
    Problem("stale-version", 412, "Version is stale", "The course or group has changed since the version in If-Match, or the proposal no longer waits. Read it again; `version` is the present one."),
    Problem("too-large", 413, "Body too large", "The body is larger than the setting `body_bytes_max`. Send less."),
    Problem("uri-too-long", 414, "URL too long", "The URL is longer than the 64 KiB that the head of a request may have. The connection is closed. Use the search with a body."),
    Problem("unsupported-media-type", 415, "Unsupported media type", "The body must have the content type application/json; at /v1/ehr/fhir also application/fhir+json."),
    Problem("invalid", 422, "Not valid", "The request is well-formed, but some fields are not valid. `errors` lists every one: where it is and what would be valid."),
    Problem("key-reused", 422, "Idempotency key reused", "The Idempotency-Key was used before with another body. Use a new key for a new request."),
    Problem("version-required", 428, "Version required", "A write to a course or group needs If-Match with the version that the caller saw."),
    Problem("quota-exceeded", 429, "Too many requests", "The credential, its organisation, or an address without a valid credential sent more requests than it may; `violated-policies` says which. Try again after the seconds in `Retry-After`, and send fewer at a time."),
    Problem("head-too-large", 431, "Head too large", "The head of the request or its trailers have more than 64 KiB, or more than 100 headers. The connection is closed. Send less."),
    Problem("internal", 500, "Internal error", "An error occurred in the service. Report the request id; it finds the error in the logs."),
    Problem("provider-unusable", 502, "Identity provider unusable", "An identity provider cannot be reached, or says of itself what it must not. Try again; if it stays, ask the operator."),
    Problem("busy", 503, "Busy", "The service cannot take the request now. Try again after the seconds in `Retry-After`."),
)  # fmt: skip
PROBLEMS = {problem.slug: problem for problem in _ROWS}

_BY_ERROR: dict[type[IptError], str] = {
    errors.CommandMalformed: "malformed",
    errors.Unauthenticated: "unauthenticated",
    errors.ReauthenticationNeeded: "reauthentication-needed",
    errors.PersonNeeded: "person-needed",
    errors.SignInRefused: "sign-in-refused",
    errors.ProviderUnusable: "provider-unusable",
    errors.TriggerNotPermitted: "trigger-not-permitted",
    errors.Forbidden: "forbidden",
    errors.ScopeMissing: "scope-missing",
    errors.SourceUnbound: "forbidden",
    errors.NotFound: "not-found",
    errors.TransitionRefused: "transition-refused",
    errors.GroupRefused: "group-refused",
    errors.GroupSessionRefused: "group-session-refused",
    errors.KeyInFlight: "key-in-flight",
    errors.NoticeReused: "notice-reused",
    errors.EmergencyReviewed: "emergency-reviewed",
    errors.RecordHeld: "record-held",
    errors.ProcessingRestricted: "processing-restricted",
    errors.SubscriptionExists: "subscription-exists",
    errors.StaleVersion: "stale-version",
    errors.CommandInvalid: "invalid",
    errors.KeyReused: "key-reused",
    errors.VersionRequired: "version-required",
    errors.QuotaExceeded: "quota-exceeded",
    errors.Busy: "busy",
    errors.DatabaseNotReady: "busy",
    errors.SecretUnreadable: "busy",  # the operator gave other keys: nothing is wrong with the request
}
_MEMBER: dict[type[IptError], tuple[str, str]] = {  # errors with one more member: its name, and the attribute that holds it
    errors.GroupRefused: ("refusals", "refusals"),
    errors.GroupSessionRefused: ("members", "members"),
    errors.RecordHeld: ("holds", "holds"),
    errors.ProcessingRestricted: ("ground", "ground"),
    errors.StaleVersion: ("version", "current"),
    errors.SubscriptionExists: ("subscription", "existing"),
}
_BY_STATUS = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    413: "too-large",
    415: "unsupported-media-type",
}


def response(
    request: Request[Any, Any, Any], slug: str, detail: str, headers: dict[str, str] | None = None, **extra: Any
) -> Response[bytes]:
    problem, path = PROBLEMS[slug], request.scope["path"]
    if path == oauth_errors.PATH:
        return oauth_errors.of_problem(problem.status, slug, detail, headers)
    if outcomes.is_fhir(path):
        status = 400 if slug == "invalid" else problem.status  # FHIR wants 400 for a parameter that is not valid
        return outcomes.response(status, slug, problem.title, detail, headers, extra)
    if hook_answers.in_fhir(request):
        return outcomes.response(problem.status, slug, problem.title, detail, headers, extra)
    body = {
        "type": f"/problems/{slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": detail,
        "instance": public(request, path),
        **extra,
    }
    return Response(msgspec.json.encode(body), status_code=problem.status, media_type=PROBLEM_JSON, headers=headers or {})


def slug_of(error: IptError) -> str:
    """The kind of problem that an error is; `internal` if no kind is meant for it."""
    return next((_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR), "internal")


def from_error(request: Request[Any, Any, Any], error: IptError) -> Response[bytes]:
    """An IptError as a problem document."""
    slug = slug_of(error)
    if slug == "internal":
        return from_unexpected(request, error)
    if isinstance(error, errors.TransitionRefused):
        fields: dict[str, Any] = {
            "trigger": error.trigger,
            "state": error.state,
            "version": error.version,
            "together": error.together,
            "refusals": error.refusals,
        }
        return response(request, slug, error.summary, **fields)
    if named := next((_MEMBER[kind] for kind in type(error).__mro__ if kind in _MEMBER), None):
        return response(request, slug, str(error), **{named[0]: getattr(error, named[1])})
    if isinstance(error, errors.CommandInvalid):
        detail = f"{len(error.faults)} field{' is' if len(error.faults) == 1 else 's are'} not valid"
        return response(request, slug, detail, errors=error.faults)
    if isinstance(error, errors.TriggerNotPermitted):
        return response(request, slug, str(error), trigger=error.trigger, roles=error.allowed)
    if isinstance(error, errors.QuotaExceeded):
        return response(request, slug, str(error), _headers(error, slug), **{"violated-policies": [error.policy]})
    if isinstance(error, errors.ScopeMissing):
        return response(request, slug, str(error), _headers(error, slug), scope=error.scope)
    return response(request, slug, str(error), _headers(error, slug))


def _headers(error: IptError, slug: str) -> dict[str, str]:
    """What the answer to an error says in its head: how to authenticate, or when to try again."""
    wanted = ""
    if isinstance(error, errors.ScopeMissing):  # RFC 6750
        wanted = f', error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, errors.ReauthenticationNeeded):  # RFC 9470
        wanted = f', error="insufficient_user_authentication", max_age="{int(error.within.total_seconds())}"'
    if wanted or slug == "unauthenticated":
        return {"WWW-Authenticate": f'Bearer realm="ipt"{wanted}'}
    if isinstance(error, errors.Busy | errors.QuotaExceeded):
        return {"Retry-After": str(error.retry_seconds)}
    if slug == "busy":
        return {"Retry-After": str(errors.Busy.retry_seconds)}
    return {}


def from_http(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """The framework's own errors: unknown paths and methods, bad parameters, large bodies."""
    if isinstance(error, ValidationException):
        faults = [
            Fault(str(each.get("key", "")), str(each.get("message", ""))) for each in error.extra or [] if isinstance(each, dict)
        ]
        return response(request, "invalid", "The parameters are not valid", errors=faults)
    slug = _BY_STATUS.get(error.status_code)
    if slug is None:
        return from_unexpected(request, error)
    allowed = {name: _with_head(value) for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    return response(request, slug, PROBLEMS[slug].means, allowed)


def _with_head(methods: str) -> str:
    """The methods of a path. The edge answers HEAD wherever there is GET."""
    named = {each.strip() for each in methods.split(",")}
    return ", ".join(sorted(named | ({"HEAD"} if "GET" in named else set())))


def from_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any other error: logged once, without its message, and answered with a request id alone."""
    log_unexpected(error)
    return response(
        request,
        "internal",
        "An unexpected error occurred. Report the request id to the service's administrator.",
        request_id=request.scope.get("ipt_request_id"),
    )


def log_unexpected(error: Exception) -> None:
    logs.logger().error("request failed", exc_info=error)


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Any error as a problem document, by the handler of its most specific class."""
    kind = next(kind for kind in type(error).__mro__ if kind in HANDLERS)
    response: Response[bytes] = HANDLERS[kind](request, error)
    return response


HANDLERS: dict[type[Exception] | int, Any] = {IptError: from_error, HTTPException: from_http, Exception: from_unexpected}
