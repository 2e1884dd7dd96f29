"""The journal: entries, their canonical bytes, the hash chain, and replay.

The hash covers the RFC 8785 form of an entry, which is stored as written and never rebuilt from columns. It has no free text, only
`data_digest`, the SHA-256 of a random salt and the sealed document. Salt and document are in a row of their own, which an erasure empties.
An erased entry still proves that it was written, and still folds.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ipt_workflow.course import Course
from ipt_workflow.course.drafts import Draft
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import fold
from ipt_workflow.errors import JournalBroken
from ipt_workflow.values.canonical import canonical

GENESIS = "0" * 64
SALT_BYTES = 16


class Written(Fact, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """An entry's canonical bytes, decoded: a fact, and its place in the chain.

    `on_behalf_of` is the therapist for whom the actor covered. Bytes without cover do not have the key.
    """

    organisation: str
    id: str
    from_: str | None
    to: str
    data_digest: str
    prev_hash: str
    on_behalf_of: str | None = None


class Sealed(msgspec.Struct, frozen=True):
    """The document behind `data_digest`: the command's data, reason and override, as they were sent."""

    data: dict[str, Any]
    reason: str | None
    override: dict[str, Any] | None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a course's journal. `salt` (hex) and `sealed` are None if the entry was erased, or `masked` for its reader."""

    written: Written
    canonical: bytes
    hash: str
    salt: str | None
    sealed: bytes | None
    masked: bool = False

    @property
    def fact(self) -> Fact:
        return self.written

    @property
    def document(self) -> Sealed | None:
        """The sealed document. Raises JournalBroken if somebody replaced it by bytes that are none."""
        if self.sealed is None:
            return None
        try:
            return msgspec.json.decode(self.sealed, type=Sealed)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalBroken("The sealed document is not that of an entry.") from error


def seal(draft: Draft, *, organisation: str, entry_id: str, prev_hash: str, salt: bytes, on_behalf_of: str | None = None) -> Entry:
    """Turns an accepted draft into an entry: seals its document, and hashes the rest."""
    sealed = canonical(
        {"data": draft.given, "reason": draft.reason, "override": msgspec.to_builtins(draft.override) if draft.override else None}
    )
    fact = draft.fact
    written = canonical(
        {
            "organisation": organisation,
            "course": fact.course,
            "seq": fact.seq,
            "id": entry_id,
            "trigger": fact.trigger,
            "from": draft.from_,
            "to": draft.to,
            "actor": {"person": fact.actor.person, "role": fact.actor.role, "via": fact.actor.via},
            "cosigned_by": fact.cosigned_by,
            "occurred_at": moment(fact.occurred_at),
            "recorded_at": moment(fact.recorded_at),
            "protocol_digest": fact.protocol_digest,
            "overridden": list(fact.overridden),
            "contradicts": list(fact.contradicts),
            "data": fact.data,
            "data_digest": data_digest(salt, sealed),
            "prev_hash": prev_hash,
            **({"on_behalf_of": on_behalf_of} if on_behalf_of else {}),
        }
    )
    return read(written, salt=salt.hex(), sealed=sealed)


def data_digest(salt: bytes, sealed: bytes) -> str:
    """SHA-256(salt ‖ JCS of the sealed document), hex."""
    return hashlib.sha256(salt + sealed).hexdigest()


def entry_hash(canonical: bytes) -> str:
    return hashlib.sha256(canonical).hexdigest()


def moment(value: dt.datetime) -> str:
    """RFC 3339 in UTC, always with microseconds, so that text order is time order."""
    text: str = msgspec.to_builtins(value.astimezone(dt.UTC))
    return text if value.microsecond else f"{text[:-1]}.000000Z"


def read(canonical: bytes, *, salt: str | None, sealed: bytes | None) -> Entry:
    """An entry from its stored bytes. Raises JournalBroken if they are not the bytes of an entry."""
    try:
        written = msgspec.json.decode(canonical, type=Written)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise JournalBroken("The canonical bytes are not those of an entry.") from error
    return Entry(written=written, canonical=canonical, hash=entry_hash(canonical), salt=salt, sealed=sealed)


def masked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries without their sealed text. Without the salt too: with it, a text that somebody guesses could be proved."""
    return [msgspec.structs.replace(each, salt=None, sealed=None, masked=each.sealed is not None) for each in entries]


def facts(entries: Iterable[Entry]) -> tuple[Fact, ...]:
    return tuple(entry.fact for entry in entries)


def given(entries: Iterable[Entry]) -> dict[int, dict[str, Any]]:
    """The sealed data of every entry, by seq. An amended entry has the data of its last amendment in force. Erased entries are missing."""
    return {root: now for root, now in given_after(entries).values() if now is not None}


def given_after(entries: Iterable[Entry]) -> dict[int, tuple[int, dict[str, Any] | None]]:
    """By seq, the entry that each entry is about (itself, or the one that it corrects), and the sealed data of that after it.

    The data is None if it was erased.
    """
    root: dict[int, int] = {}
    superseded: dict[int, int] = {}
    after: dict[int, dict[str, Any] | None] = {}
    for entry in entries:
        seq, data = entry.written.seq, entry.written.data
        document = entry.document
        if entry.written.trigger == "amend":
            corrected = superseded[seq] = data["supersedes"]
            root[seq] = root.get(corrected, corrected)
            undone = data.get("void") and not data.get("whole")
            before = after.get(superseded.get(corrected, corrected) if undone else corrected)
            after[seq] = document.data["data"] if document and "data" in document.data else before
        else:
            after[seq] = document.data if document else None
    return {seq: (root.get(seq, seq), now) for seq, now in after.items()}


def reasons(entries: Iterable[Entry]) -> dict[int, str]:
    """The reason that every entry gave, by seq; of an entry without one, that of its last amendment. Erased ones are missing."""
    by_seq: dict[int, str] = {}
    root: dict[int, int] = {}
    for entry in entries:
        seq, document = entry.written.seq, entry.document
        if entry.written.trigger == "amend":
            root[seq] = root.get(entry.written.data["supersedes"], entry.written.data["supersedes"])
        if document and document.reason and (seq not in root or root[seq] not in by_seq):
            by_seq[root.get(seq, seq)] = document.reason
    return by_seq


def replay(entries: Sequence[Entry], *, as_of: dt.datetime | None = None, known_at: dt.datetime | None = None) -> Course | None:
    """The course that results from the entries recorded until `known_at`, as it was at `as_of`."""
    known = [entry.fact for entry in entries if known_at is None or entry.written.recorded_at <= known_at]
    return fold(known, as_of=as_of) if known else None
