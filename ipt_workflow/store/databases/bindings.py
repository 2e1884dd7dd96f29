"""What connections are bound to: the organisations whose rows they see and write (`store/schema/row_security.py`).

A connection is bound again only when its organisations change. So with one organisation it is bound once, and that costs nothing.
"""

from collections.abc import Collection
from weakref import WeakKeyDictionary

import asyncpg

from ipt_workflow.store.schema import row_security

# In the simple protocol, which costs less than a statement with parameters.
BIND = f"SET {row_security.SETTING} = '{{organisations}}'"


class Bindings:
    """What each connection of a process is bound to."""

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[asyncpg.Connection, frozenset[str]] = WeakKeyDictionary()

    def binds(self, connection: asyncpg.Connection, organisations: Collection[str]) -> bool:
        """Whether a connection is bound to just these organisations."""
        return self._last.get(connection) == frozenset(organisations)

    async def bind(self, connection: asyncpg.Connection, organisations: Collection[str]) -> None:
        """Binds a connection which has no open transaction, if it is bound to others. Raises what the driver raises."""
        if self.binds(connection, organisations):
            return
        self._last.pop(connection, None)  # not known until the server has answered
        quoted = row_security.together(organisations).replace("'", "''")
        await connection.execute(BIND.format(organisations=quoted))
        self._last[connection] = frozenset(organisations)
