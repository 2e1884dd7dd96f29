"""The witnesses of an organisation's log: they are asked to cosign each checkpoint, and whoever lacks them is found."""

import asyncio
import datetime as dt
from functools import cache
from pathlib import Path

import msgspec

from ipt_workflow.errors import IptError, NotFound
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Key, NotProved, Policy, SignedNote, Submission
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import cosignatures
from ipt_workflow.service.audit.checkpoints import Checkpoints
from ipt_workflow.service.audit.cosignatures import WitnessAhead, WitnessCaller, WitnessContradicts, WitnessUnusable
from ipt_workflow.service.audit.log_keys import KeyFileInvalid
from ipt_workflow.service.audit.log_state import LogStateInvalid
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import cosignatures as stored
from ipt_workflow.store import log as stored_log
from ipt_workflow.store.cosignatures import CosignedCheckpoint

LOST = (
    "The checkpoint is one that this log has signed, and that its database does not have: an older database was put back. From now on nothing "
    "is signed. Put back a newer one, or begin a new origin with `ipt-workflow log resume`."
)
NO_CHECKPOINT = "The log has no checkpoint yet. `ipt-workflow log show` says why."


class PolicyInvalid(IptError):
    """The file of the setting `log_policy_file` cannot be used, and why."""


class SubmissionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of asking a witness: cosigned, ahead, contradicts or unusable. `reason` says more of the last three."""

    witness: str
    outcome: str
    size: int
    reason: str | None = None


class WitnessView(msgspec.Struct, frozen=True, kw_only=True):
    """A witness of the policy, and the largest checkpoint that it cosigned. Without an address, somebody carries files."""

    witness: str
    key: str
    address: str | None
    size: int | None
    at: dt.datetime | None


class WitnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """Every witness, the size of the newest checkpoint, and for how long the quorum has been missing."""

    size: int | None
    unwitnessed_seconds: float
    witnesses: tuple[WitnessView, ...]


def policy_of(settings: Settings) -> Policy:
    """The policy of this installation, as its file was when the process first read it. Raises PolicyInvalid."""
    return _read_policy(settings.log_policy_file)


@cache
def _read_policy(file: str) -> Policy:
    """Without a file, a policy without witnesses."""
    try:
        return ipt_verify.read_policy(Path(file).read_text(encoding="utf-8") if file else "quorum none")
    except OSError as error:
        raise PolicyInvalid(f"IPT_LOG_POLICY_FILE: the file cannot be read: {error.strerror}.") from None
    except (NotProved, UnicodeDecodeError) as error:
        raise PolicyInvalid(f"IPT_LOG_POLICY_FILE: {error}") from None


class Witnesses:
    """The witnesses of a clinic's log. Without a `caller` nobody can be asked over HTTP."""

    def __init__(self, clinic: Clinic, caller: WitnessCaller | None = None) -> None:
        self.clinic = clinic
        self.policy = policy_of(clinic.settings)
        self._caller = caller
        self._sizes: dict[tuple[str, str], int] = {}  # what each witness knows, by its name and the log's origin

    async def submit(self) -> list[SubmissionOutcome]:
        """Asks every witness with an address that has not cosigned the newest checkpoint."""
        newest = await self._newest()
        if newest is None or self._caller is None:
            return []
        wanted = [
            (name, key)
            for name, key in self.policy.witnesses.items()
            if name in self.policy.addresses and mark(key) not in newest.cosignatures
        ]
        return list(await asyncio.gather(*(self._submit(self._caller, newest, name, key) for name, key in wanted)))

    async def _submit(self, caller: WitnessCaller, newest: CosignedCheckpoint, name: str, key: Key) -> SubmissionOutcome:
        note, known, address = ipt_verify.read_note(newest.note), (name, newest.origin), self.policy.addresses[name]

        async def consistency(old: int, new: int) -> tuple[bytes, ...]:
            return await self.clinic.read(stored_log.consistency, old, new)

        outcome, reason = "cosigned", None
        try:
            lines = await cosignatures.cosigned(caller, name, key, address, note, self._sizes.get(known, 0), consistency)
            await self._add(newest.size, lines)
            self._sizes[known] = newest.size
        except WitnessAhead as error:
            outcome, reason = "ahead", str(error)
            await self._remember(caller, name, newest.origin)
        except WitnessContradicts as error:
            outcome, reason = "contradicts", str(error)
        except WitnessUnusable as error:
            outcome, reason = "unusable", str(error)
        self.clinic.metrics.log_submissions.labels(name, outcome).inc()
        if reason:
            logs.logger().warning("no cosignature", witness=name, kind=outcome)
        return SubmissionOutcome(witness=name, outcome=outcome, size=newest.size, reason=reason)

    async def _remember(self, caller: WitnessCaller, name: str, origin: str) -> None:
        """Lets nothing be signed any more if a witness shows a larger log that our own keys have signed: this database is an older one."""
        if not self.clinic.settings.log_key_file:
            return
        try:
            note = await cosignatures.kept_by(caller, name, self.policy.addresses[name], origin)
            await Checkpoints(self.clinic).hear(note)
        except (WitnessUnusable, KeyFileInvalid, LogStateInvalid, NotProved, OSError) as error:
            logs.logger().warning("a witness is ahead, and shows nothing", witness=name, error_type=type(error).__name__)

    async def request(self, name: str, size: int | None = None) -> Submission:
        """A submission for a witness to which somebody carries it: from `size`, or what it cosigned last, up to the newest checkpoint.

        Raises NotFound if there is no such witness, or no checkpoint.
        """
        key, newest = self._key(name), await self._newest()
        if newest is None:
            raise NotFound(NO_CHECKPOINT)
        last = await self.clinic.read(stored.last_with, mark(key)) if size is None else None
        old = size if size is not None else last.size if last and last.origin == newest.origin else 0
        if old > newest.size:
            raise NotFound(f"The newest checkpoint has size {newest.size}, which is less than {old}.")
        hashes = await self.clinic.read(stored_log.consistency, old, newest.size) if old else ()
        return Submission(old, hashes, newest.note)

    async def take(self, text: str) -> list[str]:
        """Keeps the cosignatures on a checkpoint that somebody brings back. Returns whose they are.

        Raises WitnessUnusable if there is none, NotFound if the checkpoint is not one of this log.
        """
        try:
            note = ipt_verify.read_note(text)
            checkpoint = ipt_verify.read_checkpoint(note.text)
        except NotProved as error:
            raise WitnessUnusable(f"It is no cosigned checkpoint: {error}") from None
        kept = await self.clinic.read(stored.of_size, checkpoint.size)
        if kept is None or ipt_verify.read_note(kept.note).text != note.text:
            if self.clinic.settings.log_key_file and await Checkpoints(self.clinic).hear(note):
                raise NotFound(LOST)
            raise NotFound("The checkpoint is not one of this log. Keep the file: it may show that the log was rewritten.")
        found = {}
        for name, key in self.policy.witnesses.items():
            lines = "".join(each.line() for each in note.signatures if (each.name, each.key_id) == (key.name, key.id))
            if lines:
                found[name] = cosignatures.taken(lines.encode(), name, key, note)
        if not found:
            raise WitnessUnusable("No witness of the policy has cosigned it.")
        await self._add(checkpoint.size, [line for lines in found.values() for line in lines])
        return list(found)

    async def report(self) -> WitnessReport:
        """How far each witness is."""
        newest = await self._newest()
        views = [await self._view(name, key) for name, key in self.policy.witnesses.items()]
        return WitnessReport(
            size=newest.size if newest else None, unwitnessed_seconds=await self.unwitnessed_seconds(), witnesses=tuple(views)
        )

    async def unwitnessed_seconds(self) -> float:
        """For how long there has been a checkpoint without its quorum: 0 if the newest has it, at most about an hour if none has."""
        if self.policy.quorum == "none":
            return 0.0
        since = None
        for each in await self.clinic.read(stored.newest, stored.LOOKED_BACK):
            if has_quorum(self.policy, each):
                break
            since = each.created_at
        return max(0.0, (self.clinic.clock.now() - since).total_seconds()) if since else 0.0

    async def _view(self, name: str, key: Key) -> WitnessView:
        last = await self.clinic.read(stored.last_with, mark(key))
        return WitnessView(
            witness=name,
            key=key.vkey(),
            address=self.policy.addresses.get(name),
            size=last.size if last else None,
            at=last.created_at if last else None,
        )

    def _key(self, name: str) -> Key:
        if name not in self.policy.witnesses:
            raise NotFound(f"The policy has no such witness. It has {', '.join(self.policy.witnesses) or 'none'}.")
        return self.policy.witnesses[name]

    async def _newest(self) -> CosignedCheckpoint | None:
        return next(iter(await self.clinic.read(stored.newest)), None)

    async def _add(self, size: int, lines: list[ipt_verify.Signature] | tuple[ipt_verify.Signature, ...]) -> None:
        await self.clinic.write(stored.add, size, [each.line() for each in lines])


def cosigned_note(checkpoint: CosignedCheckpoint) -> SignedNote:
    """A checkpoint as auditors verify it: with the signatures of the log and of its witnesses."""
    return ipt_verify.read_note(checkpoint.note + checkpoint.cosignatures)


def has_quorum(policy: Policy, checkpoint: CosignedCheckpoint) -> bool:
    """Whether enough witnesses of the policy have cosigned a checkpoint."""
    note = cosigned_note(checkpoint)
    return ipt_verify.is_witnessed(policy, policy.quorum, [name for name, key in policy.witnesses.items() if _confirms(key, note)])


def mark(key: Key) -> str:
    """How the lines of a key begin, in Base64 of which three bytes make four characters: enough to tell them apart."""
    return f"\u2014 {key.name} {ipt_verify.encoded(key.id[:3])}"


def _confirms(key: Key, note: SignedNote) -> bool:
    try:
        return cosignatures.confirms(key, note)
    except NotProved:
        return False
