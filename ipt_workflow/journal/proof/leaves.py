"""The leaves of a log: an entry or a record of the audit log, by its name and hash. A leaf has nothing personal, so an erasure changes none."""

from collections.abc import Iterable

import msgspec

from ipt_workflow.journal.proof.ipt_verify import leaf_hash
from ipt_workflow.values.canonical import canonical

ENTRY, RECORD = "entry", "record"


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at a position. An entry has `course` and `seq`, a record its id as `record`."""

    position: int
    kind: str
    hash: str
    course: str | None = None
    seq: int | None = None
    record: str | None = None

    def canonical(self) -> bytes:
        """The bytes of the leaf (RFC 8785)."""
        named = {"course": self.course, "seq": self.seq} if self.kind == ENTRY else {"record": self.record}
        return canonical({"hash": self.hash, "kind": self.kind, "position": self.position, **named})


def hashes(leaves: Iterable[Leaf]) -> list[bytes]:
    """The hashes that the tree holds."""
    return [leaf_hash(each.canonical()) for each in leaves]
