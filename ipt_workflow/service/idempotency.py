"""The `Idempotency-Key`: a request that is sent several times is written once."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ipt_workflow.errors import Busy, KeyInFlight, KeyReused, Unreachable
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.units import KeptAnswer

Answer = TypeVar("Answer")
CANNOT_LOOK_UP = (Busy, Unreachable)  # the database could not look up the key now either


class Idempotency(Generic[Answer]):
    """Runs writes under their keys. A used key gets the first answer again."""

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

        With `check_key_first=False` the write runs immediately, and the key is looked up only if the write fails.
        `write` must then have no visible effect before it commits.
        """
        if key is None:
            return await write()
        kept = await self.kept(key) if check_key_first else None
        if kept:
            return await replay_answer(kept)
        if key.scope in self._running:
            raise KeyInFlight("A request with this Idempotency-Key is still running. Send it again later.")
        self._running.add(key.scope)
        try:
            return await write()
        except CANNOT_LOOK_UP:
            raise
        except Exception:  # an earlier commit under the same key can cause any error
            kept = await self.kept(key)
            if kept is None:
                raise
            return await replay_answer(kept)
        finally:
            self._running.discard(key.scope)

    async def kept(self, key: IdempotencyKey) -> KeptAnswer | None:
        """The answer kept under a key. Raises KeyReused if the body was another."""
        kept = await self.clinic.kept_answer(key.scope)
        if kept is not None and kept.body != key.body:
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return kept
