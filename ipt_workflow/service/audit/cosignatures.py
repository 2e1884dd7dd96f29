"""Asks one witness for its cosignature: over HTTP as C2SP tlog-witness says, or by files that somebody carries."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from ipt_workflow.errors import IptError, ProviderUnusable
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import ED25519, ML_DSA_44, Key, NotProved, Signature, SignedNote, Submission

ATTEMPTS = 3  # a witness may say twice that it knows another size: once if we did not know, and once if somebody else submits at the same time
HEADERS = {"content-type": "text/plain; charset=utf-8", "user-agent": "ipt-workflow"}
Consistency = Callable[[int, int], Awaitable[tuple[bytes, ...]]]


class WitnessAhead(IptError):
    """A witness has cosigned a larger log than there is here: this database is older than what the witness has seen."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(f"The witness {name} has cosigned the log up to size {size}, which is more than this database holds.")
        self.size = size


class WitnessContradicts(IptError):
    """A witness has cosigned another history than there is here."""


class WitnessUnusable(IptError):
    """A witness gave no cosignature, and why."""


class WitnessContent(Protocol):
    """What came back from a witness."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


class WitnessCaller(Protocol):
    """Who calls a witness for us, at addresses that may be called. Raises ProviderUnusable."""

    async def ask(self, whom: str, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> WitnessContent: ...


async def cosigned(
    caller: WitnessCaller, name: str, key: Key, address: str, note: SignedNote, known: int, consistency: Consistency
) -> tuple[Signature, ...]:
    """The cosignatures of a witness on a checkpoint. `known` is the size that the witness probably knows; it says so if it is another.

    Raises WitnessAhead, WitnessContradicts or WitnessUnusable.
    """
    whom, size = f"The witness {name}", ipt_verify.read_checkpoint(note.text).size
    for _ in range(ATTEMPTS):
        hashes = await consistency(known, size) if known else ()
        submission = str(Submission(known, hashes, str(note))).encode()
        try:
            found = await caller.ask(whom, "POST", f"{address.rstrip('/')}/add-checkpoint", HEADERS, submission)
        except ProviderUnusable as error:
            raise WitnessUnusable(str(error)) from None
        if found.status == 200:
            return taken(found.body, name, key, note)
        if found.status == 422:
            raise WitnessContradicts(f"{whom} has cosigned another history of the log.")
        if found.status != 409:
            raise WitnessUnusable(f"{whom} answered with status {found.status}.")
        known = _size(found.body, whom)
        if known > size:
            raise WitnessAhead(name, known)
    raise WitnessUnusable(f"{whom} named another size each time.")


async def kept_by(caller: WitnessCaller, name: str, address: str, origin: str) -> SignedNote:
    """The last checkpoint of a log that a witness has cosigned. Raises WitnessUnusable."""
    whom, digest = f"The witness {name}", hashlib.sha256(origin.encode()).hexdigest()
    try:
        found = await caller.ask(whom, "GET", f"{address.rstrip('/')}/{digest}/checkpoint", HEADERS)
        note = ipt_verify.read_note(found.body.decode())
        if found.status == 200 and ipt_verify.read_checkpoint(note.text).origin == origin:
            return note
    except ProviderUnusable as error:
        raise WitnessUnusable(str(error)) from None
    except (NotProved, UnicodeDecodeError):
        pass
    raise WitnessUnusable(f"{whom} does not show what it has cosigned.")


def taken(body: bytes, name: str, key: Key, note: SignedNote) -> tuple[Signature, ...]:
    """The lines of an answer that are cosignatures of a witness on a checkpoint. Raises WitnessUnusable if there is none, or a wrong one."""
    try:
        answered = ipt_verify.read_note(f"{note.text}\n{body.decode()}")
        lines = tuple(each for each in answered.signatures if (each.name, each.key_id) == (key.name, key.id))
        if lines and confirms(key, SignedNote(note.text, lines)):
            return lines
    except (NotProved, UnicodeDecodeError):
        pass
    raise WitnessUnusable(f"What the witness {name} gave is not its cosignature of this checkpoint.")


def confirms(key: Key, note: SignedNote) -> bool:
    """Whether a key has signed a note. Raises NotProved if a signature of it is wrong.

    The verifier needs a package for ML-DSA that an auditor may have. Here is the library with which we sign, and it is quicker.
    """
    lines = [each.value for each in note.signatures if (each.name, each.key_id) == (key.name, key.id)]
    for value in lines:
        timed = 0 if key.kind == ED25519 else 8
        time = int.from_bytes(value[:timed], "big")
        try:
            public = (MLDSA44PublicKey if key.kind == ML_DSA_44 else Ed25519PublicKey).from_public_bytes(key.public)
            public.verify(value[timed:], ipt_verify.signed_message(key, note.text, time))
        except (InvalidSignature, ValueError, OverflowError):
            raise NotProved(f"The signature of {key.name} is wrong.") from None
    return bool(lines)


def _size(body: bytes, whom: str) -> int:
    text = body.strip()
    if not text.isdigit() or len(text) > 18:
        raise WitnessUnusable(f"{whom} answered with status 409, and no size.")
    return int(text)
