"""A PostgreSQL server of its own for each test process: durable, and with the programs that come with it."""

from faults.conftest import server

__all__ = ["server"]
