"""The log of an organisation: checkpoints and proofs, and the tree as tiles (C2SP tlog-tiles)."""

import re

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.services import front_desk, services_of
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.journal.proof import tree
from ipt_workflow.service.audit.log_proofs import NO_TILE, LogCheckpoint, LogConsistency, LogProofs, ProofWanted, Tile

PLAIN, BYTES = "text/plain", "application/octet-stream"
LASTING = {"Cache-Control": "public, max-age=31536000, immutable"}
CHANGING = {"Cache-Control": "no-cache"}
LENGTH_BYTES = 2  # before each leaf of an entry bundle
LEVEL_MAX = 6
_PLACE = re.compile(r"/?((?:x[0-9]{3}/){0,3}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


@get("/v1/audit/checkpoint", summary="The newest checkpoint of the log", tags=["audit"])
async def checkpoint(request: ApiRequest) -> Response[LogCheckpoint]:
    """Its size and root, and the signed note with the lines that witnesses added."""
    return Response(await services_of(request).log_proofs.checkpoint(principal_of(request)), headers=CHANGING)


@get("/v1/audit/consistency", summary="That the log continues what it was", tags=["audit"])
async def consistency(request: ApiRequest, to: FromQuery[str | None] = None) -> LogConsistency:
    """The proof that the log of size `to` (default: the newest checkpoint) begins with that of size `from`."""
    given = request.query_params.get("from")  # Python reserves the word, so no parameter can have this name

    def sizes() -> tuple[int, int | None]:
        old = _number("from", given)
        if old is None:
            raise CommandInvalid([Fault("from", "is missing: it is the size of the older checkpoint")])
        return old, _number("to", to)

    return await services_of(request).log_proofs.consistency(principal_of(request), sizes)


@get("/v1/audit/proof", summary="The proof of an entry or a record", tags=["audit"])
async def proof(
    request: ApiRequest,
    course: FromQuery[str | None] = None,
    seq: FromQuery[str | None] = None,
    record: FromQuery[str | None] = None,
    delivery: FromQuery[str | None] = None,
) -> Response[str]:
    """A `.tlog-proof`: of a `course`, its entry `seq` or the newest; of a `record` of the audit log; of what a `delivery` carried."""

    def wanted() -> ProofWanted:
        if [course, record, delivery].count(None) != 2 or (seq is not None and course is None):
            raise CommandInvalid([Fault("", "name one of `course` (perhaps with `seq`), `record` and `delivery`")])
        return ProofWanted(course=course, seq=_number("seq", seq), record=record, delivery=delivery)

    found = await services_of(request).log_proofs.of(principal_of(request), wanted)
    return Response(str(found), media_type=PLAIN, headers=CHANGING)


@get("/log/{organisation:str}/checkpoint", summary="The newest checkpoint, as a signed note", tags=["audit"])
async def signed_note(request: ApiRequest, organisation: FromPath[str]) -> Response[str]:
    """For anybody: it holds no more than the size and root of the log."""
    return Response(await (await _of(request, organisation)).note(), media_type=PLAIN, headers=CHANGING)


@get("/log/{organisation:str}/tile/{level:int}/{place:path}", summary="Hashes of the log's tree", tags=["audit"])
async def hash_tile(
    request: ApiRequest, organisation: FromPath[str], level: FromPath[int], place: FromPath[str]
) -> Response[bytes]:
    """A tile as C2SP tlog-tiles says, up to the newest checkpoint. For anybody: it holds hashes alone."""
    proofs, tile = await _of(request, organisation), _tile(level, place)
    return Response(await proofs.hashes(tile), media_type=BYTES, headers=LASTING)


@get("/log/{organisation:str}/tile/entries/{place:path}", summary="Leaves of the log", tags=["audit"])
async def leaf_bundle(request: ApiRequest, organisation: FromPath[str], place: FromPath[str]) -> Response[bytes]:
    """The leaves below a tile, as C2SP tlog-tiles says: each with its length in two bytes before it. Auditors read them."""
    services = services_of(request)
    if organisation != services.clinic.organisation:
        raise NotFound(NO_TILE)
    found = [each.canonical() for each in await services.log_proofs.leaves(principal_of(request), _tile(0, place))]
    body = b"".join(len(each).to_bytes(LENGTH_BYTES, "big") + each for each in found)
    return Response(body, media_type=BYTES, headers={"Cache-Control": "private, max-age=31536000, immutable"})


async def _of(request: ApiRequest, organisation: str) -> LogProofs:
    """The proofs of an organisation that a path names. Raises NotFound."""
    desk = front_desk(request.scope)
    clinic = await desk.clinics.of(organisation)
    if clinic is None or not desk.clinics.is_active(organisation):
        raise NotFound(NO_TILE)
    return desk.of(clinic).log_proofs


def _tile(level: int, place: str) -> Tile:
    """A tile's number in groups of three digits, all but the last after an `x`; then perhaps `.p/` and its width. Raises NotFound."""
    found = _PLACE.fullmatch(place)
    if found is None or not 0 <= level <= LEVEL_MAX:
        raise NotFound(NO_TILE)
    digits, width = found[1].replace("x", "").replace("/", ""), int(found[2] or tree.WIDTH)
    if found[1] != _place(int(digits)) or width > tree.WIDTH or (found[2] and width == tree.WIDTH):
        raise NotFound(NO_TILE)
    return Tile(level, int(digits), width)


def _place(number: int) -> str:
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups)


def _number(name: str, text: str | None) -> int | None:
    """A whole number above 0. Raises CommandInvalid."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 16 and int(text)):
        raise CommandInvalid([Fault(name, "must be a whole number above 0")])
    return int(text)


HANDLERS = (checkpoint, consistency, proof, leaf_bundle)
OPEN_HANDLERS = (signed_note, hash_tile)
