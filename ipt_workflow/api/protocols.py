"""Protocols and the trigger table."""

from typing import Any

import msgspec
from litestar import get
from litestar.enums import MediaType
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.services import services_of
from ipt_workflow.course import examples, triggers
from ipt_workflow.course.rules import bound_to
from ipt_workflow.course.transitions_table import diagram
from ipt_workflow.errors import NotFound
from ipt_workflow.machine import data_schema
from ipt_workflow.protocols.definition import Protocol


class TriggerView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """One trigger under the default protocol."""

    trigger: str
    does: str
    from_: tuple[str, ...]
    to: str | None
    roles: tuple[str, ...]
    rules: tuple[str, ...]
    reason_required: bool
    never_blocked: bool
    data_schema: dict[str, Any]


class TriggerList(msgspec.Struct, frozen=True):
    items: list[TriggerView]


class ProtocolSummary(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    version: int
    title: str
    digest: str
    phases: tuple[str, ...]


class ProtocolList(msgspec.Struct, frozen=True):
    items: list[ProtocolSummary]


class ProtocolView(msgspec.Struct, frozen=True, kw_only=True):
    """A protocol with the definition from its file."""

    id: str
    version: int
    title: str
    digest: str
    definition: dict[str, Any]


@get("/v1/triggers", summary="The trigger table", tags=["protocols"])
async def trigger_table(request: ApiRequest) -> TriggerList:
    """Every trigger of the default protocol: from, to, roles, rules, and the schema of its data with a complete example."""
    await services_of(request).clinic.require(principal_of(request), "read protocols")
    protocol = services_of(request).clinic.catalogue.get("ipt")
    return TriggerList([_trigger(request, protocol, name) for name in triggers.names(protocol)])


def _trigger(request: ApiRequest, protocol: Protocol, name: str) -> TriggerView:
    row = triggers.find(name, protocol)
    assert row is not None
    course, context = examples.stranger(protocol, services_of(request).clinic.clock.now())
    example = examples.example(protocol, course, name, context)["data"]
    return TriggerView(
        trigger=name,
        does=row.does,
        from_=triggers.sources(protocol, name),
        to=triggers.destination(protocol, row, name),
        roles=row.roles,
        rules=("state_allows", *(bound.rule.name for bound in bound_to(protocol, name))),
        reason_required=row.reason_required,
        never_blocked=row.never_blocked,
        data_schema={**data_schema(name), "examples": [example]},
    )


@get("/v1/protocols", summary="Protocols", tags=["protocols"])
async def protocols(request: ApiRequest) -> ProtocolList:
    """Every protocol version that new courses may use."""
    await services_of(request).clinic.require(principal_of(request), "read protocols")
    known = services_of(request).clinic.catalogue.protocols
    return ProtocolList(
        [
            ProtocolSummary(
                id=each.id,
                version=each.version,
                title=each.title,
                digest=each.digest,
                phases=each.phase_ids,
            )
            for _, each in sorted(known.items())
        ]
    )


@get("/v1/protocols/{protocol_id:str}", summary="The latest version of a protocol", tags=["protocols"])
async def protocol_latest(request: ApiRequest, protocol_id: FromPath[str]) -> ProtocolView:
    """The definition from the protocol's file."""
    return _view(await _find(request, protocol_id, None))


@get(
    "/v1/protocols/{protocol_id:str}/diagram", summary="The latest version's diagram", tags=["protocols"], media_type=MediaType.TEXT
)
async def diagram_latest(request: ApiRequest, protocol_id: FromPath[str]) -> str:
    """The diagram as Mermaid text, drawn from the machine."""
    return diagram(await _find(request, protocol_id, None))


@get("/v1/protocols/{protocol_id:str}/{version:int}", summary="One version of a protocol", tags=["protocols"])
async def protocol_version(request: ApiRequest, protocol_id: FromPath[str], version: FromPath[int]) -> ProtocolView:
    """The definition from the protocol's file."""
    return _view(await _find(request, protocol_id, version))


@get(
    "/v1/protocols/{protocol_id:str}/{version:int}/diagram",
    summary="A version's diagram",
    tags=["protocols"],
    media_type=MediaType.TEXT,
)
async def diagram_version(request: ApiRequest, protocol_id: FromPath[str], version: FromPath[int]) -> str:
    """The diagram as Mermaid text, drawn from the machine."""
    return diagram(await _find(request, protocol_id, version))


async def _find(request: ApiRequest, protocol_id: str, version: int | None) -> Protocol:
    await services_of(request).clinic.require(principal_of(request), "read protocols")
    try:
        protocol: Protocol = services_of(request).clinic.catalogue.get(protocol_id, version)
    except KeyError:
        raise NotFound("There is no such protocol or version. GET /v1/protocols lists them.") from None
    return protocol


def _view(protocol: Protocol) -> ProtocolView:
    return ProtocolView(
        id=protocol.id, version=protocol.version, title=protocol.title, digest=protocol.digest, definition=protocol.source
    )


HANDLERS = (trigger_table, protocols, protocol_latest, diagram_latest, protocol_version, diagram_version)
