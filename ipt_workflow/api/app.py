"""The application: routes, error handlers, and the service behind them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.types import Receive, Scope, Send

import ipt_workflow
from ipt_workflow.api import (
    access,
    audit,
    break_glass,
    client_labels,
    courses,
    credentials,
    erasures,
    feed,
    fhir,
    fhir_compartments,
    groups,
    health,
    log,
    marks,
    messages,
    notices,
    oauth,
    openapi,
    organisations,
    people,
    privacy_exports,
    privacy_reports,
    problems,
    proposals,
    protocols,
    retention,
    sessions,
    sources,
    subscriptions,
    supervision,
    systems,
    transitions,
    verifier,
)
from ipt_workflow.api import sandbox as sandbox_routes
from ipt_workflow.api.auth import Addressed, Anybody, Bearer
from ipt_workflow.api.edge import Edge
from ipt_workflow.api.fast_path import FastRoute
from ipt_workflow.api.rate_limits import OpenToAll, RateLimits
from ipt_workflow.api.requests import NoNul
from ipt_workflow.api.services import FrontDesk
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries import relays
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.rehearsal import Rehearsal
from ipt_workflow.ehr.notices import unsettled
from ipt_workflow.ehr.notices.early import EarlyNotices
from ipt_workflow.ehr.smart.launch import SmartServers
from ipt_workflow.runtime.clock import Clock, SandboxClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.failures import AuthenticationFailures
from ipt_workflow.service.access.providers import Providers
from ipt_workflow.service.audit.checkpoints import Checkpoints, sign_or_say
from ipt_workflow.service.audit.verifier import Verifier, database_of_verifier
from ipt_workflow.service.audit.witnesses import Witnesses, policy_of
from ipt_workflow.service.background import each_minute
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.sandbox import refuse_sandbox, require_sandbox
from ipt_workflow.store.database import Database


class Routes(Router):
    """Handlers with what they share, for one application. The framework would copy them all, in case another registers them too."""

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Routes":
        return self


class Application:
    """The ASGI application. It opens the service when the server starts it and closes it when the server stops."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None = None,
        *,
        sandbox: bool = False,
        pages: Sequence[Router] = (),
        unknown_page: Callable[[Any, Any], Any] | None = None,
    ) -> None:
        """`unknown_page` answers a request to an address that nothing serves. Without it, that is a problem document."""
        self.settings = settings
        self.clock = clock
        self.sandbox = sandbox
        self.litestar = litestar_app(settings, self._lifespan, sandbox=sandbox, pages=pages)
        if unknown_page:
            self.litestar.exception_handlers[NotFoundException] = unknown_page
        self._opened: Clinic | None = None
        self._edge: Edge | None = None

    async def open(self) -> None:
        """Opens the service before the server starts it, on the server's own loop. Raises IptError if the service cannot open."""
        self._opened = await self._open_clinic()

    def drain(self) -> None:
        """From now on, `/health/ready` answers 503. Everything else is served as before."""
        self.litestar.state.draining = True

    async def _open_clinic(self) -> Clinic:
        """Opens the clinic. Raises IptError, also for a sandbox, or where one is to be served, for any other database."""
        policy_of(self.settings)  # a wrong file is found out now, not when a witness is to be asked
        clinic = await open_clinic(self.settings, self.clock)
        try:
            (require_sandbox if self.sandbox else refuse_sandbox)(clinic)
        except BaseException:
            await clinic.installation.close()
            raise
        return clinic

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        clinic = self._opened or await self._open_clinic()
        self._opened = None  # a second start must open a new clinic: this one is closed below
        clinics = Clinics(clinic)
        calls = Calls(reach_of(self.settings))
        install(app, clinics, calls)
        failures, token_uses = AuthenticationFailures(clinic.installation), clinic.installation.token_uses
        self._edge = Edge(FastRoute(app, self.settings), clinic.metrics, self.settings, failures)
        try:
            await _begin(clinics, app.state.front_desk)
            deliver = relays.run if self.settings.relay else relays.wake_others
            relaying = app.state.rehearsal.relaying() if self.sandbox else _beside(partial(deliver, clinics))
            early = partial(clinics.run_each, partial(_handle_early, app.state.front_desk))
            log = partial(clinics.run_each, partial(_keep_log, calls))
            background = (early, log, clinics.watch, failures.run, token_uses.run)
            async with (
                database_of_verifier(self.settings, clinic.installation.keys) as database,
                relaying,
                AsyncExitStack() as beside,
            ):
                if self.settings.verifier:
                    await beside.enter_async_context(_beside(partial(clinics.run_each, partial(_verify, database))))
                for each in background:
                    await beside.enter_async_context(_beside(each))
                yield
        finally:
            await calls.close()
            await clinic.installation.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._edge or self.litestar)(scope, receive, send)


async def _begin(clinics: Clinics, desk: FrontDesk) -> None:
    """Opens the clinics of the active organisations, and handles what was left when the service was stopped."""
    for clinic in await clinics.look():
        await unsettled.recover(desk.of(clinic).notices)


async def _handle_early(desk: FrontDesk, clinic: Clinic, stop: asyncio.Event) -> None:
    """Handles notices again when the course that they await is opened."""
    await EarlyNotices(desk.of(clinic).notices).run(stop)


async def _keep_log(calls: Calls, clinic: Clinic, stop: asyncio.Event) -> None:
    """Once a minute signs the clinic's log, if there are keys for it, and brings the checkpoint to the witnesses that have an address."""
    checkpoints, witnesses = Checkpoints(clinic), Witnesses(clinic, calls)
    signs, asks = bool(clinic.settings.log_key_file), bool(witnesses.policy.addresses)

    async def keep() -> None:
        if signs:
            await sign_or_say(checkpoints)
        if asks and not stop.is_set():
            await witnesses.submit()

    if signs or asks:
        await each_minute(keep, stop, waits="the log waits for the database", fails="the log was not signed or not witnessed")
    await stop.wait()


async def _verify(database: Database | None, clinic: Clinic, stop: asyncio.Event) -> None:
    """Reads everything of the clinic again and again."""
    await Verifier(clinic, database).run(stop)


@asynccontextmanager
async def _beside(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs a task beside the server, and at the end lets it finish."""
    stop = asyncio.Event()
    task = asyncio.create_task(run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def install(app: Litestar, clinics: Clinics, calls: Calls) -> None:
    """Puts what handlers need into the application. `calls` asks other services."""
    app.state.providers = Providers(calls, clinics.installation.clock)
    app.state.smart_servers = SmartServers(calls, clinics.installation.clock)
    app.state.draining = False
    app.state.rate_limits = RateLimits(clinics.first.settings, clinics.first.metrics)
    app.state.front_desk = FrontDesk(clinics, calls)
    if isinstance(clinics.first.clock, SandboxClock):
        app.state.rehearsal = Rehearsal(clinics.first, clinics.first.clock)


def litestar_app(settings: Settings, lifespan: Any = None, *, sandbox: bool = False, pages: Sequence[Router] = ()) -> Litestar:
    """The routes without the edge: those of the API, for a sandbox those of its clock, and `pages`. The OpenAPI document is made from them."""
    guarded = [
        *courses.HANDLERS,
        *client_labels.HANDLERS,
        *transitions.HANDLERS,
        *privacy_exports.HANDLERS,
        *privacy_reports.HANDLERS,
        *proposals.HANDLERS,
        *supervision.HANDLERS,
        *access.HANDLERS,
        *people.HANDLERS,
        *sessions.HANDLERS,
        *protocols.HANDLERS,
        *audit.HANDLERS,
        *log.HANDLERS,
        *marks.HANDLERS,
        *retention.HANDLERS,
        *erasures.HANDLERS,
        *break_glass.HANDLERS,
        *subscriptions.HANDLERS,
        *feed.HANDLERS,
        *sources.HANDLERS,
        *systems.HANDLERS,
        *messages.HANDLERS,
        *notices.HANDLERS,
        *groups.HANDLERS,
        *credentials.HANDLERS,
        *organisations.HANDLERS,
        *health.HANDLERS,
        *fhir.HANDLERS,
        *fhir_compartments.HANDLERS,
        *(sandbox_routes.HANDLERS if sandbox else ()),
    ]
    open_to_all = [*oauth.OPEN_HANDLERS, *notices.OPEN_HANDLERS, *verifier.OPEN_HANDLERS, *log.OPEN_HANDLERS]
    (open_to_all if settings.public_schema else guarded).extend([*openapi.HANDLERS, *fhir.METADATA])
    return Litestar(
        route_handlers=[
            Routes("/", route_handlers=guarded, middleware=[Bearer(), NoNul()]),
            Routes("/", route_handlers=health.OPEN_HANDLERS, middleware=[Anybody(), NoNul()]),
            Routes("/", route_handlers=open_to_all, middleware=[OpenToAll(), Anybody(), NoNul()]),
            Routes("/", route_handlers=[*notices.SIGNED_HANDLERS, *notices.FHIR_HANDLERS], middleware=[NoNul(), Addressed()]),
            *pages,
        ],
        exception_handlers=problems.HANDLERS,
        lifespan=[lifespan] if lifespan else [],
        state=State({"settings": settings}),
        openapi_config=OpenAPIConfig(
            title="ipt_workflow",
            version=ipt_workflow.__version__,
            description="Runs courses of Interpersonal Psychotherapy as explicit, enforced and audited state machines.",
            openapi_router=openapi.NoPages("/schema", route_handlers=[]),
            servers=[Server(url=settings.public_url or "/")],
            components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"bearer": []}],
            use_handler_docstrings=True,
            operation_id_creator=openapi.operation_id,
        ),
        logging_config=None,
        debug=False,
    )
