"""The addresses of this service that leave it. A request's `Host` and `X-Forwarded-…` never shape one: a caller could forge them."""

from typing import Any, Protocol

from litestar.datastructures import State


class ServedApp(Protocol):
    @property
    def state(self) -> State: ...


class ServedRequest(Protocol):
    """The parts of a request that its addresses need."""

    @property
    def scope(self) -> Any: ...
    @property
    def app(self) -> ServedApp: ...


def public(request: ServedRequest, path: str) -> str:
    """A path of this service as callers reach it: a URL with the setting `public_url`, otherwise the path alone."""
    return f"{request.app.state.settings.public_url}{path}"


def absolute(request: ServedRequest, path: str) -> str:
    """The URL of a path. Without the setting `public_url`, it begins with the address at which this process was reached."""
    return f"{request.app.state.settings.public_url or _listening(request)}{path}"


def of_pages(request: ServedRequest) -> str:
    """The address of the pages, as browsers reach them. Without the setting `public_url`, this machine by its name."""
    settings = request.app.state.settings
    _, port = request.scope.get("server") or (None, None)
    return settings.public_url or f"http://localhost:{port or settings.port}"


def _listening(request: ServedRequest) -> str:
    settings = request.app.state.settings
    host, port = request.scope.get("server") or (settings.host, settings.port)
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}" if port is None else f"http://{host}:{port}"
