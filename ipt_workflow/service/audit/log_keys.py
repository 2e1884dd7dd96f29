"""The keys with which a log or a witness signs. They live in a file apart from the database.

A line of the file is the kind of a key and its seed of 32 bytes in Base64. A log signs with every key of its file, so that a new key is
added beside the old one, and the old one is removed when everybody knows the new.
"""

import base64
import binascii
import secrets
from collections.abc import Callable, Iterable

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ipt_workflow.errors import IptError
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Key, Signature, SignedNote

SEED_BYTES = 32
KINDS = {"ed25519": ipt_verify.ED25519, "ml-dsa-44": ipt_verify.ML_DSA_44}
HEADING = "# Keys of a log or a witness of ipt_workflow. Who has them can sign for it. Keep them apart from the database.\n"


class KeyFileInvalid(IptError):
    """A file of keys cannot be read, and where."""


class CheckpointSigner(msgspec.Struct, frozen=True):
    """A key with which checkpoints are signed, under a name: the log's origin, or the witness's name."""

    key: Key
    sign: Callable[[bytes], bytes]

    def signature(self, text: str, time: int) -> Signature:
        """The signature of a checkpoint's text. `time` are seconds since 1970, which only cosignatures hold."""
        timed = time.to_bytes(8, "big") if self.key.kind != ipt_verify.ED25519 else b""
        return Signature(self.key.name, self.key.id, timed + self.sign(ipt_verify.signed_message(self.key, text, time)))


def new_file() -> str:
    """A file with a new key of each kind."""
    return HEADING + _new_lines()


def with_new_keys(text: str) -> str:
    """A file with a new key of each kind beside those that it has. Raises KeyFileInvalid."""
    _seeds(text)
    return text.rstrip("\n") + "\n" + _new_lines()


def without_key(text: str, origin: str, key_id: str) -> str:
    """A file without the key that has this id, in hexadecimal, for a log. Raises KeyFileInvalid if it has none, or would have none."""
    ids = {seed: _signing(origin, KINDS[kind], seed).key.id.hex() for kind, seed in _seeds(text)}
    dropped = [base64.b64encode(seed).decode() for seed, each in ids.items() if each == key_id]
    if not dropped:
        raise KeyFileInvalid(f"The key file has no key with the id {key_id}. It has {', '.join(ids.values())}.")
    left = "".join(line for line in text.splitlines(keepends=True) if line.split()[-1:] != dropped)
    _seeds(left)
    return left


def _new_lines() -> str:
    return "".join(f"{kind} {base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode()}\n" for kind in KINDS)


def of_log(text: str, origin: str) -> tuple[CheckpointSigner, ...]:
    """The keys of a file, for a log. Raises KeyFileInvalid."""
    return tuple(_signing(origin, KINDS[kind], seed) for kind, seed in _seeds(text))


def of_witness(text: str, name: str) -> tuple[CheckpointSigner, ...]:
    """The keys of a file, for a witness, which cosigns. Raises KeyFileInvalid."""
    kinds = {**KINDS, "ed25519": ipt_verify.COSIGNATURE}
    return tuple(_signing(name, kinds[kind], seed) for kind, seed in _seeds(text))


def signed(text: str, keys: Iterable[CheckpointSigner], time: int) -> SignedNote:
    """A checkpoint's text with a signature by each of the keys."""
    return SignedNote(text, tuple(each.signature(text, time) for each in keys))


def _seeds(text: str) -> list[tuple[str, bytes]]:
    seeds = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        kind, _, encoded = line.strip().partition(" ")
        try:
            seed = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            seed = b""
        if kind not in KINDS or len(seed) != SEED_BYTES:
            raise KeyFileInvalid(
                f"Line {number} of the key file is not a kind ({', '.join(KINDS)}) and {SEED_BYTES} bytes in Base64."
            )
        seeds.append((kind, seed))
    if "ed25519" not in dict(seeds):
        raise KeyFileInvalid("The key file has no line of the kind ed25519. Make one with `ipt-workflow log key`.")
    return seeds


def _signing(name: str, kind: int, seed: bytes) -> CheckpointSigner:
    key = MLDSA44PrivateKey.from_seed_bytes(seed) if kind == ipt_verify.ML_DSA_44 else Ed25519PrivateKey.from_private_bytes(seed)
    return CheckpointSigner(ipt_verify.key_of(name, kind, key.public_key().public_bytes_raw()), key.sign)
