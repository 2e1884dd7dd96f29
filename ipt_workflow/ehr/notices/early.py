"""Handles notices again by themselves: those that came before their client's course was opened, once it is.

Opening a course wakes the task. It also looks every few seconds, for courses that another process opened.
"""

import asyncio

from ipt_workflow.ehr.notices import matches
from ipt_workflow.ehr.notices.commands import waiting
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.desk import OVERTAKEN, UNREADABLE
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.message_intake import TAKEN_BACK
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, DatabaseNotReady
from ipt_workflow.runtime import logs
from ipt_workflow.service.background import one_round
from ipt_workflow.service.decisions import retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.notices import NoticeDetail, StoredNotice

CLIENTS_MAX = 100  # in one round


class EarlyNotices:
    """The notices of a clinic that await a course."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self.clinic = notices.clinic
        self._opened = asyncio.Event()
        self.clinic.openings.append(self._opened.set)

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until `stop` is set."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            self._opened.clear()
            await one_round(self.handle(), waits="awaiting notices wait for the database", fails="awaiting notices failed")
            opened = asyncio.create_task(self._opened.wait())
            seconds = self.clinic.settings.attention_scan_seconds
            await asyncio.wait({stopping, opened}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            opened.cancel()
        stopping.cancel()

    async def handle(self) -> int:
        """Handles the notices of every client who has a course by now, in the order they came. Returns their number."""
        total = 0
        for client in await self.clinic.read(stored.clients_referred, CLIENTS_MAX):
            for notice in await self.clinic.read(stored.awaiting_course, client):
                total += await self._handled(notice)
        return total

    async def _handled(self, notice: StoredNotice) -> bool:
        """Handles one notice. An error in it leaves the others alone."""
        try:
            async with self.notices.lock(notice.resource_key or notice.id):  # while it is handled, no newer version marks it
                await retrying(lambda: self._again(notice.id), *OVERTAKEN[:1], *OVERTAKEN[2:])
        except (Busy, DatabaseNotReady):
            raise
        except stored.NoticeTaken:
            return False  # a person or another process has settled it
        except Exception as error:  # noqa: BLE001 - the next notice must be handled
            logs.logger().error("awaiting notice failed", notice=notice.id, type=notice.type, error_type=type(error).__name__)
            return False
        return True

    async def _again(self, notice_id: str) -> None:
        """Handles a notice, read anew, as the EHR. The entry says that it came before the course was opened."""
        notice = await self.clinic.read(stored.find, notice_id)
        if notice is None or notice.status != "waiting" or not notice.awaits_course:
            raise stored.NoticeTaken("The notice was settled meanwhile.")
        source = await self.clinic.read(stored_sources.find, notice.source_id)
        assert source is not None  # sources are disabled, never removed
        content, says = UNREADABLE, (notice.detail or NoticeDetail()).says
        try:
            content = self.notices.content_of(source, notice, notice.body or b"")
        except (CommandMalformed, CommandInvalid) as error:  # the table of types has changed
            decided = waiting(str(error).partition("\n")[0])
        else:
            if TAKEN_BACK in says:
                decided = waiting(TAKEN_BACK, await self._course_for(content))
            else:
                decided = await self.notices.decide_again(source, notice, content, None, early=True)
        await self.notices.settle(notice, decided, says or content.says, self.notices.principal(source, content, None))

    async def _course_for(self, content: NoticeContent) -> StoredCourse | None:
        client = await self.clinic.clients.get(content.client_ref) if content.client_ref else None
        return matches.course_for(content, client.courses if client else (), self.clinic.clock.now())
