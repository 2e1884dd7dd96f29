"""The append-only record of a course: entries, the chain of their hashes, and replay."""

from ipt_workflow.course.facts import EntryActor
from ipt_workflow.journal.chain import ChainLink, Checked, Linked, Seal, Stored, check_chain, check_links
from ipt_workflow.journal.entries import (
    GENESIS,
    SALT_BYTES,
    Entry,
    Sealed,
    Written,
    data_digest,
    entry_hash,
    facts,
    given,
    moment,
    read,
    replay,
    seal,
)

__all__ = [
    "GENESIS",
    "SALT_BYTES",
    "ChainLink",
    "Checked",
    "Entry",
    "EntryActor",
    "Linked",
    "Seal",
    "Sealed",
    "Stored",
    "Written",
    "check_chain",
    "check_links",
    "data_digest",
    "entry_hash",
    "facts",
    "given",
    "moment",
    "read",
    "replay",
    "seal",
]
