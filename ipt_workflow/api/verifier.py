"""The verifier of the log as the one file that it is, for whoever wants to read or run it."""

from functools import cache
from pathlib import Path

from litestar import Response, get

from ipt_workflow.journal.proof import ipt_verify


@get("/log/ipt_verify.py", summary="The verifier of the log", tags=["audit"], media_type="text/x-python")
async def verifier() -> Response[bytes]:
    """One file in Python, which verifies bundles, proofs and checkpoints with the standard library alone. It is the same for every installation of a version."""
    return Response(_source())


@cache
def _source() -> bytes:
    return Path(ipt_verify.__file__).read_bytes()


OPEN_HANDLERS = (verifier,)
