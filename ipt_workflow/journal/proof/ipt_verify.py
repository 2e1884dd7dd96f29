"""Verifies the log of an ipt_workflow installation. It needs this file and Python 3.10 or newer, and trusts nobody.

RFC 6962 proofs, C2SP signed notes, checkpoints, cosignatures, policies and `.tlog-proof` files. Everything that can be checked with
SHA-256 and Ed25519 is checked with the standard library. ML-DSA-44 signatures are checked if the package `mldsa` is installed.

    python ipt_verify.py --policy policy.txt --kept last-checkpoint.txt log.zip

It opens no connection, and writes nothing but the file of the checkpoint that is kept. Exit codes: 0, all holds; 1, something does not;
2, it was called wrongly or cannot read a file; 3, all holds as far as can be seen here, but a person must judge what is said beside.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import importlib
import importlib.util
import io
import json
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

ED25519, COSIGNATURE, ML_DSA_44 = 0x01, 0x04, 0x06  # kinds of signatures, as C2SP numbers them
KEY_BYTES = {ED25519: 32, COSIGNATURE: 32, ML_DSA_44: 1312}
SIGNATURE_BYTES = {ED25519: 64, COSIGNATURE: 72, ML_DSA_44: 2428}  # of cosignatures, 8 are their time
SIGNATURES_MAX = 64  # in one note
PROOF_LINES_MAX = 63
NAME_MAX = 255  # bytes of a name that ML-DSA-44 signs
HEADER_MAX = 380  # with its name, 400
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


class GrowingTree:
    """A tree to which leaf hashes are added one by one. It keeps the roots of its whole parts alone."""

    def __init__(self) -> None:
        self.size = 0
        self._parts: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        self.size += 1
        self._parts.append(leaf)
        for _ in range((self.size & -self.size).bit_length() - 1):
            right = self._parts.pop()
            self._parts[-1] = node_hash(self._parts[-1], right)

    def root(self) -> bytes:
        if not self._parts:
            return EMPTY_ROOT
        found = self._parts[-1]
        for part in reversed(self._parts[:-1]):
            found = node_hash(part, found)
        return found


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


def header_of(note: SignedNote) -> str | None:
    """A checkpoint on one line, with the log's Ed25519 signature, as deliveries carry it. None if it has none, or no line can hold it."""
    checkpoint = read_checkpoint(note.text)
    for each in note.signatures:
        if each.name == checkpoint.origin and len(each.value) == SIGNATURE_BYTES[ED25519] and note.text == checkpoint.text():
            header = f"{checkpoint.origin} {checkpoint.size} {encoded(checkpoint.root)} {encoded(each.key_id + each.value)}"
            return header if header.isascii() and len(header) <= HEADER_MAX else None
    return None


def read_header(text: str) -> SignedNote:
    """The signed note that a header carries. Raises NotProved."""
    parts = text.split(" ")
    if len(parts) != 4:
        raise NotProved("A header has the origin, the size, the root and the signature of a checkpoint.")
    return read_note(f"{parts[0]}\n{parts[1]}\n{parts[2]}\n\n\u2014 {parts[0]} {parts[3]}\n")


def read_kept(text: str) -> SignedNote:
    """A checkpoint that somebody kept: a signed note, or a header. Raises NotProved."""
    return read_note(text) if "\n" in text.strip() else read_header(text.strip())


def signed_message(key: Key, text: str, time: int) -> bytes:
    """What a key of a kind signs of a checkpoint: the text; of a cosignature, also its time. Raises NotProved if it can sign no such text."""
    if key.kind == ED25519:
        return text.encode()
    if key.kind == COSIGNATURE:
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    checkpoint = read_checkpoint(text)
    named = (key.name.encode(), checkpoint.origin.encode())
    if max(map(len, named)) > NAME_MAX:
        raise NotProved(f"A name has more than {NAME_MAX} bytes: ML-DSA-44 signs no such name.")
    names = [bytes([len(each)]) + each for each in named]
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
    if not is_witnessed(policy, policy.quorum, signed):
        raise NotProved(f"The quorum of witnesses is missing: {', '.join(sorted(signed)) or 'none'} cosigned.")
    return checkpoint


def is_witnessed(policy: Policy, name: str, signed: Collection[str]) -> bool:
    """Whether a witness, a group or `none` is satisfied if these witnesses have signed."""
    if name == "none":
        return True
    if name in policy.witnesses:
        return name in signed
    needed, members = policy.groups[name]
    return sum(is_witnessed(policy, each, signed) for each in members) >= needed


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


# C2SP tlog-witness: a checkpoint with the proof that it continues an older one


class Submission(NamedTuple):
    """A checkpoint with the proof that it continues an older one, of which only the size is named."""

    old_size: int
    hashes: tuple[bytes, ...]
    note: str

    def __str__(self) -> str:
        return "\n".join([f"old {self.old_size}", *(encoded(each) for each in self.hashes), "", self.note])


def read_submission(text: str) -> Submission:
    """Raises NotProved."""
    head, _, note = text.partition("\n\n")
    first, *lines = head.split("\n")
    if not first.startswith("old ") or not _DECIMAL.fullmatch(first[4:]):
        raise NotProved("The first line says `old` and the size of the checkpoint before.")
    if len(lines) > PROOF_LINES_MAX:
        raise NotProved(f"A consistency proof has at most {PROOF_LINES_MAX} hashes.")
    return Submission(int(first[4:]), tuple(decoded(each, "A hash") for each in lines), note)


# Leaves, and the chains of courses


def entry_leaf(position: int, course: str, seq: int, digest: str) -> bytes:
    return _canonical({"course": course, "hash": digest, "kind": "entry", "position": position, "seq": seq})


def record_leaf(position: int, record: str, digest: str) -> bytes:
    return _canonical({"hash": digest, "kind": "record", "position": position, "record": record})


def _canonical(leaf: dict[str, Any]) -> bytes:
    """The RFC 8785 form of an object of whole numbers and texts. What is no text is in no leaf."""
    return json.dumps(leaf, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def json_object(raw: bytes | str, what: str) -> dict[str, Any]:
    """Raises NotProved."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise NotProved(f"{what} is not in JSON.") from None
    if not isinstance(found, dict):
        raise NotProved(f"{what} is no object of JSON.")
    return found


class Chains:
    """The chains of an organisation's courses, whose entries are added one by one, those of each course in their order."""

    def __init__(self, organisation: str) -> None:
        self.organisation = organisation
        self.heads: dict[str, tuple[int, str]] = {}
        self.entries = self.without_text = 0
        self.emptied: set[str] = set()  # courses with an entry whose text is gone for everybody
        self.moved: set[str] = set()  # courses that entries were moved from

    def add(self, row: dict[str, Any]) -> str:
        """Checks an entry and its text, and returns its hash. Raises NotProved."""
        course, seq = row.get("course"), row.get("seq")
        what = f"Entry {seq} of course {course}"
        raw = _text(row, "canonical", what)
        digest, written = hashlib.sha256(raw).hexdigest(), json_object(raw, what)
        last, before = self.heads.get(str(course), (0, "0" * 64))
        if (written.get("organisation"), written.get("course"), written.get("seq")) != (self.organisation, course, seq):
            raise NotProved(f"{what}: its bytes are those of another organisation, course or entry.")
        if seq != last + 1:
            raise NotProved(f"{what}: it does not follow entry {last} of its course.")
        if written.get("prev_hash") != before:
            raise NotProved(f"{what}: it does not name the hash of the entry before.")
        self.heads[str(course)] = (last + 1, digest)
        self.entries += 1
        if self._erased(row, written, what):
            self.without_text += 1
            self.emptied.update(() if row.get("masked") is True else (str(course),))
        if written.get("trigger") == MOVED:
            self.moved.add(str(course))
        return digest

    def summary(self) -> str:
        return f"Entries: {self.entries} (without text: {self.without_text}). Courses: {len(self.heads)}."

    def _erased(self, row: dict[str, Any], written: dict[str, Any], what: str) -> bool:
        if row.get("salt") is None and row.get("sealed") is None:
            return True
        salt, sealed = _text(row, "salt", what), _text(row, "sealed", what)
        try:
            digest = hashlib.sha256(bytes.fromhex(salt.decode()) + sealed).hexdigest()
        except ValueError:
            digest = ""
        if digest != written.get("data_digest"):
            raise NotProved(f"{what}: its text is not the one that was recorded.")
        return False


def _text(row: dict[str, Any], name: str, what: str) -> bytes:
    """The bytes of a text of a row. Raises NotProved."""
    found = row.get(name)
    if not isinstance(found, str):
        raise NotProved(f"{what}: {name} is missing.")
    try:
        return found.encode()
    except UnicodeEncodeError:  # half of a pair of surrogates
        raise NotProved(f"{what}: {name} is no text.") from None


def read_record(row: dict[str, Any], organisation: str) -> tuple[str, dict[str, Any]]:
    """The hash of a record of the audit log, and what it says. Raises NotProved."""
    what = f"Record {row.get('record')}"
    raw = _text(row, "canonical", what)
    written = json_object(raw, what)
    if (written.get("organisation"), written.get("id")) != (organisation, row.get("record")):
        raise NotProved(f"{what}: its bytes are those of another organisation or record.")
    return hashlib.sha256(raw).hexdigest(), written


# Bundles

BUNDLE_FORMAT = "ipt-bundle@v1"
MANIFEST, CHECKPOINT, POLICY, LEAVES = "manifest.json", "checkpoint", "policy", "leaves.ndjson"
LEAF_HASHES, ENTRIES, RECORDS = "leaf-hashes", "entries.ndjson", "records.ndjson"
PROOFS = "proofs/"
LINE_MAX, FILE_MAX, CHUNK = 1 << 24, 1 << 26, 1 << 16  # bytes of a line, of a file that is read whole, and of what is read at once
SHOWN = 3  # of what is alike
ERASED, RESUMED, REAPED = ("client erased", "text of an entry erased"), "log resumed", "audit log reaped"  # actions of records
MOVED = "move_entries"  # the trigger of an entry that took the texts of others along
_NO_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class Discrepancy(NamedTuple):
    """What does not hold. `position` is the first one of the log where it does not; if nobody can say, `between` may bound it."""

    text: str
    position: int | None = None
    between: tuple[int, int] | None = None


class Examined(NamedTuple):
    """What was found in a file. `doubts` are for a person to judge. `shown` says that the checkpoint continues the one that was kept."""

    checkpoint: Checkpoint
    note: SignedNote | None
    says: list[str]
    faults: list[Discrepancy]
    doubts: list[str]
    shown: bool


class BundleFiles:
    """The files of a bundle, as its manifest lists them. Raises NotProved, here and later, if they are not."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = [each.filename for each in archive.infolist() if not each.is_dir()]
        if len(set(self.names)) < len(self.names):
            raise NotProved("A name is in the ZIP twice.")
        self.manifest = json_object(self.read(MANIFEST), "The manifest")
        digests = self.manifest.get("files")
        if self.manifest.get("format") != BUNDLE_FORMAT or not isinstance(digests, dict):
            raise NotProved(f"The manifest is not that of an {BUNDLE_FORMAT}.")
        if {*digests, MANIFEST} != set(self.names):
            raise NotProved("The ZIP has not the files that its manifest names.")
        for name, digest in digests.items():
            if self._digest(name) != digest:
                raise NotProved(f"{name} is not the file that the manifest names.")

    def read(self, name: str) -> bytes:
        with self._open(name) as file:
            found = file.read(FILE_MAX + 1)
        if len(found) > FILE_MAX:
            raise NotProved(f"{name} has more than {FILE_MAX} bytes.")
        return found

    def text(self, name: str) -> str:
        return _decoded_text(self.read(name), name)

    def lines(self, name: str) -> Iterator[bytes]:
        with self._open(name) as file:
            while line := file.readline(LINE_MAX + 1):
                if not line.endswith(b"\n"):
                    raise NotProved(f"A line of {name} has no end, or more than {LINE_MAX} bytes.")
                yield line[:-1]

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        for line in self.lines(name):
            yield json_object(line, f"A line of {name}")

    def hashes(self, name: str) -> Iterator[bytes]:
        with self._open(name) as file:
            while found := file.read(32):
                yield found

    def _open(self, name: str) -> IO[bytes]:
        if name not in self.names:
            raise NotProved(f"{name} is missing.")
        file: Any = self._archive.open(name)
        return io.BufferedReader(file, CHUNK)  # reads lines much quicker than a file of a ZIP does

    def _digest(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._open(name) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def _decoded_text(raw: bytes, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise NotProved(f"{name} is not in UTF-8.") from None


def examine_bundle(path: Path, policy: Policy | None, kept: Checkpoint | None) -> Examined:
    """Verifies a bundle. Without a policy, with the one that it brings itself. Raises NotProved."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _examined(BundleFiles(archive), policy, kept)
    except _NO_ZIP:
        raise NotProved("It is no whole ZIP.") from None


def _examined(bundle: BundleFiles, policy: Policy | None, kept: Checkpoint | None) -> Examined:
    doubts, faults = [], []
    if policy is None:
        policy = read_policy(bundle.text(POLICY))
        keys = ", ".join(key.vkey() for key in policy.logs if key.kind == ED25519)
        doubts.append(f"The keys are those that the bundle names itself. Compare them with what you got in another way: {keys}")
    note = read_note(bundle.text(CHECKPOINT))
    checkpoint = read_checkpoint(note.text)
    organisation, named = bundle.manifest.get("organisation"), (bundle.manifest.get("origin"), bundle.manifest.get("size"))
    if not isinstance(organisation, str) or named != (checkpoint.origin, checkpoint.size):
        raise NotProved("The manifest is not about the checkpoint of the bundle.")
    try:
        check_policy(policy, note)
    except NotProved as error:
        faults.append(Discrepancy(str(error)))
    says = [_signed_by(policy, note)] if not faults else []
    if bundle.manifest.get("kind") == "log":
        walk = LogWalk(bundle, organisation, checkpoint, kept)
        return Examined(
            checkpoint, note, [walk.summary(), *says], [*faults, *walk.faults], [*doubts, *walk.doubts], not walk.faults
        )
    if bundle.manifest.get("kind") != "client":
        raise NotProved("The manifest says neither log nor client.")
    says = [*_check_client(bundle, organisation, note, checkpoint), *says]
    shown, more = _continued(checkpoint, kept)
    return Examined(checkpoint, note, says, faults, [*doubts, *more], shown)


class RecordsSay:
    """What records of the audit log say of the log itself: what was erased, what was removed as the law asks, and when the log began anew."""

    def __init__(self) -> None:
        self.missing: dict[int, str] = {}  # records that are not there, by position
        self.erased: set[str] = set()  # courses
        self.resumed: dict[str, dict[str, Any]] = {}  # by the origin before
        self._reaped: list[tuple[int, int]] = []

    def add(self, record: dict[str, Any]) -> None:
        action, details = record.get("action"), record.get("details")
        if action in ERASED:
            self.erased.update(str(each) for each in _listed(record.get("courses")))
        elif action == RESUMED and isinstance(details, dict):
            self.resumed[str(details.get("origin_before"))] = details
        elif action == REAPED and isinstance(details, dict):
            pairs = [_listed(each) for each in _listed(details.get("positions"))]
            self._reaped += [(each[0], each[1]) for each in pairs if len(each) == 2 and all(isinstance(end, int) for end in each)]

    def first_missing(self) -> int | None:
        """The first position of a record that is missing, and that no record says was removed."""
        ranges, at = sorted(self._reaped), 0
        for position in self.missing:
            while at < len(ranges) and ranges[at][1] < position:
                at += 1
            if at == len(ranges) or position < ranges[at][0]:
                return position
        return None

    def begun_anew(self, before: str, now: str) -> list[dict[str, Any]]:
        """How the log came from one origin to another; nothing if it did not."""
        found, left = [], dict(self.resumed)
        while before != now:
            if (step := left.pop(before, None)) is None:
                return []
            found.append(step)
            before = str(step.get("origin"))
        return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class LogWalk:
    """Goes through the leaves of a bundle, with its entries and records beside them, and finds the first that is not as it was recorded."""

    def __init__(self, bundle: BundleFiles, organisation: str, checkpoint: Checkpoint, kept: Checkpoint | None) -> None:
        self.faults: list[Discrepancy] = []
        self.doubts: list[str] = []
        self.records = 0
        self.said = RecordsSay()
        self.chains = Chains(organisation)
        self._tree = GrowingTree()
        self._entries, self._records = bundle.rows(ENTRIES), bundle.rows(RECORDS)
        self._differs: int | None = None  # the first position where the leaves are not those of the tiles
        of_tiles = GrowingTree()
        hashes = bundle.hashes(LEAF_HASHES)
        roots: dict[int, bytes] = {0: EMPTY_ROOT}
        for line in bundle.lines(LEAVES):
            self._leaf(line)
            in_tile = next(hashes, b"")
            of_tiles.add(in_tile)
            if self._differs is None and in_tile != leaf_hash(line):
                self._differs = self._tree.size - 1
            if kept is not None and self._tree.size == kept.size:
                roots[kept.size] = self._tree.root()
        if not self.faults:
            self._check_what_is_missing()
            self._rest()
        self._check_root(checkpoint, of_tiles.root())
        self._check_kept(checkpoint, kept, roots)

    def summary(self) -> str:
        removed = f" (and removed, as a record says: {len(self.said.missing)})" if self.said.missing else ""
        return f"{self.chains.summary()} Records: {self.records}{removed}."

    def _leaf(self, line: bytes) -> None:
        position = self._tree.size
        self._tree.add(leaf_hash(line))
        if self.faults:
            return
        try:
            self._check_leaf(line, position)
        except NotProved as error:
            self.faults.append(Discrepancy(str(error), position))

    def _check_leaf(self, line: bytes, position: int) -> None:
        leaf = json_object(line, "The leaf")
        if leaf.get("kind") == "entry":
            what = f"Entry {leaf.get('seq')} of course {leaf.get('course')}"
            row = next(self._entries, {})
            if (row.get("course"), row.get("seq")) != (leaf.get("course"), leaf.get("seq")):
                raise NotProved(f"{what} is missing, or not in its place.")
            written = entry_leaf(position, str(row["course"]), row["seq"], self.chains.add(row))
        else:
            what = f"Record {leaf.get('record')}"
            row = next(self._records, {})
            if row.get("record") != leaf.get("record"):
                raise NotProved(f"{what} is missing, or not in its place.")
            if row.get("canonical") is None:
                self.said.missing.setdefault(position, str(leaf.get("record")))
                return
            digest, said = read_record(row, self.chains.organisation)
            written = record_leaf(position, str(leaf.get("record")), digest)
            if written == line:
                self.said.add(said)
            self.records += 1
        if written != line:
            raise NotProved(f"{what} is not what the log has at this position.")

    def _check_what_is_missing(self) -> None:
        position = self.said.first_missing()
        if position is not None:
            self.faults.append(Discrepancy(f"Record {self.said.missing[position]} is missing, and no record says why.", position))
        for course in sorted(self.chains.emptied - self.said.erased - self.chains.moved)[:SHOWN]:
            self.doubts.append(f"A text of course {course} is gone, and no record says that it was erased.")

    def _rest(self) -> None:
        """What is there and in no leaf was put in without the log."""
        if row := next(self._entries, None):
            self.faults.append(Discrepancy(f"Entry {row.get('seq')} of course {row.get('course')} is in no position of the log."))
        if row := next(self._records, None):
            self.faults.append(Discrepancy(f"Record {row.get('record')} is in no position of the log."))

    def _check_root(self, checkpoint: Checkpoint, of_tiles: bytes) -> None:
        size = self._tree.size
        if size != checkpoint.size:
            text = f"There are {size} leaves, and the checkpoint has {checkpoint.size}."
            self.faults.append(Discrepancy(text, min(size, checkpoint.size)))
        elif self._tree.root() != checkpoint.root:
            position = self._differs if of_tiles == checkpoint.root else None
            self.faults.append(Discrepancy("The leaves are not those of the checkpoint.", position, (0, size - 1)))

    def _check_kept(self, checkpoint: Checkpoint, kept: Checkpoint | None, roots: dict[int, bytes]) -> None:
        if kept is None:
            self.doubts += [_anew(each) for each in self.said.resumed.values()]
            return
        steps = self.said.begun_anew(kept.origin, checkpoint.origin)
        self.doubts += [_anew(each) for each in steps]
        kept_sizes = [each["kept_size"] for each in steps if isinstance(each.get("kept_size"), int)]
        if kept.origin != checkpoint.origin and not steps:
            self.faults.append(Discrepancy(f"The checkpoint that was kept is that of another log: {kept.origin}."))
        elif kept_sizes and kept.size > min(kept_sizes):
            return  # what a person must judge was said
        elif kept.size > checkpoint.size:
            text = f"The log ends before the checkpoint that was kept, which had {kept.size} leaves."
            self.faults.append(Discrepancy(text, checkpoint.size))
        elif kept.size not in roots or roots[kept.size] != kept.root:
            text = f"The first {kept.size} leaves are not those of the checkpoint that was kept."
            self.faults.append(Discrepancy(text, None, (0, kept.size - 1)))
        else:  # up to there all is as it was
            self.faults = [
                each._replace(between=(kept.size, each.between[1])) if each.between and each.between[1] >= kept.size else each
                for each in self.faults
            ]


def _anew(step: dict[str, Any]) -> str:
    return (
        f"The log began anew as {step.get('origin')}, after {step.get('origin_before')}. Of the positions from {step.get('kept_size')} to before"
        f" {step.get('lost_size')}, some or all are lost. The reason that was given: {step.get('reason')}"
    )


def _check_client(bundle: BundleFiles, organisation: str, note: SignedNote, checkpoint: Checkpoint) -> list[str]:
    """Checks what a client's bundle holds, and says what it was. Raises NotProved."""
    chains, records = Chains(organisation), 0
    for row in bundle.rows(ENTRIES):
        chains.add(row)
    proofs = {f"{PROOFS}{course}-{seq}.tlog-proof": (course, seq, digest) for course, (seq, digest) in chains.heads.items()}
    for name in bundle.names:
        if name.startswith(PROOFS) and name not in proofs:
            raise NotProved(f"{name} proves an entry that is not the last one of a course here.")
    for name, (course, seq, digest) in proofs.items():
        proof = read_proof(bundle.text(name))
        if proof.note.text != note.text:
            raise NotProved(f"{name} is about another checkpoint than that of the bundle.")
        leaf = leaf_hash(entry_leaf(proof.leaf_index, course, seq, digest))
        check_inclusion(proof.leaf_index, checkpoint.size, leaf, proof.hashes, checkpoint.root)
    for row in bundle.rows(RECORDS) if RECORDS in bundle.names else ():
        position, proof_hashes, what = row.get("position"), row.get("proof"), f"Record {row.get('record')}"
        if not isinstance(position, int) or not isinstance(proof_hashes, list):
            raise NotProved(f"{what} has no position or no proof.")
        hashes = [decoded(str(each), f"The proof of {what}") for each in proof_hashes]
        leaf = leaf_hash(record_leaf(position, str(row.get("record")), read_record(row, organisation)[0]))
        check_inclusion(position, checkpoint.size, leaf, hashes, checkpoint.root)
        records += 1
    return [f"{chains.summary()} Records: {records}."]


# Single files


def examine_proof(text: str, policy: Policy, kept: Checkpoint | None, content: bytes | None) -> Examined:
    """Verifies a `.tlog-proof` that carries its leaf. `content` are the canonical bytes that it must be about. Raises NotProved."""
    proof = read_proof(text)
    leaf = json_object(proof.leaf, "The leaf that the proof carries")
    checkpoint = check_proof(policy, proof, proof.leaf)
    if content is not None and leaf.get("hash") != hashlib.sha256(content).hexdigest():
        raise NotProved("The proof is about other bytes.")
    shown, doubts = _continued(checkpoint, kept)
    says = [f"It is in the log: {proof.leaf.decode(errors='replace')}", _signed_by(policy, proof.note)]
    return Examined(checkpoint, proof.note, says, [], doubts, shown)


def examine_checkpoint(text: str, policy: Policy, kept: Checkpoint | None) -> Examined:
    """Verifies a checkpoint, alone or with the proof that it continues the one that was kept. Raises NotProved."""
    submission = read_submission(text) if text.startswith("old ") else None
    note = read_note(submission.note) if submission else read_kept(text)
    checkpoint = check_policy(policy, note)
    if submission is None or kept is None or submission.old_size != kept.size:
        shown, doubts = _continued(checkpoint, kept)
        return Examined(checkpoint, note, [_signed_by(policy, note)], [], doubts, shown)
    if kept.origin != checkpoint.origin:
        raise NotProved(f"The checkpoint that was kept is that of another log: {kept.origin}.")
    if kept.size:
        check_consistency(kept.size, checkpoint.size, submission.hashes, kept.root, checkpoint.root)
    return Examined(checkpoint, note, [_signed_by(policy, note)], [], [], shown=True)


def _continued(checkpoint: Checkpoint, kept: Checkpoint | None) -> tuple[bool, list[str]]:
    """Whether a checkpoint is seen to continue the one that was kept, without any proof; else, what a person must judge. Raises NotProved."""
    if kept is None or kept == checkpoint or (kept.origin == checkpoint.origin and not kept.size):
        return True, []
    if kept.origin == checkpoint.origin and kept.size == checkpoint.size:
        raise NotProved("The checkpoint that was kept has the same size and another root: the log was rewritten.")
    return False, [f"Nothing here shows that it continues the checkpoint that was kept, of {kept.size} leaves of {kept.origin}."]


def _signed_by(policy: Policy, note: SignedNote) -> str:
    names = [name for name, key in policy.witnesses.items() if holds(key, note)]
    origin, size = note.text.split("\n")[:2]
    return f"Checkpoint of {origin}, {size} leaves, signed by the log, cosigned by {', '.join(names) or 'nobody'}."


# The command line

HOLDS, FAULTY, CALLED_WRONGLY, DOUBTFUL = range(4)
WIDTH = 2000  # of a line that is shown


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        policy = read_policy(_file_text(options.policy)) if options.policy else None
        kept = read_checkpoint(read_kept(_file_text(options.kept)).text) if options.kept and options.kept.exists() else None
        content = options.of.read_bytes() if options.of else None
        for path in options.files:
            path.open("rb").close()
    except (NotProved, OSError) as error:
        why = f"{error.filename}: {error.strerror}." if isinstance(error, OSError) else str(error)
        sys.stderr.write(f"ipt_verify.py: {_shown(why)}\n")
        return CALLED_WRONGLY
    faults: list[Discrepancy] = []
    doubts, newest = 0, None
    for path in options.files:
        found = _examine(path, policy, kept, content)
        faults += found.faults
        doubts += len(found.doubts)
        _report(path.name, found)
        if found.note and found.shown and not found.faults and _is_newer(found.checkpoint, kept):
            kept, newest = found.checkpoint, found.note
    _say_what_was_not_checked(policy)
    if faults:
        _say(_first_bad(faults))
        return FAULTY
    if options.kept and newest:
        _keep(options.kept, str(newest))
    _say("All holds, but for what a person must judge." if doubts else "All holds.")
    return DOUBTFUL if doubts else HOLDS


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ipt_verify.py", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="a bundle (ZIP), a .tlog-proof that carries its leaf, or a checkpoint, also with the proof that it continues an older one",
    )
    parser.add_argument("--policy", type=Path, help="whose signatures you trust, as C2SP tlog-policy; without it, a bundle's own")
    parser.add_argument(
        "--kept", type=Path, help="the last checkpoint that you kept; the file is made, or replaced by a newer one, if all holds"
    )
    parser.add_argument("--of", type=Path, help="the canonical bytes that a .tlog-proof must be about")
    options = parser.parse_args(arguments)
    if options.kept and not options.policy:
        parser.error("--kept needs --policy: a checkpoint is kept only if its signature is one that you trust.")
    return options


def _examine(path: Path, policy: Policy | None, kept: Checkpoint | None, content: bytes | None) -> Examined:
    try:
        return examine_bundle(path, policy, kept) if zipfile.is_zipfile(path) else _examine_text(path, policy, kept, content)
    except (NotProved, RecursionError) as error:
        return Examined(Checkpoint("", 0, EMPTY_ROOT), None, [], [Discrepancy(str(error))], [], shown=False)


def _examine_text(path: Path, policy: Policy | None, kept: Checkpoint | None, content: bytes | None) -> Examined:
    """Raises NotProved."""
    if policy is None:
        raise NotProved("It brings no policy. Give one with --policy.")
    with path.open("rb") as file:
        text = _decoded_text(file.read(FILE_MAX), "It")
    if text.startswith("c2sp.org/tlog-proof"):
        return examine_proof(text, policy, kept, content)
    return examine_checkpoint(text, policy, kept)


def _report(name: str, found: Examined) -> None:
    lines = [*found.says, *(f"FAULT {each.text}" for each in found.faults), *(f"JUDGE {each}" for each in found.doubts)]
    for line in lines:
        _say(f"{name}: {line}")


def _say_what_was_not_checked(policy: Policy | None) -> None:
    kinds = {key.kind for key in (*policy.logs, *policy.witnesses.values())} if policy else set()
    if ML_DSA_44 in kinds and not importlib.util.find_spec("mldsa"):
        _say("Signatures of the kind ML-DSA-44 were not checked: the package `mldsa` is not installed.")


def _is_newer(checkpoint: Checkpoint, kept: Checkpoint | None) -> bool:
    return kept is None or kept.origin != checkpoint.origin or checkpoint.size >= kept.size


def _first_bad(faults: list[Discrepancy]) -> str:
    known = [each.position for each in faults if each.position is not None]
    bounds = [each.between for each in faults if each.position is None and each.between]
    if known:
        return f"First bad position: {min(known)}."
    if bounds:
        return f"First bad position: between {max(low for low, _ in bounds)} and {min(high for _, high in bounds)}."
    return "First bad position: none of those that can be seen here."


def _file_text(path: Path) -> str:
    return _decoded_text(path.read_bytes(), str(path))


def _keep(path: Path, note: str) -> None:
    """Replaces the file at once, so that there is always a whole one."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(note)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _say(text: str) -> None:
    sys.stdout.write(_shown(text) + "\n")


def _shown(text: str) -> str:
    """A text without what a terminal might act on or cannot show."""
    encoding = sys.stdout.encoding or "ascii"
    plain = "".join(each if each.isprintable() else "?" for each in text[:WIDTH])
    return plain.encode(encoding, "replace").decode(encoding)


if __name__ == "__main__":
    sys.exit(main())
