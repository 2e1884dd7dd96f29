"""The append-only record of a course: entries, the chain of their hashes, and replay. Pure."""

from ipt_workflow.course.facts import EntryActor
from ipt_workflow.journal.chain import Checked, EntryChecks, check_chain, check_entry, check_links
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
    given_after,
    masked,
    moment,
    read,
    reasons,
    replay,
    seal,
)

__all__ = [
    "GENESIS",
    "SALT_BYTES",
    "Checked",
    "Entry",
    "EntryActor",
    "EntryChecks",
    "Sealed",
    "Written",
    "check_chain",
    "check_entry",
    "check_links",
    "data_digest",
    "entry_hash",
    "facts",
    "given",
    "given_after",
    "masked",
    "moment",
    "read",
    "reasons",
    "replay",
    "seal",
]
