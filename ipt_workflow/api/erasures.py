"""Erasures: of a client, or of the text of one entry; the register of them; and their repetition after a restore."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.privacy.erasures import ErasureView, KeptRegister


class ErasureList(msgspec.Struct, frozen=True):
    items: list[ErasureView]
    next: str | None


class Repetitions(msgspec.Struct, frozen=True):
    """The erasures that were repeated. None: nothing of what the register names is there."""

    items: list[ErasureView]


@post("/v1/erasures", summary="Erase a client, or the text of an entry", tags=["privacy"])
async def erase(request: ApiRequest, dry_run: FromQuery[bool] = False) -> Response[ErasureView]:
    """Removes what is stored about the client with exactly this reference, or the text of one entry. It cannot be taken back.

    That something happened, when and by whom, stays, so that the journal still proves; the answer says what remains and why. A hold on the
    client's record blocks it. With `dry_run=true` it says what would go, and removes nothing. Needs a person who signed in lately, and no
    fixed token.
    """
    body, principal = await read_body(request), principal_of(request)
    done = await services_of(request).rights.erasures.erase(principal, lambda: body.shape(NewErasure), dry_run=dry_run)
    if done.id is None:
        return Response(done, status_code=200)
    return Response(done, status_code=201, headers={"Location": public(request, f"/v1/erasures/{done.id}")})


@post("/v1/erasures/again", summary="Repeat the erasures of the register", tags=["privacy"], status_code=200)
async def erase_again(request: ApiRequest) -> Repetitions:
    """After an older state of the database was restored: repeats every erasure of which something is there again.

    `register` are lines of a register that was kept apart, as `GET /v1/erasures` lists them. Needs a person who signed in lately.
    """
    body, principal = await read_body(request), principal_of(request)
    return Repetitions(await services_of(request).rights.erasures.again(principal, lambda: body.shape(KeptRegister).register))


@get("/v1/erasures", summary="The register of erasures", tags=["privacy"])
async def erasures(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[ErasureList]:
    """What was erased, by whom and on what ground, and what remained. Oldest first. It holds nothing of what was erased."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).rights.erasures.page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id or ""))
    return listed(request, ErasureList(items, after_text))


@get("/v1/erasures/{erasure_id:str}", summary="One erasure", tags=["privacy"])
async def erasure(request: ApiRequest, erasure_id: FromPath[str]) -> ErasureView:
    """A line of the register."""
    return await services_of(request).rights.erasures.one(principal_of(request), erasure_id)


HANDLERS = (erase, erase_again, erasures, erasure)
