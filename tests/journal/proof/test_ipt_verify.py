"""The verifier, against vectors and libraries that nobody here wrote."""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ipt_workflow.journal.proof import ipt_verify as verify
from ipt_workflow.journal.proof.ipt_verify import NotProved

VECTORS = Path(__file__).parent / "vectors" / "merkle"
# The key, text and signature of the specification of signed notes.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
TEXT = "This is an example message.\n"
SIGNED = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="


def vectors(kind: str) -> list[Any]:
    found = sorted((VECTORS / kind).rglob("*.json"))
    assert found
    return [pytest.param(json.loads(each.read_text()), id=str(each.relative_to(VECTORS))) for each in found]


def raw(text: str | None) -> bytes:
    return base64.b64decode(text or "")


@pytest.mark.parametrize("vector", vectors("inclusion"))
def test_inclusion_is_proved_as_the_vectors_say(vector: dict[str, Any]) -> None:
    proof = [raw(each) for each in vector["proof"] or ()]
    given = (vector["leafIdx"], vector["treeSize"], raw(vector["leafHash"]), proof, raw(vector["root"]))
    if vector["wantErr"]:
        with pytest.raises(NotProved):
            verify.check_inclusion(*given)
    else:
        verify.check_inclusion(*given)


@pytest.mark.parametrize("vector", vectors("consistency"))
def test_consistency_is_proved_as_the_vectors_say(vector: dict[str, Any]) -> None:
    proof = [raw(each) for each in vector["proof"] or ()]
    given = (vector["size1"], vector["size2"], proof, raw(vector["root1"]), raw(vector["root2"]))
    if vector["wantErr"]:
        with pytest.raises(NotProved):
            verify.check_consistency(*given)
    else:
        verify.check_consistency(*given)


def test_the_example_of_the_specification_of_notes_is_read_and_holds() -> None:
    note = verify.read_note(f"{TEXT}\n\u2014 example.com/foo {SIGNED}\n")
    assert note.text == TEXT
    assert verify.holds(verify.read_vkey(VKEY), note) is True
    assert verify.read_vkey(VKEY).vkey() == VKEY


def test_signatures_of_a_library_hold_and_altered_ones_do_not() -> None:
    for length in range(12):
        key, message = Ed25519PrivateKey.generate(), os.urandom(length)
        public, signature = key.public_key().public_bytes_raw(), key.sign(message)
        again = (int.from_bytes(signature[32:], "little") + verify._L).to_bytes(32, "little")
        assert verify.ed25519_holds(public, message, signature)
        assert not verify.ed25519_holds(public, message + b"x", signature)
        assert not verify.ed25519_holds(public, message, signature[:32] + again)
        assert not verify.ed25519_holds(bytes([1, *[0] * 31]), message, signature)  # of small order


def test_post_quantum_signatures_of_a_library_hold_and_altered_ones_do_not() -> None:
    key, message = MLDSA44PrivateKey.generate(), b"a checkpoint"
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert verify.ml_dsa_holds(public, message, signature) is True
    assert verify.ml_dsa_holds(public, message + b"x", signature) is False
    assert verify.ml_dsa_holds(public, message, signature[:-1]) is False


def test_names_that_no_post_quantum_signature_can_hold_are_refused() -> None:
    name = "x" * 256
    key = verify.key_of(name, verify.ML_DSA_44, bytes(1312))
    note = verify.SignedNote(verify.Checkpoint(name, 0, verify.EMPTY_ROOT).text(), (verify.Signature(name, key.id, bytes(2428)),))
    with pytest.raises(NotProved, match="255"):
        verify.holds(key, note)


def test_without_a_library_nobody_says_whether_a_post_quantum_signature_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mldsa", None)
    assert verify.ml_dsa_holds(b"", b"", b"") is None
