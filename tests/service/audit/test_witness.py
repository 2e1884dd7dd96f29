"""A witness cosigns what continues the last checkpoint, and answers everything else as the specification says."""

import pytest

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, Key, SignedNote, Submission, leaf_hash
from ipt_workflow.service.audit import log_keys, witness

ORIGIN, NAME, NOW = "clinic.example/default", "partner.example/witness", 1_700_000_000
LOG, OWN = log_keys.of_log(log_keys.new_file(), ORIGIN), log_keys.of_witness(log_keys.new_file(), NAME)
LOGS = {ORIGIN: [each.key for each in LOG]}
LEAVES = [leaf_hash(b"%d" % number) for number in range(20)]
TILES = tree.reader(tree.added(0, LEAVES, tree.reader({})))


def at(size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, tree.root(size, TILES))


def submitted(
    old: int, size: int, checkpoint: Checkpoint | None = None, signers: tuple[log_keys.CheckpointSigner, ...] = LOG
) -> str:
    hashes = tree.consistency(old, size, TILES) if old else ()
    return str(Submission(old, hashes, str(log_keys.signed((checkpoint or at(size)).text(), signers, NOW))))


def answered(text: str, *seen: Checkpoint, logs: dict[str, list[Key]] = LOGS) -> witness.WitnessAnswer:
    return witness.answer(text, logs, {each.origin: each for each in seen}, OWN, NOW)


def test_the_first_checkpoint_is_cosigned_and_kept() -> None:
    answer = answered(submitted(0, 7))
    assert (answer.status, answer.seen) == (200, at(7))
    note = ipt_verify.read_note(f"{at(7).text()}\n{answer.body}")
    assert ipt_verify.holds(OWN[0].key, note) is True


def test_a_checkpoint_that_continues_the_last_is_cosigned() -> None:
    assert answered(submitted(7, 13), at(7)).status == 200
    assert answered(submitted(7, 7), at(7)).status == 200


def test_another_root_of_the_same_size_is_refused() -> None:
    other = Checkpoint(ORIGIN, 7, leaf_hash(b"rewritten"))
    assert answered(submitted(7, 7, other), at(7)).status == 422


def test_a_rewritten_history_is_refused() -> None:
    other = Checkpoint(ORIGIN, 13, leaf_hash(b"rewritten"))
    answer = answered(submitted(7, 13, other), at(7))
    assert (answer.status, answer.seen) == (422, None)


def test_a_wrong_older_size_is_answered_with_the_right_one() -> None:
    assert answered(submitted(5, 13), at(7)) == witness.WitnessAnswer(409, "7\n")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("new 7\n\n", 400),
        ("old 07\n\n", 400),
        ("old 0\nnot base64\n\n" + str(log_keys.signed(at(7).text(), LOG, NOW)), 400),
        ("old 0\n\nno note", 400),
        (submitted(13, 13).replace("old 13", "old 14"), 400),
        (submitted(0, 7, Checkpoint("unknown.example/log", 7, at(7).root)), 404),
        (submitted(0, 7, signers=OWN), 403),
        (submitted(0, 7, signers=log_keys.of_log(log_keys.new_file(), ORIGIN)), 403),
    ],
    ids=range(8),  # the texts hold new keys, and each worker must know a test by the same name
)
def test_what_is_no_checkpoint_of_a_known_log_is_refused(text: str, status: int) -> None:
    assert answered(text).status == status


def test_a_known_key_that_did_not_sign_this_is_refused() -> None:
    of_another = log_keys.signed(at(13).text(), LOG, NOW)
    assert answered(str(Submission(0, (), str(SignedNote(at(7).text(), of_another.signatures))))).status == 403


def test_a_key_file_says_which_line_is_wrong() -> None:
    with pytest.raises(log_keys.KeyFileInvalid, match="Line 2"):
        log_keys.of_log("# a comment\ned25519 short\n", ORIGIN)
    with pytest.raises(log_keys.KeyFileInvalid, match="no line of the kind ed25519"):
        log_keys.of_log("# empty\n", ORIGIN)
