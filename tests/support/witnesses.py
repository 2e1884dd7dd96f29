"""Witnesses behind a socket: the product's own, and one that nobody here wrote."""

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from ipt_workflow.api.witness import WitnessReply, WitnessServer
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Key
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.witness_state import Witness
from support.receivers import Server

NAME = "partner.example/witness"
FOREIGN = Path(__file__).parents[2] / ".venv" / "witness" / "bin" / "aics-witness"


class OwnWitness:
    """The product's witness. `address` is where it listens, `key` how it cosigns, `replies` are its replies."""

    def __init__(self, logs: dict[str, list[Key]], file: Path) -> None:
        self.own = log_keys.of_witness(log_keys.new_file(), NAME)
        self.key, self.ml_dsa_key = (each.key for each in self.own)
        self.witness = Witness(self.own, logs, file, SystemClock())
        self.replies: list[WitnessReply] = []
        self.address = ""


@asynccontextmanager
async def own_witness(logs: dict[str, list[Key]], file: Path) -> AsyncIterator[OwnWitness]:
    made = OwnWitness(logs, file)
    application = WitnessServer(made.witness, made.replies.append)
    server = Server(uvicorn.Config(application, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    await server.listens.wait()
    made.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def foreign_witness(origin: str, log: Key, folder: Path) -> AsyncIterator[tuple[str, Key]]:
    """The address and key of `aics-witness`, which knows one log. Its settings and state are in the folder."""
    port, vkey, process = _start_foreign(origin, log, folder)
    try:
        await _listens(port, process)
        yield f"http://127.0.0.1:{port}", ipt_verify.read_vkey(vkey)
    finally:
        process.kill()
        process.wait()


def _start_foreign(origin: str, log: Key, folder: Path) -> tuple[int, str, subprocess.Popen[bytes]]:
    command, environ = str(FOREIGN), {**os.environ, "AICS_WITNESS_CONFIG": str(folder / "witness.json")}

    def said(*arguments: str) -> str:
        ended = subprocess.run([command, *arguments], env=environ, cwd=folder, capture_output=True, text=True, check=True)
        return ended.stdout + ended.stderr

    (vkey,) = [each for each in said("init", "--name", "foreign.example/w1").split() if each.startswith("foreign.example/w1+")]
    said("add-log", "--origin", origin, "--vkey", log.vkey())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = [command, "serve", "--listen", f"127.0.0.1:{port}"]
    return port, vkey, subprocess.Popen(serve, env=environ, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def _listens(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise AssertionError("The witness did not start.")


def why_not_foreign() -> str:
    """Why the foreign witness cannot be used; empty if it can."""
    if FOREIGN.is_file():
        return ""
    return (
        "`make witness` has not installed it" if shutil.which("python3.12") else "aics-witness needs Python 3.12, which is not here"
    )


def calls() -> Calls:
    """Calls to this machine."""
    return Calls(reach_of(configuration.load({"IPT_DEVELOPMENT": "true"})))
