"""Verifies the log: all of it, or what came after a checkpoint that somebody kept."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from ipt_workflow.errors import IptError
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved
from ipt_workflow.runtime import kept_files
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit.witnesses import cosigned_note, has_quorum, policy_of
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import cosignatures as stored
from ipt_workflow.store import log_checks
from ipt_workflow.store.log_checks import LogFault

SLICE = 2048  # positions that are read at once: eight tiles


class KeptInvalid(IptError):
    """The checkpoint that was kept cannot be used, and why."""


class LogTally(msgspec.Struct, frozen=True):
    """How many positions were checked up to the first fault, and that fault."""

    leaves: int = 0
    fault: LogFault | None = None


LogHeard = Callable[[LogTally], Awaitable[None]]


async def verify_log(clinic: Clinic, kept: Checkpoint | None = None, heard: LogHeard | None = None, *, whole: bool) -> LogTally:
    """Checks the positions from the size of `kept` on, and that the log begins with the tree of `kept`. Without it, checks all positions.

    `whole` also reads each entry; else whoever calls verifies the courses too. `heard` is called with all so far.
    """
    begin = kept.size if kept else 0
    fault = await clinic.read(log_checks.check_kept, kept) if kept else None
    if fault:
        return LogTally(0, fault)
    at = begin
    while True:
        found = await clinic.read(log_checks.check_slice, at, at + SLICE - at % SLICE, whole=whole)
        if found.fault:
            return LogTally(found.fault.position - begin, found.fault)
        at = found.end
        tally = LogTally(at - begin)
        if heard:
            await heard(tally)
        if at >= found.size:
            return tally


def read_kept(settings: Settings, text: str) -> Checkpoint:
    """A checkpoint that an auditor kept: a signed note, or the header of a delivery. Raises KeptInvalid.

    If the policy of the installation names logs, one of them must have signed it.
    """
    policy = policy_of(settings)
    try:
        note = ipt_verify.read_kept(text)
        checkpoint = ipt_verify.read_checkpoint(note.text)
        signed = any(ipt_verify.holds(key, note) for key in policy.logs if key.name == checkpoint.origin)
    except NotProved as error:
        raise KeptInvalid(f"It is no checkpoint of this log: {error}") from None
    if policy.logs and not signed:
        raise KeptInvalid("It is no checkpoint of this log: no log of the policy has signed it.")
    return checkpoint


class KeptCheckpointFile:
    """A file with the last checkpoint that an auditor kept."""

    def __init__(self, clinic: Clinic, path: Path) -> None:
        self.clinic = clinic
        self._path = path

    def read(self) -> Checkpoint | None:
        """The checkpoint; None if the file is not there yet. Raises KeptInvalid."""
        try:
            return read_kept(self.clinic.settings, self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except KeptInvalid as error:
            raise KeptInvalid(f"{self._path}: {error}") from None
        except (OSError, UnicodeDecodeError):
            raise KeptInvalid(f"{self._path} cannot be read as a checkpoint.") from None

    async def replace(self, size: int) -> int | None:
        """Keeps the newest checkpoint of at most this size that has its quorum. Returns its size; None if there is none."""
        policy = policy_of(self.clinic.settings)
        for each in await self.clinic.read(stored.newest, stored.LOOKED_BACK):
            if each.size <= size and has_quorum(policy, each):
                kept_files.replace(self._path, str(cosigned_note(each)))
                return each.size
        return None
