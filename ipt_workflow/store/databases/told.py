"""What connections were told: the organisations whose rows they see and write (`store/schema/row_security.py`).

A connection is told only when its organisations change. So with one organisation it is told once, and that costs nothing.
"""

from collections.abc import Collection
from weakref import WeakKeyDictionary

import asyncpg

from ipt_workflow.store.schema import row_security

TELL = f"SELECT set_config('{row_security.SETTING}', $1, false)"


class Told:
    """What each connection of a process was told last."""

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[asyncpg.Connection, frozenset[str]] = WeakKeyDictionary()

    def knows(self, connection: asyncpg.Connection, organisations: Collection[str]) -> bool:
        """Whether a connection was told just these organisations."""
        return self._last.get(connection) == frozenset(organisations)

    async def tell(self, connection: asyncpg.Connection, organisations: Collection[str]) -> None:
        """Tells a connection which has no open transaction, if it was told others. Raises what the driver raises."""
        if self.knows(connection, organisations):
            return
        self._last.pop(connection, None)  # not known until the server has answered
        await connection.fetch(TELL, row_security.together(organisations))
        self._last[connection] = frozenset(organisations)
