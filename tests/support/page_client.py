"""A client of the application with its pages, in the process of the test, and sessions without an identity provider."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from ipt_workflow.api.app import Application
from ipt_workflow.api.services import FrontDesk
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.sessions import SignedIn, SignInSessions
from ipt_workflow.service.access.tokens import NewToken, Tokens
from ipt_workflow.store import people
from ipt_workflow.web.app import application
from support.browsing import Browser
from support.http_client import OPERATOR, Api, role_tokens


class Pages:
    """The service with its pages. Browsers and programs are told apart by their headers alone."""

    def __init__(self, client: httpx.AsyncClient, application: Application) -> None:
        desk: FrontDesk = application.litestar.state.front_desk
        self.client = client
        self.application = application
        self.clinic = desk.clinics.first
        self.credentials = desk.credentials
        self.sessions = SignInSessions(self.clinic)

    async def signed_in(self, person: str = "therapist-1", roles: Sequence[str] = ("therapist",)) -> SignedIn:
        for role in roles:
            await self.clinic.write(people.make_known, person, role, self.clinic.clock.now())
        return await self.sessions.begin(person, roles, "link", authenticated_at=self.clinic.clock.now())

    async def visitor(self, person: str = "therapist-1", *roles: str, language: str = "en") -> Browser:
        """A browser in which somebody is signed in, by default as a therapist."""
        signed_in = await self.signed_in(person, roles or ("therapist",))
        return Browser(self.client, signed_in.secret.cookie, language)

    async def api(self) -> Api:
        """A client of the same service over HTTP, with a token for every role: therapist-1, supervisor-1 and so on."""
        return Api(self.client, await role_tokens(self.application), self.application)

    async def get(self, path: str, cookie: str = "", **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=_headers({"__Host-ipt": cookie}, headers))

    async def post(self, path: str, cookie: str, fields: dict[str, str] | None = None, **headers: str) -> httpx.Response:
        """A form as a browser sends it from a page of this service."""
        page = await self.get("/", cookie)
        token = page.cookies.get("__Host-csrf") or ""
        self.client.cookies.clear()
        named = _headers({"__Host-ipt": cookie, "__Host-csrf": token}, {"Sec_Fetch_Site": "same-origin", **headers})
        return await self.client.post(path, data={"_csrf_token": token, **(fields or {})}, headers=named)

    async def token(self, role: str, person: str) -> str:
        new = NewToken(role=role, name=person, subject=person)  # type: ignore[arg-type]
        return (await Tokens(self.clinic).create(OPERATOR, new)).token


def _headers(cookies: dict[str, str], headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [f"{name}={value}" for name, value in cookies.items() if value]
    return {**({"Cookie": "; ".join(pairs)} if pairs else {}), **named}


@asynccontextmanager
async def running(settings: Settings, clock: VirtualClock, caller: str = "127.0.0.1") -> AsyncIterator[Pages]:
    """A service with pages, which somebody at an address calls."""
    made = application(settings, clock)
    async with made.litestar.lifespan():
        transport = httpx.ASGITransport(app=made, raise_app_exceptions=False, client=(caller, 5000))
        async with httpx.AsyncClient(transport=transport, base_url="https://ipt.example") as client:
            yield Pages(client, made)
