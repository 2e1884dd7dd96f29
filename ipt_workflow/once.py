"""Writes that happen once, however often they are sent: the idempotency key."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ipt_workflow.errors import GroupRefused, KeyInFlight, KeyReused, StaleVersion, TransitionRefused
from ipt_workflow.shell import Shell
from ipt_workflow.store.loading import Asked
from ipt_workflow.store.queries import KeptAnswer
from ipt_workflow.store.units import KeyTaken
from ipt_workflow.writes import Key

Answer = TypeVar("Answer")
IN_ITS_OWN_WAY = (
    KeyTaken,
    StaleVersion,
    TransitionRefused,
    GroupRefused,
)  # what a write may meet because it was committed elsewhere


class Once(Generic[Answer]):
    """Over a shell. `answer` makes the answer again that a key was given before."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._running: set[str] = set()

    async def run(
        self,
        key: Key | None,
        answer: Callable[[KeptAnswer], Awaitable[Answer]],
        run: Callable[[], Awaitable[Answer]],
        asked: Asked[KeptAnswer] | None = None,
    ) -> Answer:
        """Runs a write under its key: answered as before where it was answered before, alone while it runs. Raises KeyInFlight, KeyReused.

        `asked` is what was kept under the key, where it was asked for before.
        """
        if key is None:
            return await run()
        kept = await self._kept(key, asked)
        if kept:
            return await answer(kept)
        if key.scope in self._running:
            raise KeyInFlight("A request with this Idempotency-Key is still running.")
        self._running.add(key.scope)
        try:
            return await run()
        except IN_ITS_OWN_WAY:
            kept = await self._kept(key)
            if kept is None:
                raise
            return await answer(kept)
        finally:
            self._running.discard(key.scope)

    async def _kept(self, key: Key, asked: Asked[KeptAnswer] | None = None) -> KeptAnswer | None:
        kept = await self.shell.kept_answer(key.scope, asked)
        if kept is not None and kept.body != key.body:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return kept
