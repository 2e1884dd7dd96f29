"""The `Idempotency-Key`: a request that is sent several times is written once.

What is kept of the body could be guessed by trying, if it were its digest alone. So it is keyed with a salt of its own, and with that of the
first entry that the request wrote, which an erasure destroys. Once it is erased, the body is not compared any more.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from ipt_workflow.errors import Busy, KeyInFlight, KeyReused, Unreachable
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.units import KeptAnswer

Answer = TypeVar("Answer")
SALT = 16  # hexadecimal digits
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
        if kept is not None and not await is_of_body(self.clinic, kept, key.body):
            raise KeyReused("This Idempotency-Key was used with another body. Use a new key for a new request.")
        return kept


def kept_body(digest: str, entry_salt: str | None) -> str:
    """What is kept of a body: its digest, keyed. `entry_salt` is that of the first entry, None if the request wrote none."""
    own = secrets.token_hex(SALT // 2)
    return own + _keyed(own, entry_salt, digest)


async def is_of_body(clinic: Clinic, kept: KeptAnswer, digest: str) -> bool:
    """Whether a key was used with the body of this digest. Of a body that was erased, nobody can tell: then it counts as the same."""
    if kept.body in {"", digest}:  # erased; as versions before revision 0033 kept it
        return True
    first = await clinic.read(stored_courses.load_entries, kept.course_id, kept.first_seq - 1, 1)
    if first and first[0].salt is None:
        return True
    own = kept.body[:SALT]
    return hmac.compare_digest(own + _keyed(own, first[0].salt if first else None, digest), kept.body)


def _keyed(own: str, entry_salt: str | None, digest: str) -> str:
    """As long as the column has room for beside the salt."""
    return hmac.new(bytes.fromhex(own + (entry_salt or "")), digest.encode(), hashlib.sha256).hexdigest()[SALT:]
