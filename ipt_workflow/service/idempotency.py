"""Writes that happen once, however often they are sent: the idempotency key."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ipt_workflow.errors import Busy, KeyInFlight, KeyReused, Unreachable
from ipt_workflow.service.clinic import Shell
from ipt_workflow.service.writes import Key
from ipt_workflow.store.courses import KeptAnswer

Answer = TypeVar("Answer")
NOTHING_TO_ASK = (Busy, Unreachable)  # the database is in no state to be asked once more


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
        *,
        ask_first: bool = True,
    ) -> Answer:
        """Runs a write under its key: answered as before where it was answered before, alone while it runs. Raises KeyInFlight, KeyReused.

        Without `ask_first` it is run at once: a key that was used makes it fail, and only then is asked what it was answered with. Nothing
        that `run` does before it is committed may then show.
        """
        if key is None:
            return await run()
        kept = await self.kept(key) if ask_first else None
        if kept:
            return await answer(kept)
        if key.scope in self._running:
            raise KeyInFlight("A request with this Idempotency-Key is still running.")
        self._running.add(key.scope)
        try:
            return await run()
        except NOTHING_TO_ASK:
            raise
        except Exception:  # whatever a write has met, it may have done so because it was committed before
            kept = await self.kept(key)
            if kept is None:
                raise
            return await answer(kept)
        finally:
            self._running.discard(key.scope)

    async def kept(self, key: Key) -> KeptAnswer | None:
        """What it was answered with. Raises KeyReused."""
        kept = await self.shell.kept_answer(key.scope)
        if kept is not None and kept.body != key.body:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return kept
