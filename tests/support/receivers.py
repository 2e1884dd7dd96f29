"""The product's receiver, served on the loopback, with its receipts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import uvicorn

from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.receiver import DeliveryReceipt, Receiver, Trouble


class Other:
    """The receiver's side: `url` is its address, `receipts` are its receipts. A test may change its trouble while it runs."""

    def __init__(self) -> None:
        self.keys: list[signatures.SigningKey] = []
        self.receipts: list[DeliveryReceipt] = []
        self.url = ""
        self.receiver: Receiver

    def trusts(self, *secrets: str) -> None:
        self.keys[:] = [signatures.read_key(secret) for secret in secrets]

    def trouble(self, **trouble) -> None:
        self.receiver._trouble = Trouble(**trouble)
        self.receiver._count = 0

    def sequences(self, course: str, *outcomes: str) -> list[int]:
        wanted = outcomes or ("received",)
        found = [each for each in self.receipts if each.course == course and each.outcome in wanted]
        return [each.sequence for each in found if each.sequence is not None]

    def types(self, course: str) -> list[str]:
        return [each.type for each in self.receipts if each.course == course]

    def outcomes(self) -> list[str]:
        return [each.outcome for each in self.receipts]


class Server(uvicorn.Server):
    """Sets `listens` when it listens, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets=None) -> None:
        await super().startup(sockets)
        self.listens.set()

    def capture_signals(self):
        return nullcontext()


@asynccontextmanager
async def other_side(clock=None, **trouble) -> AsyncIterator[Other]:
    other = Other()
    other.receiver = Receiver(other.keys, other.receipts.append, Trouble(**trouble), clock)
    config = uvicorn.Config(other.receiver, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=1)
    server = Server(config)
    task = asyncio.create_task(server.serve())
    await server.listens.wait()
    other.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/hooks"
    try:
        yield other
    finally:
        server.should_exit = True
        await task
