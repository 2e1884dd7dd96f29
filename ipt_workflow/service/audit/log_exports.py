"""The verb of an auditor who takes the whole log away: a bundle that they verify where nobody of the clinic can help."""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import JournalBroken, NotFound
from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved, SignedNote
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.service.audit.bundles import BundleWriter
from ipt_workflow.service.audit.checkpoints import Checkpoints, LogRefused
from ipt_workflow.service.audit.cosignatures import WitnessCaller
from ipt_workflow.service.audit.log_keys import KeyFileInvalid
from ipt_workflow.service.audit.log_state import LogStateInvalid
from ipt_workflow.service.audit.witnesses import Witnesses, cosigned_note, has_quorum
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.secondary_use import left_out
from ipt_workflow.store import cosignatures, log, log_bundles
from ipt_workflow.store.log_bundles import BundledEntry

CHUNK = 2000  # positions read at once
NO_CHECKPOINT = (
    "The log has no checkpoint yet. Make its keys with `ipt-workflow log key`, and sign it with `ipt-workflow log sign`."
)
Progress = Callable[[int], None]  # hears how many positions were written
Unsigned = Callable[[str], None]  # hears why the log was not signed
_line = msgspec.json.Encoder().encode


class LogExports:
    """Exports of a clinic's log."""

    def __init__(self, clinic: Clinic, caller: WitnessCaller | None = None) -> None:
        """With a caller, witnesses are asked for their cosignatures first. Raises PolicyInvalid."""
        self.clinic = clinic
        self._checkpoints = Checkpoints(clinic)
        self._witnesses = Witnesses(clinic, caller)

    async def write(
        self,
        principal: Principal,
        target: BinaryIO,
        *,
        texts: bool = False,
        unsigned: Unsigned = lambda _: None,
        progress: Progress = lambda _: None,
    ) -> Checkpoint:
        """Writes the bundle of everything that the newest checkpoint covers, which is signed first. Returns the checkpoint.

        With `texts`, sealed texts go along as far as the principal may read them. `unsigned` hears why nothing new was signed: then it is the
        newest checkpoint of before. Raises Forbidden, LongRequestsFull, JournalBroken, and NotFound if there is no checkpoint.
        """
        await self.clinic.require(principal, "export the audit log")
        note = await self.checkpoint(unsigned)
        checkpoint = ipt_verify.read_checkpoint(note.text)
        with self.clinic.installation.long_requests.one():
            await self.clinic.log(principal, "export", "log with texts" if texts else "log")
            with BundleWriter(
                target,
                "log",
                organisation=self.clinic.organisation,
                note=note,
                policy=self.policy(checkpoint.origin),
                made_at=self.clinic.clock.now(),
            ) as bundle:
                await self._files(bundle, principal, checkpoint.size, texts, progress)
        return checkpoint

    async def checkpoint(self, unsigned: Unsigned) -> SignedNote:
        """The newest checkpoint that has its quorum of witnesses, or else the newest. Signs first. Raises NotFound or JournalBroken."""
        try:
            await self._checkpoints.sign()
            await self._witnesses.submit()
        except (LogRefused, KeyFileInvalid, LogStateInvalid, JournalBroken) as error:
            unsigned(str(error))
        found = await self.clinic.read(cosignatures.newest, cosignatures.LOOKED_BACK)
        if not found:
            raise NotFound(NO_CHECKPOINT)
        policy = self._witnesses.policy
        try:
            chosen = next((each for each in found if policy.quorum == "none" or has_quorum(policy, each)), found[0])
            note = cosigned_note(chosen)
            ipt_verify.read_checkpoint(note.text)
        except NotProved as error:
            raise JournalBroken(f"The newest checkpoint in the database is none: {error}") from None
        if chosen.size < found[0].size:
            unsigned(
                f"The newest checkpoint, of size {found[0].size}, lacks its quorum of witnesses. The bundle has the one of size {chosen.size}."
            )
        elif policy.quorum != "none" and not has_quorum(policy, chosen):
            unsigned("No checkpoint of late has its quorum of witnesses. `ipt-workflow witness list` says how far each is.")
        return note

    def policy(self, origin: str) -> str:
        """The installation's policy, or the log's keys as far as they are known here. Whoever verifies has a policy of their own."""
        if file := self.clinic.settings.log_policy_file:
            return Path(file).read_text(encoding="utf-8")
        try:
            keys = self._checkpoints.public_keys(origin)
        except KeyFileInvalid:
            return "# The keys of the log are not known where this was made.\nquorum none\n"
        return "".join(f"log {each}\n" for each in keys) + "quorum none\n"

    async def _files(self, bundle: BundleWriter, principal: Principal, size: int, texts: bool, progress: Progress) -> None:
        with bundle.file(ipt_verify.LEAVES) as write:
            async for leaves in self._chunks(principal, log.leaves, size):
                write(b"".join(each.canonical() + b"\n" for each in leaves))
        with bundle.file(ipt_verify.LEAF_HASHES) as write:
            for number in range(-(-size // tree.WIDTH)):
                held = await self.clinic.read(log_bundles.leaf_hashes, number)
                write(held[: (size - number * tree.WIDTH) * tree.HASH_BYTES])
        with bundle.file(ipt_verify.ENTRIES) as write:
            async for entries in self._chunks(principal, partial(log_bundles.entries, texts=texts), size):
                write(_lines(await self._readable(principal, entries)))
                progress(CHUNK)
            write(_lines(await self._readable(principal, await self.clinic.read(log_bundles.unlogged_entries, texts=texts))))
        with bundle.file(ipt_verify.RECORDS) as write:
            async for records in self._chunks(principal, log_bundles.records, size):
                write(_lines(records))
            write(_lines(await self.clinic.read(log_bundles.unlogged_records)))

    async def _chunks(self, principal: Principal, read: Callable[..., Sequence[Any]], size: int) -> AsyncIterator[Sequence[Any]]:
        stream = RunningStream(self.clinic, principal)
        for start in range(0, size, CHUNK):
            await stream.check()
            yield await self.clinic.read(read, start, min(start + CHUNK, size))

    async def _readable(self, principal: Principal, entries: Sequence[BundledEntry]) -> list[BundledEntry]:
        """The entries without the texts that the principal may not read.

        Nor have they those of clients who object to secondary use, or of whose data processing is restricted: the bundle names no client.
        """
        named = sorted({each.course for each in entries if not each.masked})
        masked = await self.clinic.masked(principal, named) | await left_out(self.clinic, named, "HOPERAT")
        return [
            msgspec.structs.replace(each, salt=None, sealed=None, masked=True) if each.course in masked else each
            for each in entries
        ]


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(_line(each) + b"\n" for each in rows)
