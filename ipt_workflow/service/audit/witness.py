"""A witness, as C2SP tlog-witness describes it: it cosigns a checkpoint that continues the last one it cosigned, and no other."""

from collections.abc import Mapping, Sequence

import msgspec

from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import EMPTY_ROOT, Checkpoint, Key, NotProved
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.log_keys import CheckpointSigner


class WitnessAnswer(msgspec.Struct, frozen=True):
    """The status and body of the answer. `seen` is the checkpoint to keep, before the answer is sent; None if nothing changes."""

    status: int
    body: str
    seen: Checkpoint | None = None


def answer(
    submitted: str, logs: Mapping[str, Sequence[Key]], seen: Mapping[str, Checkpoint], own: Sequence[CheckpointSigner], time: int
) -> WitnessAnswer:
    """Answers `add-checkpoint`. `logs` are the keys of the known logs by origin, and `seen` the last checkpoint cosigned of each."""
    try:
        submission = ipt_verify.read_submission(submitted)
        note = ipt_verify.read_note(submission.note)
        checkpoint = ipt_verify.read_checkpoint(note.text)
    except NotProved as error:
        return WitnessAnswer(400, f"{error}\n")
    if checkpoint.origin not in logs:
        return WitnessAnswer(404, "This witness does not know the log.\n")
    try:
        trusted = [key for key in logs[checkpoint.origin] if ipt_verify.holds(key, note)]
    except NotProved as error:
        return WitnessAnswer(403, f"{error}\n")
    if not trusted:
        return WitnessAnswer(403, "No known key of the log has signed the checkpoint.\n")
    if submission.old_size > checkpoint.size:
        return WitnessAnswer(400, "The older checkpoint is larger than the newer.\n")
    last = seen.get(checkpoint.origin, Checkpoint(checkpoint.origin, 0, EMPTY_ROOT))
    if submission.old_size != last.size:
        return WitnessAnswer(409, f"{last.size}\n")
    try:
        _check_continues(last, checkpoint, submission.hashes)
    except NotProved as error:
        return WitnessAnswer(422, f"{error}\n")
    cosigned = log_keys.signed(note.text, own, time)
    return WitnessAnswer(200, "".join(each.line() for each in cosigned.signatures), checkpoint)


def _check_continues(last: Checkpoint, new: Checkpoint, hashes: Sequence[bytes]) -> None:
    """Raises NotProved if a checkpoint does not continue the last one."""
    if last.size:
        ipt_verify.check_consistency(last.size, new.size, hashes, last.root, new.root)
    elif hashes:
        raise NotProved("From an empty tree, the proof must be empty.")
