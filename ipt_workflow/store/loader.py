"""Answering many waiting questions of one kind with one statement.

Whoever asks while nothing is being asked is answered at once; whoever asks meanwhile is answered by the next statement, together with
all others. So a busy service asks the database no more often than it can answer.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import Question

Found = TypeVar("Found")
PendingLookup = asyncio.Future[Found | None]
AT_ONCE = 256


class Loader(Generic[Found]):
    """Puts one question to the database, about one organisation."""

    def __init__(self, database: Database, organisation: str, question: Question[Found]) -> None:
        self._database = database
        self._organisation = organisation
        self._question = question
        self._waiting: dict[str, list[PendingLookup[Found]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def get(self, its_id: str) -> Found | None:
        """What is stored under an id, as of now; None where there is nothing."""
        return await self.ask(its_id)

    def ask(self, its_id: str) -> PendingLookup[Found]:
        """Asks now what will be waited for later, or not at all."""
        loop = asyncio.get_running_loop()
        answer: PendingLookup[Found] = loop.create_future()
        self._waiting.setdefault(its_id, []).append(answer)
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        while self._waiting:
            asked = {its_id: self._waiting.pop(its_id) for its_id in list(self._waiting)[:AT_ONCE]}
            try:
                found = await self._database.find(self._question, self._organisation, list(asked))
            except Exception as error:  # noqa: BLE001 - whatever it was, those who asked must hear of it
                for answer in _still_waiting(asked.values()):
                    answer.set_exception(error)
                    answer.exception()  # an error that nobody waits for any more is no news
            else:
                for its_id, answers in asked.items():
                    for answer in _still_waiting([answers]):
                        answer.set_result(found.get(its_id))


def _still_waiting(lists: Iterable[list[PendingLookup[Found]]]) -> Iterator[PendingLookup[Found]]:
    """Those who have not been cancelled meanwhile."""
    return (answer for answers in lists for answer in answers if not answer.done())
