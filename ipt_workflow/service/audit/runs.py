"""What is kept of a verification or an export while it runs, and for good once it has ended."""

import datetime as dt
from typing import Any, Generic

import msgspec

from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit_runs
from ipt_workflow.store.audit_runs import Run

EVERY = dt.timedelta(seconds=1)  # between two notes of how far a run is
SILENT = dt.timedelta(minutes=5)  # a run of which nothing was heard for so long has stopped: its process has ended


class KeptRun(Generic[Run]):
    """One run, which notes how far it is."""

    def __init__(self, clinic: Clinic, run: Run) -> None:
        self.clinic = clinic
        self.run: Run = run

    async def begin(self) -> None:
        await self.clinic.write(audit_runs.begin, self.run)

    async def note(self, **reached: Any) -> None:
        """Notes how far the run is, at most once a second."""
        now = self.clinic.clock.now()
        due = now - self.run.seen_at >= EVERY
        self.run = msgspec.structs.replace(self.run, **reached, **({"seen_at": now} if due else {}))
        if due:
            await self.clinic.write(audit_runs.keep, self.run)

    async def end(self, outcome: str, **found: Any) -> None:
        """Keeps the result. It cannot be changed after that."""
        now = self.clinic.clock.now()
        self.run = msgspec.structs.replace(self.run, seen_at=now, ended_at=now, outcome=outcome, **found)
        await self.clinic.write(audit_runs.keep, self.run)


def status(run: Run, now: dt.datetime) -> str:
    """`running`, `done` or `stopped`."""
    return run.outcome or ("stopped" if now - run.seen_at >= SILENT else "running")
