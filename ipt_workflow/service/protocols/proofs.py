"""What the gate says of protocols: worked out by a process of its own, so that nobody else waits, and kept while this one runs.

A proof takes seconds of pure computing. It follows from the definition alone, so it is kept by the digest.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from ipt_workflow import gate
from ipt_workflow.gate import GateReport
from ipt_workflow.machine import machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.files import read_definition
from ipt_workflow.protocols.instruments import Instrument

PATIENCE_SECONDS = 20.0
NICENESS = 10


class Proofs:
    """The proofs of a process's protocols. One is worked out at a time."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[GateReport]] = {}
        self._one = asyncio.Lock()

    async def of(self, protocol: Protocol, patience: float = PATIENCE_SECONDS) -> GateReport | None:
        """The gate's report; None if it is still at work after `patience` seconds, and goes on."""
        task = self._tasks.get(protocol.digest)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._tasks[protocol.digest] = asyncio.create_task(self._work(protocol))
        await asyncio.wait({task}, timeout=patience)
        return task.result() if task.done() else None

    async def _work(self, protocol: Protocol) -> GateReport:
        async with self._one:
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=os.nice, initargs=(NICENESS,))
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, examine, protocol.source, protocol.instruments)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def examine(definition: dict[str, Any], instruments: Mapping[str, Instrument]) -> GateReport:
    """Every claim about a definition, proved or refuted. This is what the other process does."""
    return gate.examine(machine_for(read_definition(definition, dict(instruments))))
