"""A client of the running application, in the process of the test."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ipt_workflow.access.principal import Principal
from ipt_workflow.api.app import Application
from ipt_workflow.api.services import FrontDesk
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.tokens import NewToken, Tokens
from support import service_walk

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
OPERATOR = Principal(person="operator", role="admin", via="cli")
ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin", "operator")


class Api:
    """A client of the running application that knows a token for every role, and the course it works on."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str], application: Application) -> None:
        self.client = client
        self.tokens = tokens
        self.application = application
        self.front_desk: FrontDesk = application.litestar.state.front_desk
        self.services = self.front_desk.first
        self.clinic = self.services.clinic

    def headers(self, role: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}", **{name.replace("_", "-"): value for name, value in more.items()}}

    async def get(self, path: str, role: str = "therapist", **more: str) -> httpx.Response:
        return await self.client.get(path, headers=self.headers(role, **more))

    async def post(self, path: str, body: Any = None, role: str = "therapist", **more: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=self.headers(role, **more))

    async def open(self, ref: str = "EHR-1", **more: Any) -> dict[str, Any]:
        """A new course of therapist-1."""
        body = {
            "client_ref": ref,
            "protocol": "ipt",
            "data": {"source": "General practitioner", "indication": "depression"},
            **more,
        }
        answer = await self.post("/v1/courses", body)
        assert answer.status_code == 201, answer.text
        return answer.json()["course"]

    async def fire(self, course: str, trigger: str, data: Any = None, role: str = "therapist", **more: Any) -> httpx.Response:
        """Fires on the present version."""
        version = (await self.version(course)) if "version" not in more else more.pop("version")
        return await self.post(
            f"/v1/courses/{course}/transitions", {"trigger": trigger, "data": data or {}, **more}, role, If_Match=f'"{version}"'
        )

    async def version(self, course: str) -> int:
        return (await self.get(f"/v1/courses/{course}", "supervisor")).json()["version"]

    async def options(self, course: str, role: str = "therapist") -> dict[str, Any]:
        found = (await self.get(f"/v1/courses/{course}/options", role)).json()
        return {item["trigger"]: item for item in found["items"]}

    async def example(self, course: str, trigger: str, role: str = "therapist") -> httpx.Response:
        """Fires the example that options offers."""
        body = (await self.options(course, role))[trigger]["example"]
        return await self.post(f"/v1/courses/{course}/transitions", body, role, If_Match=f'"{await self.version(course)}"')

    async def walk(self, course: str, *triggers: str) -> None:
        """Fires the examples that options offers."""
        for trigger in triggers:
            version, body = await service_walk.offered(self.clinic, course, trigger)
            answer = await self.post(f"/v1/courses/{course}/transitions", body, If_Match=f'"{version}"')
            assert answer.status_code == 201, (trigger, answer.text)


async def role_tokens(application: Application) -> dict[str, str]:
    """A new token for every role."""
    service: Tokens = application.litestar.state.front_desk.first.tokens
    wanted = [NewToken(role=role, name=role, subject=f"{role}-1") for role in ROLES]  # type: ignore[arg-type]
    made = await asyncio.gather(*(service.create(OPERATOR, each) for each in wanted))
    return {each.role: token.token for each, token in zip(wanted, made, strict=True)}


@asynccontextmanager
async def running(settings: Settings, clock: VirtualClock | None = None) -> AsyncIterator[Api]:
    application = Application(settings, clock)
    async with application.litestar.lifespan():
        tokens = await role_tokens(application)
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ipt") as client:
            yield Api(client, tokens, application)
