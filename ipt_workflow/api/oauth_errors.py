"""Errors of the token endpoint, as RFC 6749 (5.2) writes them."""

import msgspec
from litestar import Response

PATH = "/oauth/token"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_OF_PROBLEM = {"busy": "temporarily_unavailable", "internal": "server_error"}  # of RFC 6749, 4.1.2.1: 5.2 has no code for these


class OAuthError(msgspec.Struct, frozen=True):
    error: str
    error_description: str


def response(status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> Response[bytes]:
    """`sentence` is in ASCII, without quotation marks and backslashes, as RFC 6749 wants it."""
    described = "".join(each for each in sentence if " " <= each <= "~" and each not in '"\\')
    body = msgspec.json.encode(OAuthError(code, described))
    return Response(body, status_code=status, media_type="application/json", headers={**NO_STORE, **(headers or {})})


def of_problem(status: int, slug: str, detail: str, headers: dict[str, str] | None) -> Response[bytes]:
    """A problem that has to do with the request or the service, and not with the caller's right to a token."""
    return response(status, _OF_PROBLEM.get(slug, "invalid_request"), detail, headers)
