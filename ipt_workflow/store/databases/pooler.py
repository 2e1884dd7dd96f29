"""Whether sessions last. Behind a pooler of transactions, such as PgBouncer can be, each transaction may run in another session."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg

from ipt_workflow.errors import DatabaseNotReady

HEARD_SECONDS = 5.0
CHANNEL = "ipt_sessions"
REFUSAL = (
    "A pooler before the database pools transactions or statements, and this service needs sessions: it prepares statements, listens, and "
    "binds each session to the rows that it sees. "
    "Set pool_mode = session in PgBouncer, or connect to the database itself."
)


async def require_sessions(connect: Callable[[], Awaitable[asyncpg.Connection]]) -> None:
    """Raises DatabaseNotReady if sessions do not last. No pooler says so itself, so it is tried with connections that set nothing."""
    connection = await connect()
    try:
        lasting = await _lasts(connection, connect)
    except asyncpg.InvalidSQLStatementNameError:  # what was prepared in one session was to run in another
        lasting = False
    finally:
        connection.terminate()
    if not lasting:
        raise DatabaseNotReady(REFUSAL)


async def _lasts(connection: asyncpg.Connection, connect: Callable[[], Awaitable[asyncpg.Connection]]) -> bool:
    """Whether the connection hears what another one notifies, after it has listened in a transaction of its own."""
    if await connection.fetchval("SELECT pg_backend_pid()") == connection.get_server_pid():
        return True  # no pooler, which would have given out a number of its own
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        return True  # nobody can listen there, and only commands that read use it
    heard = asyncio.Event()
    other = await connect()
    try:
        await connection.add_listener(CHANNEL, lambda *_: heard.set())
        await other.execute(f"NOTIFY {CHANNEL}")
        async with asyncio.timeout(HEARD_SECONDS):
            await heard.wait()
    except TimeoutError:
        return False
    finally:
        other.terminate()
    return True
