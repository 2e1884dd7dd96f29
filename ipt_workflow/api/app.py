"""The application: routes, error handlers, and the service behind them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Router
from litestar.datastructures import State
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.types import Receive, Scope, Send

import ipt_workflow
from ipt_workflow.api import (
    audit,
    courses,
    feed,
    fhir,
    groups,
    health,
    messages,
    notices,
    openapi,
    problems,
    proposals,
    protocols,
    sources,
    subscriptions,
    transitions,
)
from ipt_workflow.api import sandbox as sandbox_routes
from ipt_workflow.api.auth import Bearer
from ipt_workflow.api.edge import Edge
from ipt_workflow.api.fast_path import FastRoute
from ipt_workflow.api.rate_limits import OpenToAll, RateLimits
from ipt_workflow.api.requests import NoNul
from ipt_workflow.ehr.deliveries import wakes
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.rehearsal import Rehearsal
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.ehr.fhir_histories import FhirHistories
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.ehr.fhir_searches import FhirSearches
from ipt_workflow.ehr.notices import unsettled
from ipt_workflow.ehr.notices.early import EarlyNotices
from ipt_workflow.ehr.notices.fhir_hooks import RestHooks
from ipt_workflow.ehr.notices.group_records import HeldRecords
from ipt_workflow.ehr.notices.inbox import Inbox
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.messages import Messages
from ipt_workflow.runtime.clock import Clock, SandboxClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.failures import AuthenticationFailures
from ipt_workflow.service.access.tokens import Tokens
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.sandbox import refuse_sandbox, require_sandbox


class Application:
    """The ASGI application. It opens the service when the server starts it and closes it when the server stops."""

    def __init__(self, settings: Settings, clock: Clock | None = None, *, sandbox: bool = False) -> None:
        self.settings = settings
        self.clock = clock
        self.sandbox = sandbox
        self.litestar = litestar_app(settings, self._lifespan, sandbox=sandbox)
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
        install(app, clinic)
        await unsettled.recover(app.state.notices)
        failures = AuthenticationFailures(clinic.installation)
        self._edge = Edge(FastRoute(app, self.settings), clinic.metrics, self.settings, failures)
        try:
            relaying = app.state.rehearsal.relaying() if self.sandbox else _relay_running(clinic)
            async with relaying, _early_handled(app.state.notices), _failures_kept(failures):
                yield
        finally:
            await clinic.installation.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._edge or self.litestar)(scope, receive, send)


@asynccontextmanager
async def _relay_running(clinic: Clinic) -> AsyncIterator[None]:
    """Runs the relay beside the server. If the setting `relay` is off, wakes the relays of other processes instead.

    At the end, deliveries under way are finished.
    """
    if not clinic.settings.relay:
        async with wakes.notifying(clinic):
            yield
        return
    stop = asyncio.Event()
    task = asyncio.create_task(Relay(clinic).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def _early_handled(notices: Notices) -> AsyncIterator[None]:
    """Handles notices again when the course that they await is opened."""
    stop = asyncio.Event()
    task = asyncio.create_task(EarlyNotices(notices).run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def _failures_kept(failures: AuthenticationFailures) -> AsyncIterator[None]:
    """Keeps failed authentications while the server runs."""
    stop = asyncio.Event()
    task = asyncio.create_task(failures.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


def install(app: Litestar, clinic: Clinic) -> None:
    app.state.clinic = clinic
    app.state.draining = False
    app.state.rate_limits = RateLimits(clinic.settings, clinic.metrics)
    app.state.courses = Courses(clinic)
    app.state.proposals = Proposals(clinic)
    app.state.reads = CourseReads(clinic)
    app.state.audit_log = AuditLog(clinic)
    app.state.fhir = FhirReader(clinic)
    app.state.fhir_searches = FhirSearches(clinic)
    app.state.fhir_histories = FhirHistories(clinic)
    app.state.tokens = Tokens(clinic)
    app.state.subscriptions = Subscriptions(clinic)
    app.state.deliveries = Deliveries(clinic)
    app.state.feed = Feed(clinic)
    app.state.notices = Notices(clinic)
    app.state.messages = Messages(clinic)
    app.state.rest_hooks = RestHooks(app.state.notices)
    app.state.groups = Groups(clinic)
    app.state.group_sessions = GroupSessions(clinic)
    app.state.group_signatures = GroupSignatures(clinic)
    if isinstance(clinic.clock, SandboxClock):
        app.state.rehearsal = Rehearsal(clinic, clinic.clock)
    app.state.inbox = Inbox(app.state.notices, HeldRecords(app.state.group_sessions))


def litestar_app(settings: Settings, lifespan: Any = None, *, sandbox: bool = False) -> Litestar:
    """The routes without the edge, and for a sandbox those of its clock. The OpenAPI document is made from them."""
    guarded = [
        *courses.HANDLERS,
        *transitions.HANDLERS,
        *proposals.HANDLERS,
        *protocols.HANDLERS,
        *audit.HANDLERS,
        *subscriptions.HANDLERS,
        *feed.HANDLERS,
        *sources.HANDLERS,
        *messages.HANDLERS,
        *notices.HANDLERS,
        *groups.HANDLERS,
        *health.HANDLERS,
        *fhir.HANDLERS,
        *(sandbox_routes.HANDLERS if sandbox else ()),
    ]
    open_to_all = [*notices.OPEN_HANDLERS]
    (open_to_all if settings.public_schema else guarded).extend([*openapi.HANDLERS, *fhir.METADATA])
    return Litestar(
        route_handlers=[
            Router("/", route_handlers=guarded, middleware=[Bearer(), NoNul()]),
            Router("/", route_handlers=open_to_all, middleware=[OpenToAll(), NoNul()]),
            Router(
                "/", route_handlers=[*health.OPEN_HANDLERS, *notices.SIGNED_HANDLERS, *notices.FHIR_HANDLERS], middleware=[NoNul()]
            ),
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
