"""How a page is made: a template, its headers, and the addresses in it.

Only pages with passkeys run a script, a file of this service. Their style is one file of this service, and every form goes to this service.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.datastructures.state import State
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.utils.scope.state import ScopeState

from ipt_workflow.runtime.settings import Settings

HERE = Path(__file__).parent
POLICY = "default-src 'self'; frame-ancestors 'none'; form-action 'self'; base-uri 'none'; object-src 'none'"
TYPES = {"style.css": "text/css", "passkey.js": "text/javascript", "icon.svg": "image/svg+xml"}
A_YEAR = 31_536_000
PageRequest = Request[Any, Any, State]

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


@cache
def asset(name: str) -> tuple[bytes, str]:
    """A file of the pages, and the digest that its address ends with, so that a browser keeps it until it changes."""
    content = (HERE / "static" / name).read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:12]


def root(settings: Settings) -> str:
    """What every path begins with, as browsers see it: the path of the setting `public_url`."""
    return urlsplit(settings.public_url).path


def page(request: PageRequest, template: str, status: int = 200, **context: Any) -> Response[bytes]:
    """A page. Its forms carry the token against forgery."""
    token = ScopeState.from_scope(request.scope).csrf_token
    text = _environment.get_template(template).render(
        root=root(request.app.state.settings),
        style=asset("style.css")[1],
        csrf_token=token if isinstance(token, str) else "",
        **context,
    )
    return Response(text.encode(), status_code=status, media_type="text/html", headers={"Content-Security-Policy": POLICY})


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
async def static(name: FromPath[str]) -> Response[bytes]:
    """A file of the pages."""
    if name not in TYPES:
        raise NotFoundException
    headers = {"Cache-Control": f"public, max-age={A_YEAR}, immutable"}
    return Response(asset(name)[0], media_type=TYPES[name], headers=headers)
