"""The verb of an auditor who takes the whole log away: a bundle that they verify where nobody of the clinic can help."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, BinaryIO

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import SignedNote
from ipt_workflow.service.access.streams import RunningStream
from ipt_workflow.service.audit.bundles import BundleWriter
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import log, log_bundles
from ipt_workflow.store.log_bundles import BundledEntry

CHUNK = 2000  # positions read at once
Progress = Callable[[int], None]  # hears how many positions were written
_line = msgspec.json.Encoder().encode


class LogExports:
    """Exports of a clinic's log."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def write(
        self,
        principal: Principal,
        target: BinaryIO,
        note: SignedNote,
        policy: str,
        *,
        texts: bool = False,
        progress: Progress = lambda _: None,
    ) -> ipt_verify.Checkpoint:
        """Writes the bundle of everything that a checkpoint covers. Returns the checkpoint.

        With `texts`, sealed texts go along as far as the principal may read them. Raises Forbidden and LongRequestsFull.
        """
        await self.clinic.require(principal, "export the audit log")
        checkpoint = ipt_verify.read_checkpoint(note.text)
        with self.clinic.installation.long_requests.one():
            await self.clinic.log(principal, "export", "log with texts" if texts else "log")
            with BundleWriter(
                target,
                "log",
                organisation=self.clinic.organisation,
                note=note,
                policy=policy,
                made_at=self.clinic.clock.now(),
            ) as bundle:
                await self._files(bundle, principal, checkpoint.size, texts, progress)
        return checkpoint

    async def _files(self, bundle: BundleWriter, principal: Principal, size: int, texts: bool, progress: Progress) -> None:
        with bundle.file(ipt_verify.LEAVES) as write:
            async for leaves in self._chunks(principal, log.leaves, size):
                write(b"".join(each.canonical() + b"\n" for each in leaves))
        with bundle.file(ipt_verify.LEAF_HASHES) as write:
            for number in range(-(-size // tree.WIDTH)):
                held = await self.clinic.read(log_bundles.leaf_hashes, number)
                write(held[: (size - number * tree.WIDTH) * tree.HASH_BYTES])
        with bundle.file(ipt_verify.ENTRIES) as write:
            async for entries in self._chunks(principal, log_bundles.entries, size):
                write(_lines(await self._readable(principal, entries, texts)))
                progress(CHUNK)
            write(_lines(await self._readable(principal, await self.clinic.read(log_bundles.unlogged_entries), texts)))
        with bundle.file(ipt_verify.RECORDS) as write:
            async for records in self._chunks(principal, log_bundles.records, size):
                write(_lines(records))
            write(_lines(await self.clinic.read(log_bundles.unlogged_records)))

    async def _chunks(self, principal: Principal, read: Callable[..., Sequence[Any]], size: int) -> AsyncIterator[Sequence[Any]]:
        stream = RunningStream(self.clinic, principal)
        for start in range(0, size, CHUNK):
            await stream.check()
            yield await self.clinic.read(read, start, min(start + CHUNK, size))

    async def _readable(self, principal: Principal, entries: Sequence[BundledEntry], texts: bool) -> list[BundledEntry]:
        """The entries without the texts that the principal may not read, or does not want."""
        named = {each.course for each in entries}
        masked = await self.clinic.masked(principal, named) if texts else named
        return [msgspec.structs.replace(each, salt=None, sealed=None) if each.course in masked else each for each in entries]


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(_line(each) + b"\n" for each in rows)
