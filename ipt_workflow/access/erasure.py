"""What an erasure may rest on, what it removes, and what remains of a client and why: the words of each."""

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from ipt_workflow.errors import Fault
from ipt_workflow.values.types import ClientRef, Seq

ErasureGround = Literal[
    "no_longer_needed", "consent_withdrawn", "objection", "unlawful", "legal_obligation", "retention", "national_law"
]
GROUNDS: Mapping[str, str] = {
    "no_longer_needed": "the data are no longer needed (GDPR 17(1)(a))",
    "consent_withdrawn": "consent was withdrawn, and there is no other basis (GDPR 17(1)(b))",
    "objection": "the client objected (GDPR 17(1)(c))",
    "unlawful": "the processing was unlawful (GDPR 17(1)(d))",
    "legal_obligation": "the law demands the erasure (GDPR 17(1)(e))",
    "retention": "the time for which it was kept has passed",
    "national_law": "national law gives the right",
}
assert set(GROUNDS) == set(get_args(ErasureGround))
KINDS: Mapping[str, str] = {
    "entry_texts": "texts, answers and reasons of entries",
    "proposals": "proposed commands, and what supervisors wrote about them",
    "drafts": "forms that somebody had begun",
    "access_texts": "reasons and notes of emergency access, unmasking, marks and disclosures",
    "restriction_reasons": "reasons of restrictions of a course",
    "held_records": "refused records of group sessions",
    "notices": "contents and names of messages of an EHR",
    "deliveries": "deliveries that were not sent yet",
    "digests": "digests of requests and messages",
    "keys": "keys of sealed texts",
    "client_label": "what the clinic called the client",
    "client_reference": "the EHR's reference of the client",
}
ONE_ENTRY = "of one entry are both needed; for a client, give client_ref alone"


class NewErasure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be erased, and on what ground: the client with exactly this reference, or the text of entry `seq` of a `course`."""

    ground: ErasureGround
    client_ref: ClientRef | None = None
    course: str | None = None
    seq: Seq | None = None


# What remains, and why. `{count}` and `{names}` are filled in.
REMAINS: Mapping[str, tuple[str, str]] = {
    "structure": (
        "structure",
        (
            "It proves what happened, when and by whom, and courses go on by it. It holds codes, counts, totals of measures and the EHR's"
            " names of appointments, and no words."
        ),
    ),
    "other_entries": (
        "other entries",
        "Their texts correct this entry, or are corrected by it: {names}. Erase them too if they say the same.",
    ),
    "records": ("records of the audit log", "They prove who read and wrote what, and name courses by our own ids."),
    "recipients": ("copies at subscribers", "They have what was delivered to them: {names}. Ask them to erase it."),
    "exports": ("exports and prints that people made", "Nobody knows where they are."),
    "copies": (
        "backups, replicas and archives",
        (
            "They hold what they held when they were made. Replace them, or let their time run out. The reference, and what was not under a"
            " key (messages, proposals, labels), can be read there."
        ),
    ),
    "shredded": (
        "texts under shredded keys, in copies",
        "{count} texts cannot be read any more in copies that do not hold the table client_key.",
    ),
    "unsealed": (
        "texts under no key, in copies",
        "Shredding was not possible for {count} texts: they were written without IPT_SECRET_KEYS, and can be read in copies.",
    ),
    "one_key": (
        "the text, in copies",
        "Shredding was not possible: its key opens the other texts of the course too, or it is under none.",
    ),
    "archive": ("archive of the WAL", "This server archives its WAL. Remove what is older than the erasure."),
    "free_pages": (
        "free pages of the file",
        "What was removed is overwritten. Earlier changes may have left parts in free pages and in the WAL: run VACUUM, and a checkpoint.",
    ),
    "old_rows": (
        "old rows and WAL",
        "PostgreSQL leaves old rows until VACUUM FULL of the tables, and its WAL until the files are overwritten or removed.",
    ),
}


class RemainingPart(msgspec.Struct, frozen=True, kw_only=True):
    """Something that remains after an erasure, and why. `kind` is its code; `count` and `names` say of how many and of which."""

    kind: str
    what: str
    why: str
    count: int | None = None
    names: tuple[str, ...] = ()


def remaining(kind: str, count: int | None = None, names: tuple[str, ...] = ()) -> RemainingPart:
    what, why = REMAINS[kind]
    return RemainingPart(kind=kind, what=what, why=why.format(count=count, names=", ".join(names)), count=count, names=names)


def faults(new: NewErasure) -> list[Fault]:
    """What is wrong with the request as a whole."""
    one_entry = new.course is not None or new.seq is not None
    if one_entry and (new.course is None or new.seq is None or new.client_ref is not None):
        return [Fault("course", f"and seq {ONE_ENTRY}")]
    return [] if one_entry or new.client_ref is not None else [Fault("client_ref", "is needed, or course and seq of one entry")]
