"""A client's right to their data: one file with all of it."""

import tempfile
from collections.abc import AsyncIterator
from typing import Any

from litestar import Response, post
from litestar.response import Stream

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, one_of, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.client_exports import ClientExportPlan, ClientExportQuery, ClientExports

IN_MEMORY = 1 << 24  # bytes; a larger file waits on the disk, where nobody else can open it, until it is sent
PIECE = 1 << 16
DISPOSITION = {"Content-Disposition": 'attachment; filename="client.zip"'}


@post("/v1/clients/export", summary="Export a client's data", tags=["privacy"], status_code=200)
async def export(request: ApiRequest) -> Response[ClientExportPlan]:
    """All data of a client as a ZIP: a page for people, the journal with its proofs, who saw it, what was disclosed, and FHIR.

    `dry_run=true` says what it would hold. Needs a person who signed in lately, and no fixed token.
    """
    body, principal = await read_body(request), principal_of(request)
    dry = one_of("dry_run", request.query_params.get("dry_run"), ("true", "false")) == "true"
    exports = services_of(request).rights.exports
    if dry:
        return Response(await exports.preview(principal, lambda: body.shape(ClientExportQuery)))
    return await zipped(exports, principal, lambda: body.shape(ClientExportQuery))  # type: ignore[return-value]


async def zipped(exports: ClientExports, principal: Any, decode: Any) -> Stream:
    """The whole file is made before its first piece is sent, so that an error is answered as one."""
    file: Any = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - it is closed once it is sent
    try:
        await exports.write(principal, decode, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return Stream(_pieces(file), media_type="application/zip", headers=DISPOSITION)


async def _pieces(file: Any) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


HANDLERS = (export,)
