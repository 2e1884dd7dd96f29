"""Whose checkpoints are trusted: policies, quorums, and proofs of single leaves."""

import re
from collections.abc import Sequence

import pytest

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved, Proof, SignedNote, leaf_hash
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.log_keys import CheckpointSigner

ORIGIN, NOW = "clinic.example/default", 1_700_000_000
LOG = log_keys.of_log(log_keys.new_file(), ORIGIN)
WITNESSES = {name: log_keys.of_witness(log_keys.new_file(), f"{name}.example/witness") for name in ("x1", "x2", "x3", "y1")}
KNOWN = "\n".join(
    [
        f"log {LOG[0].key.vkey()} https://clinic.example/log",
        *(f"witness {name} {own[0].key.vkey()}" for name, own in WITNESSES.items()),
    ]
)
TWO_AND_ONE = f"# two of the x and the y\n\n{KNOWN}\ngroup x 2 x1 x2 x3\n group all-of all x\ty1\nquorum all-of\n"
LEAVES = [b'{"position":%d}' % number for number in range(9)]
TILES = tree.reader(tree.added(0, [leaf_hash(each) for each in LEAVES], tree.reader({})))
CHECKPOINT = Checkpoint(ORIGIN, 9, tree.root(9, TILES))


def cosigned(names: Sequence[str], log: tuple[CheckpointSigner, ...] = LOG) -> SignedNote:
    signers = (*log, *(key for name in names for key in WITNESSES[name]))
    return log_keys.signed(CHECKPOINT.text(), signers, NOW)


@pytest.mark.parametrize("names", [["x1", "x2", "y1"], ["x1", "x2", "x3", "y1"], ["x3", "x1", "y1"]])
def test_a_quorum_is_enough(names: list[str]) -> None:
    assert ipt_verify.check_policy(ipt_verify.read_policy(TWO_AND_ONE), cosigned(names)) == CHECKPOINT


@pytest.mark.parametrize("names", [[], ["x1", "y1"], ["x1", "x2", "x3"]])
def test_less_than_a_quorum_is_refused(names: list[str]) -> None:
    with pytest.raises(NotProved, match="quorum"):
        ipt_verify.check_policy(ipt_verify.read_policy(TWO_AND_ONE), cosigned(names))


def test_without_a_witness_the_log_is_enough() -> None:
    policy = ipt_verify.read_policy(f"{KNOWN}\nquorum none\n")
    assert ipt_verify.check_policy(policy, cosigned([])) == CHECKPOINT
    with pytest.raises(NotProved, match="No log"):
        ipt_verify.check_policy(policy, cosigned(["x1"], log=()))


def test_one_witness_may_be_the_quorum() -> None:
    policy = ipt_verify.read_policy(f"{KNOWN}\nquorum y1\n")
    assert ipt_verify.check_policy(policy, cosigned(["y1"])) == CHECKPOINT


def test_a_known_key_with_a_wrong_signature_refuses_the_whole_note() -> None:
    of_another = log_keys.signed(Checkpoint(ORIGIN, 0, ipt_verify.EMPTY_ROOT).text(), WITNESSES["x3"], NOW)
    note = cosigned(["x1", "x2", "y1"])
    with pytest.raises(NotProved, match="x3"):
        ipt_verify.check_policy(
            ipt_verify.read_policy(TWO_AND_ONE), SignedNote(note.text, (*note.signatures, *of_another.signatures))
        )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (KNOWN, "no quorum"),
        (f"{KNOWN}\nquorum nobody", "none of log, witness, group and quorum"),
        (f"{KNOWN}\nquorum none\nquorum none", "none of log"),
        (f"{KNOWN}\ngroup x 4 x1 x2 x3", "4 cannot be needed"),
        (f"{KNOWN}\ngroup x 0 x1", "0 cannot be needed"),
        (f"{KNOWN}\ngroup x any x1 x1", "once"),
        (f"{KNOWN}\ngroup x any x1\ngroup z any x1", "once"),
        (f"{KNOWN}\ngroup x any z", "named before"),
        (f"{KNOWN}\nwitness x1 {WITNESSES['x1'][0].key.vkey()}", "already"),
        (f"{KNOWN}\nlog {LOG[0].key.vkey()}", "twice"),
        ("log clinic.example+00000000+AQ==", "kind or length"),
        (f"log {LOG[0].key.vkey().replace(LOG[0].key.id.hex(), '00000000')}", "does not belong"),
        ("trust everybody", "none of log"),
    ],
    ids=range(13),  # the texts hold new keys, and each worker must know a test by the same name
)
def test_a_faulty_policy_says_which_line_is_wrong(text: str, says: str) -> None:
    with pytest.raises(NotProved, match=re.escape(says)):
        ipt_verify.read_policy(text)


def test_a_leaf_is_proved_by_a_file_of_its_own() -> None:
    policy = ipt_verify.read_policy(TWO_AND_ONE)
    proof = Proof(4, tree.inclusion(4, 9, TILES), cosigned(["x1", "x2", "y1"]), LEAVES[4])
    read = ipt_verify.read_proof(str(proof))
    assert read == proof
    assert ipt_verify.check_proof(policy, read, read.leaf) == CHECKPOINT
    with pytest.raises(NotProved, match="not in the tree"):
        ipt_verify.check_proof(policy, read, LEAVES[5])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\n\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\n",
        f"c2sp.org/tlog-proof@v1\nindex 0\n\n{CHECKPOINT.text()}",
    ],
)
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(NotProved):
        ipt_verify.read_proof(text)


@pytest.mark.parametrize(
    "text",
    [
        "clinic\n3\n",
        "clinic\n03\nAAAA\n",
        "clinic\n3\nAAAA\n",
        "\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        f"clinic\n0\n{ipt_verify.encoded(bytes(32))}\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NotProved):
        ipt_verify.read_checkpoint(text)
