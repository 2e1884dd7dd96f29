"""Verifies the log of an ipt_workflow installation. It needs this file and Python 3.10 or newer, and trusts nobody.

RFC 6962 proofs, C2SP signed notes, checkpoints, cosignatures, policies and `.tlog-proof` files. Everything that can be checked with
SHA-256 and Ed25519 is checked with the standard library. ML-DSA-44 signatures are checked if the package `mldsa` is installed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import re
from collections.abc import Sequence
from typing import NamedTuple

ED25519, COSIGNATURE, ML_DSA_44 = 0x01, 0x04, 0x06  # kinds of signatures, as C2SP numbers them
KEY_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 72, ML_DSA_44: 2428}  # of cosignatures, 8 are their time
SIGNATURES_MAX = 64  # in one note
PROOF_LINES_MAX = 63
TIME_MAX = 2**63
EMPTY_ROOT = hashlib.sha256(b"").digest()
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_NOT_IN_NAMES = re.compile(r"[\s+]")


class NotProved(Exception):
    """What was given proves nothing, and why."""


# RFC 6962


def leaf_hash(leaf: bytes) -> bytes:
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """The root of a tree with these leaf hashes, or of the nodes of one level of it."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        pairs = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def check_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Checks that a tree of `size` leaves with this root has the leaf hash at the index. Raises NotProved."""
    if not 0 <= index < size:
        raise NotProved("The index is outside the tree.")
    inner = (index ^ (size - 1)).bit_length()
    if len(proof) != inner + (index >> inner).bit_count():
        raise NotProved("The inclusion proof has a wrong number of hashes.")
    found = leaf
    for level, sibling in enumerate(proof):
        on_the_right = level >= inner or index >> level & 1
        found = node_hash(sibling, found) if on_the_right else node_hash(found, sibling)
    if found != root:
        raise NotProved("The leaf is not in the tree of this checkpoint.")


def check_consistency(old_size: int, size: int, proof: Sequence[bytes], old_root: bytes, root: bytes) -> None:
    """Checks that the tree of `size` leaves begins with that of `old_size`. Raises NotProved."""
    if not 0 < old_size <= size:
        raise NotProved("The older tree must hold at least one leaf, and no more than the newer.")
    if old_size == size:
        if proof or old_root != root:
            raise NotProved("Two trees of one size have different roots.")
        return
    shift = (old_size & -old_size).bit_length() - 1
    inner = ((old_size - 1) ^ (size - 1)).bit_length() - shift
    border = ((old_size - 1) >> (shift + inner)).bit_count()
    whole = old_size == 1 << shift
    start = 0 if whole else 1
    if len(proof) != start + inner + border:
        raise NotProved("The consistency proof has a wrong number of hashes.")
    older = newer = old_root if whole else proof[0]
    mask = (old_size - 1) >> shift
    for level, sibling in enumerate(proof[start:]):
        if level >= inner or mask >> level & 1:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
        else:
            newer = node_hash(newer, sibling)
    if older != old_root:
        raise NotProved("The proof does not lead to the root of the older tree.")
    if newer != root:
        raise NotProved("The newer tree does not begin with the older one.")


# Ed25519, RFC 8032

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: _Point) -> _Point:
    sum_of: _Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            sum_of = _add(sum_of, point)
        point = _add(point, point)
        count >>= 1
    return sum_of


def _point(encoded: bytes) -> _Point | None:
    y = int.from_bytes(encoded, "little")
    odd, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P != u:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if v * x * x % _P != u or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


_base = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))


def ed25519_holds(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature of a message is that of a public key. Keys of small order and malleable signatures are refused."""
    if len(key) != 32 or len(signature) != 64 or _base is None:
        return False
    a, r, s = _point(key), _point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _L or _times(8, a)[0] % _P == 0:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % _L
    left, right = _times(s, _base), _add(r, _times(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def ml_dsa_holds(key: bytes, message: bytes, signature: bytes) -> bool | None:
    """The same for ML-DSA-44. None if the package `mldsa` is not installed."""
    try:
        mldsa = importlib.import_module("mldsa")
    except ImportError:
        return None
    try:
        mldsa.VerificationKey(key).verify(signature, message)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, it does not hold
        return False
    return True


# C2SP signed notes


class Key(NamedTuple):
    """A public key as a vkey names it."""

    name: str
    id: bytes
    kind: int
    public: bytes

    def vkey(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encoded(bytes([self.kind]) + self.public)}"


class Signature(NamedTuple):
    name: str
    key_id: bytes
    value: bytes

    def line(self) -> str:
        return f"\u2014 {self.name} {encoded(self.key_id + self.value)}\n"


class SignedNote(NamedTuple):
    """A text, which ends with a line break, and its signatures."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(each.line() for each in self.signatures)


class Checkpoint(NamedTuple):
    """What a log says of itself: its name, how many leaves it has, and their root."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{encoded(self.root)}\n"


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def decoded(text: str, what: str) -> bytes:
    """The bytes of a text in Base64, in its one canonical form. Raises NotProved."""
    try:
        raw = base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, ValueError):
        raise NotProved(f"{what} is not in Base64.") from None
    if encoded(raw) != text:
        raise NotProved(f"{what} is not in canonical Base64.")
    return raw


def key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def key_of(name: str, kind: int, public: bytes) -> Key:
    return Key(name, key_id(name, kind, public), kind, public)


def read_vkey(text: str) -> Key:
    """A public key: `name+hex of its id+Base64 of its kind and bytes`. Raises NotProved."""
    name, _, rest = text.partition("+")
    given_id, _, material = rest.partition("+")
    if not name or _NOT_IN_NAMES.search(name) or not re.fullmatch("[0-9a-f]{8}", given_id):
        raise NotProved("A key has the form name+id+key, with an id of 8 hexadecimal digits.")
    raw = decoded(material, f"The key of {name}")
    kind, public = (raw[0], raw[1:]) if raw else (0, b"")
    if len(public) != KEY_BYTES.get(kind, -1):
        raise NotProved(f"The key of {name} is of a kind or length that is not known here.")
    key = key_of(name, kind, public)
    if key.id.hex() != given_id:
        raise NotProved(f"The id of the key of {name} does not belong to the key.")
    return key


def read_note(text: str) -> SignedNote:
    """Raises NotProved."""
    body, blank, lines = text.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or any(ord(each) < 0x20 and each != "\n" for each in text):
        raise NotProved("It is not a signed note: a text, an empty line, and lines of signatures.")
    signatures = [_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > SIGNATURES_MAX:
        raise NotProved(f"A note has at most {SIGNATURES_MAX} signatures here.")
    return SignedNote(body + "\n", tuple(signatures))


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not parts[1] or _NOT_IN_NAMES.search(parts[1]):
        raise NotProved("A line of a signature begins with an em dash, and has a name and a signature.")
    raw = decoded(parts[2], "A signature")
    if len(raw) < 5:
        raise NotProved("A signature is too short.")
    return Signature(parts[1], raw[:4], raw[4:])


def read_checkpoint(text: str) -> Checkpoint:
    """The text of a checkpoint, without its signatures. Raises NotProved."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not lines[0] or not _DECIMAL.fullmatch(lines[1]):
        raise NotProved("A checkpoint has a line for its origin, its size and its root.")
    root = decoded(lines[2], "The root of the checkpoint")
    if len(root) != 32 or (lines[1] == "0" and root != EMPTY_ROOT):
        raise NotProved("The root of the checkpoint is not that of any tree of its size.")
    return Checkpoint(lines[0], int(lines[1]), root)


def signed_message(key: Key, text: str, time: int) -> bytes:
    """What a key of a kind signs of a checkpoint: the text; of a cosignature, also its time."""
    if key.kind == ED25519:
        return text.encode()
    if key.kind == COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    checkpoint = read_checkpoint(text)
    names = [bytes([len(each)]) + each for each in (key.name.encode(), checkpoint.origin.encode())]
    numbers = [each.to_bytes(8, "big") for each in (time, 0, checkpoint.size)]
    return b"subtree/v1\n\0" + names[0] + numbers[0] + names[1] + numbers[1] + numbers[2] + checkpoint.root


def holds(key: Key, note: SignedNote) -> bool | None:
    """Whether a key has signed a note. None if it has not, or nobody can say here. Raises NotProved if a signature of it is wrong."""
    result: bool | None = None
    for each in note.signatures:
        if (each.name, each.key_id) != (key.name, key.id):
            continue
        if len(each.value) != SIGNATURE_BYTES[key.kind]:
            raise NotProved(f"The signature of {key.name} has a wrong length.")
        timed = key.kind != ED25519
        time = int.from_bytes(each.value[:8], "big") if timed else 0
        if time >= TIME_MAX:
            raise NotProved(f"The time of the signature of {key.name} is none.")
        check = ml_dsa_holds if key.kind == ML_DSA_44 else ed25519_holds
        found = check(key.public, signed_message(key, note.text, time), each.value[8:] if timed else each.value)
        if found is False:
            raise NotProved(f"The signature of {key.name} is wrong.")
        result = result or found
    return result


# C2SP policies


class Policy(NamedTuple):
    """Whose checkpoints are trusted: logs, witnesses by name, groups of them with how many are needed, and which of them is the quorum."""

    logs: tuple[Key, ...]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, tuple[str, ...]]]
    quorum: str
    addresses: dict[str, str]


def read_policy(text: str) -> Policy:
    """A policy in the syntax of C2SP tlog-policy. Raises NotProved, naming the line."""
    policy = Policy((), {}, {}, "", {})
    used: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.strip(" \t").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            policy = _with_line(policy, words, used)
        except NotProved as error:
            raise NotProved(f"Line {number} of the policy: {error}") from None
    if not policy.quorum:
        raise NotProved("The policy has no quorum. `quorum none` asks for no witness.")
    return policy


def _with_line(policy: Policy, words: list[str], used: set[str]) -> Policy:
    kind, known = words[0], {*policy.witnesses, *policy.groups}
    if kind == "log" and len(words) in (2, 3):
        key = read_vkey(words[1])
        if key.public in {each.public for each in policy.logs}:
            raise NotProved("the log is named twice.")
        addresses = {**policy.addresses, key.name: words[2]} if len(words) == 3 else policy.addresses
        return policy._replace(logs=(*policy.logs, key), addresses=addresses)
    if kind == "witness" and len(words) in (3, 4):
        key = read_vkey(words[2])
        if words[1] in known or words[1] == "none" or key.public in {each.public for each in policy.witnesses.values()}:
            raise NotProved("the witness or its name is there already.")
        addresses = {**policy.addresses, words[1]: words[3]} if len(words) == 4 else policy.addresses
        return policy._replace(witnesses={**policy.witnesses, words[1]: key}, addresses=addresses)
    if kind == "group" and len(words) > 3:
        name, needed, members = words[1], words[2], tuple(words[3:])
        if name in known or name == "none" or any(each not in known for each in members):
            raise NotProved("a group has a new name, and members that were named before.")
        if len(set(members)) < len(members) or used.intersection(members):
            raise NotProved("a witness or group belongs to one group alone, once.")
        used.update(members)
        count = {"any": "1", "all": str(len(members))}.get(needed, needed)
        if not _DECIMAL.fullmatch(count) or not 1 <= int(count) <= len(members):
            raise NotProved(f"of {len(members)} members, {needed} cannot be needed.")
        return policy._replace(groups={**policy.groups, name: (int(count), members)})
    if kind == "quorum" and len(words) == 2 and not policy.quorum and (words[1] in known or words[1] == "none"):
        return policy._replace(quorum=words[1])
    raise NotProved("it is none of log, witness, group and quorum, or not complete.")


def check_policy(policy: Policy, note: SignedNote) -> Checkpoint:
    """The checkpoint of a note that a log of the policy signed, and its quorum cosigned. Raises NotProved."""
    checkpoint = read_checkpoint(note.text)
    logs = [key for key in policy.logs if key.name == checkpoint.origin]
    if not [key for key in logs if holds(key, note)]:
        raise NotProved(f"No log of the policy has signed the checkpoint of {checkpoint.origin}.")
    signed = {name for name, key in policy.witnesses.items() if holds(key, note)}
    if policy.quorum != "none" and not _witnessed(policy, policy.quorum, signed):
        raise NotProved(f"The quorum of witnesses is missing: {', '.join(sorted(signed)) or 'none'} cosigned.")
    return checkpoint


def _witnessed(policy: Policy, name: str, signed: set[str]) -> bool:
    if name in policy.witnesses:
        return name in signed
    needed, members = policy.groups[name]
    return sum(_witnessed(policy, each, signed) for each in members) >= needed


# C2SP .tlog-proof


class Proof(NamedTuple):
    """That a leaf is in the tree of a checkpoint. `leaf` is what the proof carries beside, and proves nothing by itself."""

    leaf_index: int
    hashes: tuple[bytes, ...]
    note: SignedNote
    leaf: bytes

    def __str__(self) -> str:
        lines = ["c2sp.org/tlog-proof@v1", *([f"extra {encoded(self.leaf)}"] if self.leaf else []), f"index {self.leaf_index}"]
        return "\n".join([*lines, *(encoded(each) for each in self.hashes), "", str(self.note)])


def read_proof(text: str) -> Proof:
    """Raises NotProved."""
    head, _, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines.pop(0) != "c2sp.org/tlog-proof@v1":
        raise NotProved("It is not a proof of the form c2sp.org/tlog-proof@v1.")
    leaf = decoded(lines.pop(0)[6:], "The extra data") if lines and lines[0].startswith("extra ") else b""
    if not lines or not lines[0].startswith("index ") or not _DECIMAL.fullmatch(lines[0][6:]):
        raise NotProved("The proof has no index.")
    hashes = [decoded(each, "A hash of the proof") for each in lines[1:]]
    if len(hashes) > PROOF_LINES_MAX or any(len(each) != 32 for each in hashes):
        raise NotProved(f"A proof has at most {PROOF_LINES_MAX} hashes, of 32 bytes each.")
    return Proof(int(lines[0][6:]), tuple(hashes), read_note(note), leaf)


def check_proof(policy: Policy, proof: Proof, leaf: bytes) -> Checkpoint:
    """The checkpoint that a proof shows a leaf to be in. Raises NotProved."""
    checkpoint = check_policy(policy, proof.note)
    check_inclusion(proof.leaf_index, checkpoint.size, leaf_hash(leaf), proof.hashes, checkpoint.root)
    return checkpoint
