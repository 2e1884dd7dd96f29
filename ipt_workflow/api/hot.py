"""Firing triggers without the router around it.

Nearly all that a busy service is asked is `POST /v1/courses/{id}/transitions`, and finding that out cost more than deciding the
trigger (`docs/performance.md`). This runs the very handler that the router would run, for the same request, with the same
authentication and the same problem documents. Everything else, and a firing with a query, goes on to the router.
"""

import re
from typing import Any

from litestar import Litestar, Request
from litestar.routes import HTTPRoute
from litestar.types import Receive, Send

from ipt_workflow.api import problems, transitions
from ipt_workflow.api.auth import authenticate

PATH = re.compile(r"/v1/courses/([0-9a-f-]{36})/transitions")
TEMPLATE = "/v1/courses/{course_id:str}/transitions"


class HotRoute:
    """An ASGI application before the router. `app` is the router's."""

    def __init__(self, app: Litestar) -> None:
        self.app = app
        routes = [route for route in app.routes if isinstance(route, HTTPRoute) and route.path == TEMPLATE]
        self._handler = next(handler for handler in routes[0].route_handlers if "POST" in handler.http_methods)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        match = PATH.fullmatch(scope["path"]) if scope["method"] == "POST" and not scope["query_string"] else None
        if match is None:
            await self.app(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self.app
        scope.setdefault("state", {})
        scope["route_handler"] = self._handler
        scope["path_template"] = TEMPLATE
        scope["path_params"] = {"course_id": match[1]}
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        try:
            await authenticate(scope)
            response = await transitions.fire.fn(request, course_id=match[1])
        except Exception as error:  # noqa: BLE001 - as the router does: every error is answered with a problem document
            response = problems.answer(request, error)
        await response.to_asgi_response(None, request)(scope, receive, send)
