"""What the log proves, and its tiles: for whoever verifies it without asking anybody (C2SP tlog-proof and tlog-tiles)."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Proof
from ipt_workflow.journal.proof.leaves import Leaf
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import checkpoints, deliveries, events, log
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.checkpoints import StoredCheckpoint

NO_CHECKPOINT = "The log has no checkpoint yet: one is signed each minute where IPT_LOG_KEY_FILE names keys."
NO_LEAF = "There is no such entry or record in the log, or none that you may see."
NOT_YET = "No checkpoint covers it yet: one is signed each minute. Try again."
NO_TILE = "The log has no such tile, or its newest checkpoint does not cover it yet."
NOT_PROVED = "The delivery carries no entry and no refusal, so it has nothing in the log."


class LogCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint: the name of the log, its size and root (Base64), and the signed note with the lines of witnesses."""

    origin: str
    size: int
    root: str
    note: str


class LogConsistency(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """That the log of size `to` begins with that of size `from`: the hashes in Base64, as RFC 6962 orders them."""

    from_: int
    to: int
    hashes: tuple[str, ...]


class ProofWanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be proved: an entry of a course or its newest, a record of the audit log, or what a delivery carried."""

    course: str | None = None
    seq: int | None = None
    record: str | None = None
    delivery: str | None = None


class Tile(NamedTuple):
    """A tile by its level and number, and how many of its hashes or entries are asked for."""

    level: int
    number: int
    width: int


class LogProofs:
    """Proofs from a clinic's log."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def checkpoint(self, principal: Principal) -> LogCheckpoint:
        """The newest checkpoint. Raises NotFound."""
        await self.clinic.require(principal, "read the audit log")
        return _shown(await self._newest())

    async def consistency(self, principal: Principal, sizes: Callable[[], tuple[int, int | None]]) -> LogConsistency:
        """That the log continues what it was. Without the second size, as of the newest checkpoint. Raises NotFound or CommandInvalid."""
        await self.clinic.require(principal, "read the audit log")
        old_size, size = sizes()
        newest = await self._newest()
        size = newest.size if size is None else size
        if not 0 < old_size <= size <= newest.size:
            raise CommandInvalid([Fault("from", f"must be at least 1 and at most `to`, which is at most {newest.size}")])
        hashes = await self.clinic.read(log.consistency, old_size, size)
        return LogConsistency(from_=old_size, to=size, hashes=tuple(ipt_verify.encoded(each) for each in hashes))

    async def of(self, principal: Principal, wanted: Callable[[], ProofWanted]) -> Proof:
        """The proof of what somebody names. Raises NotFound or CommandInvalid."""
        await self.clinic.require(principal, "read the audit log")
        named = wanted()
        if named.course is not None:
            return await self.of_entry(principal, named.course, named.seq)
        if named.record is not None:
            return await self.of_record(principal, named.record)
        return await self.of_delivery(principal, named.delivery or "")

    async def of_entry(self, principal: Principal, course: str, seq: int | None) -> Proof:
        """The proof of an entry; without `seq`, of the newest of its course. Raises NotFound."""
        await self.clinic.require(principal, "read the audit log", [course])
        stored = await self.clinic.visible_course(principal, course)
        await self.clinic.log(principal, "read", "log proof", [stored])
        return await self._proof(await self.clinic.read(log.leaf_of_entry, course, seq or stored.course.version))

    async def of_record(self, principal: Principal, record: str) -> Proof:
        """The proof of a record of the audit log, by its id there. Raises NotFound."""
        for each in await AuditLog(self.clinic).page(principal, AuditFilters(id=record), Position(), 1):
            if each.seq is None:
                return await self._proof(await self.clinic.read(log.leaf_of_record, record))
            return await self._proof(await self.clinic.read(log.leaf_of_entry, each.courses[0], each.seq))
        raise NotFound(NO_LEAF)

    async def of_delivery(self, principal: Principal, delivery: str) -> Proof:
        """The proof of the entry or refusal that a delivery carries. Raises NotFound."""
        await self.clinic.require(principal, "read the audit log")
        found = await self.clinic.read(deliveries.find, delivery)
        if found is None:
            raise NotFound(NO_LEAF)
        event = (await self.clinic.read(events.at, [found.position]))[found.position]
        if event.kind == "entry" and event.course:
            return await self.of_entry(principal, event.course, event.seq)
        if event.kind == "refusal":
            return await self.of_record(principal, event.id)
        raise NotFound(NOT_PROVED)

    async def note(self) -> str:
        """The newest checkpoint as a signed note, for anybody. Raises NotFound."""
        return _shown(await self._newest()).note

    async def hashes(self, tile: Tile) -> bytes:
        """The first hashes of a tile, for anybody. Raises NotFound, also for what no checkpoint covers yet."""
        newest = await self._newest()
        covered = newest.size // tree.WIDTH**tile.level - tile.number * tree.WIDTH
        found = await self.clinic.read(log.tiles, [(tile.level, tile.number)])
        hashes = found.get((tile.level, tile.number), b"")[: tile.width * tree.HASH_BYTES]
        if tile.width > covered or len(hashes) != tile.width * tree.HASH_BYTES:
            raise NotFound(NO_TILE)
        return hashes

    async def leaves(self, principal: Principal, tile: Tile) -> list[Leaf]:
        """The first leaves below a tile of level 0. Raises NotFound."""
        await self.clinic.require(principal, "export the audit log")
        newest, start = await self._newest(), tile.number * tree.WIDTH
        if start + tile.width > newest.size:
            raise NotFound(NO_TILE)
        return await self.clinic.read(log.leaves, start, start + tile.width)

    async def _newest(self) -> StoredCheckpoint:
        found = await self.clinic.read(checkpoints.newest)
        if found is None:
            raise NotFound(NO_CHECKPOINT)
        return found

    async def _proof(self, leaf: Leaf | None) -> Proof:
        newest = await self._newest()
        if leaf is None:
            raise NotFound(NO_LEAF)
        if leaf.position >= newest.size:
            raise NotFound(NOT_YET)
        hashes = await self.clinic.read(log.inclusion, leaf.position, newest.size)
        return Proof(leaf.position, hashes, ipt_verify.read_note(_shown(newest).note), leaf.canonical())


def _shown(checkpoint: StoredCheckpoint) -> LogCheckpoint:
    return LogCheckpoint(
        origin=checkpoint.origin, size=checkpoint.size, root=checkpoint.root, note=checkpoint.note + checkpoint.cosignatures
    )
