"""A witness at work: its keys, the logs that it knows, and a file with the last checkpoint that it cosigned of each."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ipt_workflow.errors import IptError
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Key, NotProved, SignedNote
from ipt_workflow.runtime import kept_files
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.service.audit import witness
from ipt_workflow.service.audit.log_keys import CheckpointSigner
from ipt_workflow.service.audit.witness import WitnessAnswer


class WitnessStateInvalid(IptError):
    """The file of a witness cannot be read, so the witness does not know what it has cosigned."""


class Witness:
    """Cosigns checkpoints of the logs that it knows, and keeps the last of each before it answers.

    `logs` are the keys of each log by its origin. Several processes may use one file: they wait for each other.
    """

    def __init__(self, own: Sequence[CheckpointSigner], logs: Mapping[str, Sequence[Key]], file: Path, clock: Clock) -> None:
        self.own = own
        self.logs = logs
        self._file = file
        self._clock = clock

    def answer(self, submitted: str) -> WitnessAnswer:
        """Answers one submission. Raises WitnessStateInvalid, or OSError if the answer cannot be kept: then nothing is cosigned."""
        with kept_files.locked(self._file):
            notes = self.kept()
            seen = {origin: ipt_verify.read_checkpoint(note.text) for origin, note in notes.items()}
            found = witness.answer(submitted, self.logs, seen, self.own, int(self._clock.real().timestamp()))
            if found.seen:
                origin = found.seen.origin
                note = self._known(ipt_verify.read_note(f"{ipt_verify.read_submission(submitted).note}{found.body}"), origin)
                self._keep({**notes, origin: note})
            return found

    def kept(self) -> dict[str, SignedNote]:
        """The last checkpoint of each log. Raises WitnessStateInvalid."""
        return read_state(self._file)

    def newest(self, digest: str) -> SignedNote | None:
        """The last checkpoint of a log, which monitors name by the SHA-256 of its origin. None if there is none."""
        by_digest = {hashlib.sha256(origin.encode()).hexdigest(): note for origin, note in self.kept().items()}
        return by_digest.get(digest)

    def _known(self, note: SignedNote, origin: str) -> SignedNote:
        """The note without the signatures of those whom nobody here knows."""
        known = {(key.name, key.id) for key in (*self.logs[origin], *(each.key for each in self.own))}
        return SignedNote(note.text, tuple(each for each in note.signatures if (each.name, each.key_id) in known))

    def _keep(self, notes: Mapping[str, SignedNote]) -> None:
        content = msgspec.json.encode({origin: str(note) for origin, note in sorted(notes.items())})
        kept_files.replace(self._file, msgspec.json.format(content, indent=2).decode() + "\n")


def read_state(file: Path) -> dict[str, SignedNote]:
    """The last checkpoint of each log by its origin, with the signatures of the log and of the witness. Raises WitnessStateInvalid."""
    try:
        content = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        content = ""
    try:
        return {origin: _note(origin, text) for origin, text in msgspec.json.decode(content, type=dict[str, str]).items()}
    except (NotProved, msgspec.DecodeError):
        raise WitnessStateInvalid(
            f"{file.name} is not what a witness kept. Restore it from a copy: without it the witness would cosign what contradicts it."
        ) from None


def _note(origin: str, text: str) -> SignedNote:
    note = ipt_verify.read_note(text)
    if ipt_verify.read_checkpoint(note.text).origin != origin:
        raise NotProved("A checkpoint stands under the name of another log.")
    return note


def read_logs(text: str) -> dict[str, list[Key]]:
    """The keys of logs by their origins, from a policy of which only the lines of logs are needed. Raises NotProved."""
    lines = text.splitlines()
    if not any(line.split()[:1] == ["quorum"] for line in lines):
        lines.append("quorum none")
    logs: dict[str, list[Key]] = {}
    for key in ipt_verify.read_policy("\n".join(lines)).logs:
        logs.setdefault(key.name, []).append(key)
    if not logs:
        raise NotProved("It names no log. A line of a log is `log` and its key.")
    return logs
