"""A client of the running application, in the process of the test."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.tokens import mint
from ipt_workflow.api.app import Application
from ipt_workflow.api.services import FrontDesk
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import tokens
from ipt_workflow.store.database import Connection
from ipt_workflow.store.tokens import TokenRecord
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
    """A new token for every role, as the service makes them, but in one transaction: almost every test begins with this."""
    clinic: Clinic = application.litestar.state.front_desk.first.clinic
    now = clinic.clock.now()
    made = [(mint(), role, now + dt.timedelta(days=clinic.settings.token_days)) for role in ROLES]

    def insert(connection: Connection, organisation: str) -> None:
        for minted, role, expires_at in made:
            record = TokenRecord(
                id=minted.id, role=role, name=role, subject=f"{role}-1", created_at=now, expires_at=expires_at, source=None
            )
            tokens.insert(connection, organisation, record, minted.secret_hash)

    await clinic.write(insert)
    await asyncio.gather(*(clinic.log(OPERATOR, "config", f"token {minted.id} created") for minted, *_ in made))
    return {role: minted.text for minted, role, _ in made}


@asynccontextmanager
async def running(settings: Settings, clock: VirtualClock | None = None) -> AsyncIterator[Api]:
    application = Application(settings, clock)
    async with application.litestar.lifespan():
        texts = await role_tokens(application)
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ipt") as client:
            yield Api(client, texts, application)
