"""Failed authentications: anybody can cause them, so they are counted in memory and written once a minute, never one by one."""

import asyncio
import datetime as dt
from collections import Counter

from ipt_workflow.runtime import logs
from ipt_workflow.service.background import each_minute
from ipt_workflow.service.installation import Installation
from ipt_workflow.store import failures as stored
from ipt_workflow.store.failures import FailureCount

COUNTED_MAX = 1000  # addresses and minutes that wait to be written; further ones count under OTHERS
OTHERS = "others"


class AuthenticationFailures:
    """Counts the failed authentications of a process, and keeps them in the installation's database."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._waiting: Counter[tuple[dt.datetime, str]] = Counter()

    def count(self, address: str) -> None:
        minute = self.installation.clock.now().replace(second=0, microsecond=0)
        key = (minute, address)
        if key not in self._waiting and len(self._waiting) >= COUNTED_MAX:
            key = (min(each for each, _ in self._waiting), OTHERS)
        self._waiting[key] += 1
        self.installation.metrics.authentication_failures.inc()

    async def run(self, stop: asyncio.Event) -> None:
        """Writes what was counted once a minute, and when `stop` is set."""
        waits, fails = "failed authentications wait for the database", "failed authentications were not kept"
        await each_minute(self.keep, stop, waits=waits, fails=fails)

    async def keep(self) -> None:
        """Writes what was counted. If that fails, it goes on waiting."""
        if not self._waiting:
            return
        counts, self._waiting = self._waiting, Counter()
        since = self.installation.clock.now() - dt.timedelta(days=self.installation.settings.failure_days)
        try:
            await self.installation.database.write(stored.add, counts, since)
        except BaseException:
            self._waiting.update(counts)
            raise
        logs.logger().warning("authentication failed", count=sum(counts.values()))

    async def newest(self, limit: int) -> list[FailureCount]:
        """The newest counts that were kept."""
        return await self.installation.database.read(stored.newest, limit)
