"""Answering many waiting questions of one kind with one statement.

Whoever asks while nothing is being asked is answered at once; whoever asks meanwhile is answered by the next statement, together with
all others. So a busy service asks the database no more often than it can answer.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from ipt_workflow.store.database import Database

Found = TypeVar("Found")
AT_ONCE = 256


class Loader(Generic[Found]):
    """`find` gives what it knows of the ids it is asked for, of one organisation."""

    def __init__(
        self, database: Database, organisation: str, find: Callable[[sa.Connection, str, Sequence[str]], Mapping[str, Found]]
    ) -> None:
        self._database = database
        self._organisation = organisation
        self._find = find
        self._asked: dict[str, asyncio.Future[Found | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def get(self, its_id: str) -> Found | None:
        """What is stored under an id, as of now; None where there is nothing."""
        loop = asyncio.get_running_loop()
        answer = self._asked.get(its_id)
        if answer is None:
            answer = self._asked[its_id] = loop.create_future()
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        return await asyncio.shield(answer)

    async def _ask(self) -> None:
        while self._asked:
            ids = list(self._asked)[:AT_ONCE]
            answers = {its_id: self._asked.pop(its_id) for its_id in ids}
            try:
                found = await self._database.ask(self._find, self._organisation, ids)
            except Exception as error:  # noqa: BLE001 - whatever it was, those who asked must hear of it
                for answer in answers.values():
                    answer.set_exception(error)
            else:
                for its_id, answer in answers.items():
                    answer.set_result(found.get(its_id))
