"""Notices that version 0.18 and older stored before it handled them, if it was stopped in between. Today a notice is stored settled."""

import hashlib

from ipt_workflow.ehr.notices.commands import DecidedNotice, NoticeOutcome, waiting
from ipt_workflow.ehr.notices.desk import UNREADABLE
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.errors import CommandInvalid, CommandMalformed
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.notices import StoredNotice


async def recover(notices: Notices) -> int:
    """Handles the notices that were stored and not settled; returns their number."""
    found = await notices.clinic.read(stored.unsettled)
    for notice in found:
        await _recover(notices, notice)
    return len(found)


async def _recover(notices: Notices, notice: StoredNotice) -> None:
    source = await notices.clinic.read(stored_sources.find, notice.source_id)
    assert source is not None  # sources are disabled, never removed
    says: tuple[str, ...] = ()
    principal = notices.principal(source, UNREADABLE, None)
    try:
        content = notices.content_of(source, notice, notice.body or b"")
    except (CommandMalformed, CommandInvalid) as error:
        decided = waiting(str(error).partition("\n")[0])
    else:
        says, principal = content.says, notices.principal(source, content, None)
        decided = await _committed(notices, notice) or await notices.decide_again(source, notice, content, None)
    await notices.settle(notice, decided, says, principal)


async def _committed(notices: Notices, notice: StoredNotice) -> DecidedNotice | None:
    """What the notice came to, if its command was committed; it was kept under an idempotency key."""
    scope = hashlib.sha256(f"notice\n{notice.id}\n\n0".encode()).hexdigest()
    kept = await notices.clinic.kept_answer(scope)
    if kept is None:
        return None
    entries = await notices.clinic.entries(kept.course_id)
    fact = next(entry.fact for entry in entries if entry.written.seq == kept.first_seq)
    about = fact.data.get("supersedes") or fact.data.get("session") or fact.seq
    outcome = NoticeOutcome(status="applied", course=kept.course_id, seq=kept.first_seq, about_seq=about)
    return DecidedNotice(outcome=outcome)
