"""Checks the hash chain of a journal, and the sealed document of each entry."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ipt_workflow.journal.entries import GENESIS, data_digest


class Checked(msgspec.Struct, frozen=True):
    """The result of checking one course's chain. `fault` is None if the chain is intact."""

    entries: int
    erased: int
    bad_seq: int | None = None
    fault: str | None = None


class EntryChecks(msgspec.Struct, frozen=True, kw_only=True):
    """Whether one stored entry is as it was written: its bytes by their hash, its link to the entry before, its sealed document.

    `erased`: there is no sealed document to check.
    """

    bytes: bool
    link: bool
    sealed: bool
    erased: bool


class ChainLink(msgspec.Struct, frozen=True, gc=False):
    """The fields of an entry that link its chain. They refer to no other object, so the garbage collector need not track them."""

    organisation: str
    course: str
    seq: int
    prev_hash: str


class Seal(msgspec.Struct, frozen=True):
    """The field of an entry that proves its sealed document."""

    data_digest: str


Linked = Sequence[Any]  # a row that begins with canonical bytes and the stored hash
Stored = Sequence[Any]  # a row of canonical bytes, the stored hash, salt and sealed document
_link = msgspec.json.Decoder(ChainLink).decode
_seal = msgspec.json.Decoder(Seal).decode


def check_chain(stored: Iterable[Stored], organisation: str, course: str) -> Checked:
    """Checks a course's stored entries: bytes, links, order and sealed documents."""
    entries = list(stored)
    links = check_links(entries, organisation, course)
    erased = 0
    for seq, (raw, _, salt, sealed) in enumerate(entries[: (links.bad_seq or len(entries) + 1) - 1], start=1):
        fault = _sealed_fault(raw, salt, sealed)
        if fault:
            return Checked(entries=seq, erased=erased, bad_seq=seq, fault=fault)
        erased += sealed is None
    return msgspec.structs.replace(links, erased=erased)


def check_entry(stored: Stored, before: str, organisation: str, course: str, seq: int) -> EntryChecks:
    """Checks one stored entry. `before` is the hash of the bytes of the entry before, or GENESIS."""
    raw, stored_hash, salt, sealed = stored
    try:
        link = _link(raw)
        linked = (link.organisation, link.course, link.seq, link.prev_hash) == (organisation, course, seq, before)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
        linked = False
    return EntryChecks(
        bytes=isinstance(raw, bytes) and hashlib.sha256(raw).hexdigest() == stored_hash,
        link=linked,
        sealed=_sealed_fault(raw, salt, sealed) is None,
        erased=sealed is None,
    )


def check_links(stored: Iterable[Linked], organisation: str, course: str) -> Checked:
    """Checks a course's stored entries without their sealed documents: bytes, links and order."""
    prev, seq = GENESIS, 0
    for seq, entry in enumerate(stored, start=1):
        raw = entry[0]
        try:
            link, found = _link(raw), hashlib.sha256(raw).hexdigest()
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError):
            return Checked(entries=seq, erased=0, bad_seq=seq, fault="canonical: these are not the bytes of an entry")
        if entry[1] != found:
            return Checked(entries=seq, erased=0, bad_seq=seq, fault="hash: it is not the SHA-256 of the canonical bytes")
        if link.prev_hash != prev or link.seq != seq or link.course != course or link.organisation != organisation:
            return Checked(entries=seq, erased=0, bad_seq=seq, fault=_link_fault(link, seq, organisation, course))
        prev = found
    return Checked(entries=seq, erased=0)


def _link_fault(link: ChainLink, seq: int, organisation: str, course: str) -> str:
    if link.seq != seq:
        return f"seq: it is {link.seq} instead of {seq}"
    if link.course != course or link.organisation != organisation:
        return "course: the entry belongs to another course"
    return "prev_hash: it is not the hash of the entry before"


def _sealed_fault(raw: bytes, salt: Any, sealed: Any) -> str | None:
    if (sealed is None) != (salt is None):
        return "sealed: salt and sealed document are erased together or not at all"
    try:
        if sealed is None or data_digest(bytes.fromhex(salt), sealed) == _seal(raw).data_digest:
            return None
    except (msgspec.DecodeError, ValueError, TypeError):
        pass
    return "data_digest: it is not the SHA-256 of salt and sealed document"
