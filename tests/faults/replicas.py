"""A streaming standby of a fault-test server, made by pg_basebackup."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from faults.postgres import Server, pgexec

CAUGHT_UP_SECONDS = 20


class Standby(Server):
    """A server that follows another one until it is promoted."""

    def __init__(self, primary: Server) -> None:
        self.primary = primary
        super().__init__()

    def prepare(self, data: Path) -> None:
        server = self.primary._server
        data.mkdir(exist_ok=True)
        data.chmod(0o700)
        if server.system_user:  # an administrator's tests run the servers as another user
            data.parent.chmod(0o755)
            shutil.chown(data, server.system_user)
        arguments = ("-h", str(self.primary.sockets), "-U", "postgres", "-D", str(data), "-R", "-X", "stream", "-c", "fast")
        pgexec("pg_basebackup", arguments, bin_path=server.bin_path, user=server.system_user, timeout=60)
        for file in (*data.glob(".s.PGSQL.*"), *data.glob(".handle_pids.json")):  # of the primary's process
            file.unlink()

    async def caught_up(self) -> None:
        """Waits until it has everything that the primary has written by now."""
        ((position,),) = await self.primary.run("SELECT pg_current_wal_flush_lsn()::text")
        async with asyncio.timeout(CAUGHT_UP_SECONDS):
            while not (await self.run(f"SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn"))[0][0]:
                await asyncio.sleep(0.05)

    async def promote(self) -> None:
        await self.run("SELECT pg_promote()")


@asynccontextmanager
async def standby_of(primary: Server) -> AsyncIterator[Standby]:
    made = await asyncio.to_thread(Standby, primary)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)
