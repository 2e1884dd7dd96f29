"""How a page is made: a template, its headers, and the addresses in it.

Only pages with passkeys run a script, a file of this service. Their styles are files of this service, and every form goes to this service.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.datastructures.state import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.utils.scope.state import ScopeState

from ipt_workflow.runtime.settings import Settings
from ipt_workflow.store.access import StoredSession
from ipt_workflow.web import environment, navigation
from ipt_workflow.web.language import reader

HERE = Path(__file__).parent
POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'"
TYPES = {"govuk.css": "text/css", "ipt.css": "text/css", "passkey.js": "text/javascript", "icon.svg": "image/svg+xml"}
A_YEAR = 31_536_000
PageRequest = Request[Any, Any, State]

_environment = environment.made()


class Asset(msgspec.Struct, frozen=True):
    """A file of the pages. Its address ends with the digest, so that a browser keeps it until it changes."""

    content: bytes
    packed: bytes
    digest: str


@cache
def asset(name: str) -> Asset:
    """A file of the pages. `ipt.css` is all style sheets of our own, in the order of their names."""
    parts = sorted((HERE / "styles").glob("*.css")) if name == "ipt.css" else [HERE / "static" / name]
    content = b"".join(part.read_bytes() for part in parts)
    return Asset(content, gzip.compress(content, mtime=0), hashlib.sha256(content).hexdigest()[:12])


def root(settings: Settings) -> str:
    """What every path begins with, as browsers see it: the path of the setting `public_url`."""
    return urlsplit(settings.public_url).path


def page(request: PageRequest, template: str, status: int = 200, **context: Any) -> Response[bytes]:
    """A page. Its forms carry the token against forgery."""
    token = ScopeState.from_scope(request.scope).csrf_token
    above = root(request.app.state.settings)
    session: StoredSession | None = request.scope.get("ipt_session")  # type: ignore[assignment]
    text = _environment.get_template(template).render(
        root=above,
        language=reader().language,
        asset=asset,
        csrf_token=token if isinstance(token, str) else "",
        visitor=session,
        visitor_name=request.scope.get("ipt_name", ""),
        places=navigation.places(session.role, request.url.path.removeprefix(above), above) if session else [],
        **context,
    )
    headers = {"Content-Security-Policy": POLICY, "Content-Language": reader().language, "Vary": "Accept-Language"}
    return Response(text.encode(), status_code=status, media_type="text/html", headers=headers)


def redirect(request: PageRequest, path: str) -> Response[None]:
    """Sends the browser to another page of this service, with GET."""
    return Response(None, status_code=303, headers={"Location": root(request.app.state.settings) + path})


def cookie(name: str, value: str, max_age: int | None = None) -> Cookie:
    """A cookie of this host alone, which no script reads. Browsers take it on http://localhost too."""
    return Cookie(key=name, value=value, path="/", secure=True, httponly=True, samesite="lax", max_age=max_age)


def no_cookie(name: str) -> Cookie:
    """Removes a cookie."""
    return cookie(name, "", max_age=0)


@get("/static/{name:str}", include_in_schema=False)
async def static(request: PageRequest, name: FromPath[str]) -> Response[bytes]:
    """A file of the pages, packed for browsers that take it so."""
    if name not in TYPES:
        raise NotFoundException
    found, packed = asset(name), "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": f"public, max-age={A_YEAR}, immutable", "Vary": "Accept-Encoding"}
    headers |= {"Content-Encoding": "gzip"} if packed else {}
    return Response(found.packed if packed else found.content, media_type=TYPES[name], headers=headers)
