"""Writes that happen once, however often they are sent: the `Idempotency-Key`."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ipt_workflow.errors import Busy, KeyInFlight, KeyReused, Unreachable
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.units import KeptAnswer

Answer = TypeVar("Answer")
CANNOT_LOOK_UP = (Busy, Unreachable)  # the database cannot be asked for the key just now


class Idempotency(Generic[Answer]):
    """Runs writes under their keys. A key that was used before is answered as it was answered then."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._running: set[str] = set()

    async def run(
        self,
        key: IdempotencyKey | None,
        replay_answer: Callable[[KeptAnswer], Awaitable[Answer]],
        write: Callable[[], Awaitable[Answer]],
        *,
        check_key_first: bool = True,
    ) -> Answer:
        """Runs `write`, or replays the answer if the key was used before. Raises KeyInFlight or KeyReused.

        With `check_key_first=False` the write runs immediately, and the key is looked up only if the write fails. `write` must then
        have no visible effect before it commits.
        """
        if key is None:
            return await write()
        kept = await self.kept(key) if check_key_first else None
        if kept:
            return await replay_answer(kept)
        if key.scope in self._running:
            raise KeyInFlight("A request with this Idempotency-Key is still running.")
        self._running.add(key.scope)
        try:
            return await write()
        except CANNOT_LOOK_UP:
            raise
        except Exception:  # any error may come from an earlier commit under the same key
            kept = await self.kept(key)
            if kept is None:
                raise
            return await replay_answer(kept)
        finally:
            self._running.discard(key.scope)

    async def kept(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer that is kept under a key. Raises KeyReused."""
        kept = await self.clinic.kept_answer(key.scope)
        if kept is not None and kept.body != key.body:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return kept
