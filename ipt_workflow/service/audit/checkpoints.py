"""Signs checkpoints of the log, with keys that are kept apart from the database.

Before a checkpoint is signed, its size and root go to a file beside the keys. What is signed later must continue it. So an older database
that somebody puts back is found out, whether it is still smaller than what was signed, or has grown past it.
"""

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, IptError
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.log_keys import CheckpointSigner, KeyFileInvalid
from ipt_workflow.service.audit.log_state import LogState, LogStateInvalid, SignedSize
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import checkpoints as stored
from ipt_workflow.store.checkpoints import LogStanding, StoredCheckpoint, StoredOrigin

ATTEMPTS = 5  # while other processes sign as well
NO_KEYS = "IPT_LOG_KEY_FILE names no file, so the log is not signed. Make keys with `ipt-workflow log key`."
REASON_MAX = 500
BEHIND = (
    "The log is not signed: the database has {size} leaves, and {lost} were signed. It is an older database. Put back a newer one, or "
    "begin a new origin with `ipt-workflow log resume`."
)
FORKED = (
    "The log is not signed: the database holds another history than what was signed at size {lost}. Find out who changed it. "
    "`ipt-workflow log resume` begins a new origin."
)
FOREIGN = (
    "The log is not signed: the database calls it {origin}, which is no name of this organisation's log. Find out who changed it, and put "
    "back a backup."
)


class LogRefused(IptError):
    """The log is not signed, since the database does not continue what was signed before. `reason` is `behind` or `forked`."""

    def __init__(self, reason: Literal["behind", "forked"], sentence: str) -> None:
        self.reason = reason
        super().__init__(sentence)


class LogView(msgspec.Struct, frozen=True, kw_only=True):
    """How the log stands: its name, its size, its newest checkpoint, its public keys, and why it is not signed, if it is not."""

    origin: str
    size: int
    checkpoint: str | None
    checkpoint_size: int | None
    keys: tuple[str, ...]
    refused: str | None
    origins: tuple[StoredOrigin, ...]


class Checkpoints:
    """The checkpoints of a clinic's log."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    @property
    def key_file(self) -> Path:
        """Raises KeyFileInvalid if the setting names none."""
        return key_file_of(self.clinic.settings)

    async def sign(self) -> StoredCheckpoint | None:
        """Signs the log as it stands, unless it is signed. Returns the newest checkpoint; None if there is nothing to sign.

        Raises LogRefused, KeyFileInvalid or LogStateInvalid.
        """
        origin = await self._origin()
        for _ in range(ATTEMPTS):
            standing, known = await self._checked(origin)
            last = standing.last
            if last and last.size == standing.size and last.origin == origin.origin:
                return last
            if standing.size <= origin.began_at:
                return last
            if self._state.advance(origin.origin, known, SignedSize(standing.size, standing.roots[standing.size])):
                return await self._sign(origin, standing)
        return None

    async def _sign(self, origin: StoredOrigin, standing: LogStanding) -> StoredCheckpoint:
        root = standing.roots[standing.size]
        text = Checkpoint(origin.origin, standing.size, ipt_verify.decoded(root, "The root")).text()
        now, real = self.clinic.clock.now(), int(self.clinic.clock.real().timestamp())
        note = str(log_keys.signed(text, self._keys(origin.origin), real))
        signed = StoredCheckpoint(size=standing.size, origin=origin.origin, root=root, note=note, created_at=now)
        kept = await self.clinic.write(stored.keep, signed)
        if (kept.root, kept.origin) != (root, origin.origin):
            raise LogRefused("forked", FORKED.format(lost=kept.size))
        return kept

    async def _checked(self, origin: StoredOrigin) -> tuple[LogStanding, SignedSize | None]:
        """The log as it stands, and what was signed last. What was signed is read first: the database must have it. Raises LogRefused."""
        known = self._state.read().get(origin.origin)
        standing = await self.clinic.read(stored.standing, (known.size,) if known else ())
        last = standing.last
        if known and known.size > standing.size:
            raise LogRefused("behind", BEHIND.format(size=standing.size, lost=known.size))
        if known and standing.roots[known.size] != known.root:
            raise LogRefused("forked", FORKED.format(lost=known.size))
        if last and last.origin == origin.origin and standing.roots.get(last.size) != last.root:
            raise LogRefused("forked", FORKED.format(lost=last.size))
        return standing, known

    async def hear(self, note: SignedNote) -> bool:
        """Keeps a checkpoint that this log has signed and its database does not have, as after a restore. From then on nothing is signed.

        Whoever holds one may bring it. Returns whether it was kept. Raises NotProved if a signature of the log is wrong.
        """
        origin, found = await self._origin(), ipt_verify.read_checkpoint(note.text)
        ours = [each.key for each in self._keys(origin.origin)]
        if found.origin != origin.origin or not any(ipt_verify.holds(each, note) for each in ours):
            return False
        root, standing = ipt_verify.encoded(found.root), await self.clinic.read(stored.standing, (found.size,))
        if standing.roots.get(found.size) == root:
            return False
        return self._state.know(origin.origin, SignedSize(found.size, root))

    async def show(self) -> LogView:
        """How the log stands."""
        origin, refused = await self._origin(), None
        try:
            await self._checked(origin)
        except LogRefused as error:
            refused = str(error)
        standing = await self.clinic.read(stored.standing)
        return LogView(
            origin=origin.origin,
            size=standing.size,
            checkpoint=standing.last.note + standing.last.cosignatures if standing.last else None,
            checkpoint_size=standing.last.size if standing.last else None,
            keys=self.public_keys(origin.origin),
            refused=refused,
            origins=tuple(await self.clinic.read(stored.all_origins)),
        )

    async def resume(self, principal: Principal, reason: str) -> StoredOrigin:
        """Begins a new origin for a log whose database does not continue what was signed, with a record that says what was lost and why.

        Raises CommandInvalid if there is nothing to resume, or no reason.
        """
        if not reason.strip() or len(reason) > REASON_MAX:
            raise CommandInvalid([Fault("reason", f"must say why, in 1 to {REASON_MAX} characters, with nothing about a client")])
        before = await self._origin()
        known = self._state.read().get(before.origin)
        try:
            await self._checked(before)
        except LogRefused:
            pass
        else:
            raise CommandInvalid([Fault("log", "continues what was signed: there is nothing to resume")])
        standing = await self.clinic.read(stored.standing)
        kept = standing.last.size if standing.last else 0
        new = StoredOrigin(
            nth=before.nth + 1,
            origin=f"{first_origin(self.clinic)}/{before.nth + 1}",
            began_at=max(standing.size, kept),
            kept_size=kept,
            lost_size=known.size if known else kept,
            lost_root=known.root if known else None,
            created_at=self.clinic.clock.now(),
        )
        facts = {
            "origin": new.origin,
            "origin_before": before.origin,
            "kept_size": new.kept_size,
            "lost_size": new.lost_size,
            "lost_root": new.lost_root,
            "reason": reason.strip(),
        }
        record = msgspec.structs.replace(self.clinic.event(principal, "config", "log resumed"), details=facts)
        return await self.clinic.write(stored.begin, msgspec.structs.replace(new, record_id=record.id), record)

    async def _origin(self) -> StoredOrigin:
        """The log's name, which is kept when it is first needed. Raises LogRefused if somebody put that of another organisation in its place."""
        found = await self.clinic.read(stored.current_origin)
        if found is not None:
            if not _is_of(found, self.clinic.organisation):
                raise LogRefused("forked", FOREIGN.format(origin=found.origin))
            return found
        first = StoredOrigin(nth=1, origin=first_origin(self.clinic), began_at=0, created_at=self.clinic.clock.now())
        return await self.clinic.write(stored.begin, first)

    def public_keys(self, origin: str) -> tuple[str, ...]:
        """The public keys that sign under a name. Raises KeyFileInvalid."""
        return tuple(each.key.vkey() for each in self._keys(origin))

    def _keys(self, origin: str) -> tuple[CheckpointSigner, ...]:
        """The keys as the file has them now, so that new ones need no restart."""
        try:
            return log_keys.of_log(self.key_file.read_text(encoding="utf-8"), origin)
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise KeyFileInvalid(f"IPT_LOG_KEY_FILE: the file cannot be read: {why}.") from None

    @property
    def _state(self) -> LogState:
        return LogState(self.key_file)


def _is_of(origin: StoredOrigin, organisation: str) -> bool:
    """Whether a name is one of an organisation's log. The address before it may have been another one."""
    first = origin.origin if origin.nth == 1 else origin.origin.removesuffix(f"/{origin.nth}")
    return first.endswith(f"/log/{organisation}")


def key_file_of(settings: Settings) -> Path:
    """The file with the keys of the log. Raises KeyFileInvalid if the setting names none."""
    if not settings.log_key_file:
        raise KeyFileInvalid(NO_KEYS)
    return Path(settings.log_key_file)


def first_origin(clinic: Clinic) -> str:
    """The first name of a clinic's log: where its tiles are, without the scheme."""
    address = urlsplit(clinic.settings.public_url)
    return f"{address.netloc or 'ipt-workflow'}{address.path}/log/{clinic.organisation}"


async def sign_or_say(checkpoints: Checkpoints) -> None:
    """Signs the log, or logs and counts why it is not signed."""
    try:
        await checkpoints.sign()
    except LogRefused as error:
        checkpoints.clinic.metrics.log_refusals.labels(error.reason).inc()
        logs.logger().error("log not signed", organisation=checkpoints.clinic.organisation, kind=error.reason)
    except (KeyFileInvalid, LogStateInvalid, OSError) as error:
        checkpoints.clinic.metrics.log_refusals.labels("keys").inc()
        logs.logger().error(
            "log not signed", organisation=checkpoints.clinic.organisation, kind="keys", error_type=type(error).__name__
        )
