"""Notices that version 0.18 and older stored before it handled them, if it was stopped in between. Today a notice is stored settled."""

import hashlib

import msgspec

from ipt_workflow.ehr.notices.commands import DecidedNotice, NoticeOutcome, waiting
from ipt_workflow.ehr.notices.desk import OVERTAKEN, UNREADABLE
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, DatabaseNotReady
from ipt_workflow.runtime import logs
from ipt_workflow.service.decisions import retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.notices import NoticeTaken, StoredNotice

FIRST_ALONE = "The message says several things, and only the first was handled. Look in the EHR for the others."


async def recover(notices: Notices) -> int:
    """Handles the notices that were stored and not settled; returns their number. One with an error is left as it is."""
    seen: set[str] = set()
    while found := [each for each in await notices.clinic.read(stored.unsettled) if each.id not in seen]:
        for notice in found:
            seen.add(notice.id)
            await _recovered(notices, notice)
    return len(seen)


async def _recovered(notices: Notices, notice: StoredNotice) -> None:
    try:
        await retrying(lambda: _recover(notices, notice), *OVERTAKEN, unless=(NoticeTaken,))
    except (Busy, DatabaseNotReady):
        raise
    except NoticeTaken:
        return  # another process has settled it
    except Exception as error:  # noqa: BLE001 - the next notice must be handled
        logs.logger().error("unsettled notice failed", notice=notice.id, type=notice.type, error_type=type(error).__name__)


async def _recover(notices: Notices, notice: StoredNotice) -> None:
    source = await notices.clinic.read(stored_sources.find, notice.source_id)
    assert source is not None  # sources are disabled, never removed
    says: tuple[str, ...] = ()
    principal = notices.principal(source, UNREADABLE, None)
    try:
        contents = notices.contents_of(source, notice.type, notice.body or b"")
        several = len(contents) > 1
        content = contents[0] if several else notices.content_of(source, notice, notice.body or b"")
    except (CommandMalformed, CommandInvalid) as error:
        decided = waiting(str(error).partition("\n")[0])
    else:
        if several:
            reason = " ".join(filter(None, (content.reason, FIRST_ALONE)))
            content = msgspec.structs.replace(content, reason=reason, says=(*content.says, FIRST_ALONE))
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
