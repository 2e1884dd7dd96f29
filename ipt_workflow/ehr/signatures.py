"""Standard Webhooks 1.0.0: signs the webhooks we send, and verifies the messages we receive.

The signed bytes are `{id}.{timestamp}.{body}`. A `v1` signature is an HMAC-SHA256 with a key that both sides hold (`whsec_`). A `v1a`
signature is Ed25519 (`whsk_` signs, `whpk_` verifies). During a rotation several keys are valid. A message never supplies a key, and
no error discloses the expected signature.
"""

import base64
import binascii
import datetime as dt
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ipt_workflow.errors import SignatureInvalid

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
TOLERANCE_SECONDS = 300  # either way
SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
SHARED_BYTES = range(24, 65)
SIGNATURES_MAX = 16
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")  # visible ASCII without the dot, which separates the signed parts
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignedHeaders(msgspec.Struct, frozen=True):
    """The id of a verified message, which stays the same when it is sent again, and the Unix second it was sent."""

    id: str
    timestamp: int


class SignatureClaim(msgspec.Struct, frozen=True):
    """What the headers of a message say. Only its body can prove it. Each signature has its version."""

    id: str
    timestamp: str
    signatures: list[tuple[str, bytes]]


class SigningKey(Protocol):
    """A key. Every key verifies; a `SharedKey` and a `PrivateKey` sign as well."""

    version: str

    def matches(self, content: bytes, signature: bytes) -> bool: ...


class SharedKey:
    """A `whsec_` key that both sides hold."""

    version = "v1"

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, hashlib.sha256)

    def matches(self, content: bytes, signature: bytes) -> bool:
        """Compares in constant time."""
        return hmac.compare_digest(self.sign(content), signature)


class PublicKey:
    """A `whpk_` key: verifies the signatures of its private key."""

    version = "v1a"

    def __init__(self, public: bytes) -> None:
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def matches(self, content: bytes, signature: bytes) -> bool:
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """A `whsk_` key: signs. `public` is its public key as text."""

    version = "v1a"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._key.public_key().public_bytes_raw()
        self.public = PUBLIC + _text(self._public)

    def sign(self, content: bytes) -> bytes:
        return self._key.sign(content)

    def matches(self, content: bytes, signature: bytes) -> bool:
        return PublicKey(self._public).matches(content, signature)


def read_key(text: str) -> SigningKey:
    """Reads a key from its text. Raises ValueError, which describes the format and never repeats the text."""
    for prefix, make in ((SHARED, _shared), (PRIVATE, _private), (PUBLIC, _public)):
        if text.startswith(prefix):
            try:
                return make(base64.b64decode(text.removeprefix(prefix).encode("ascii"), validate=True))
            except (binascii.Error, UnicodeEncodeError):
                raise ValueError(f"after {prefix} a key must be base64") from None
    raise ValueError("a key must begin with whsec_ (shared), whsk_ (private) or whpk_ (public)")


def _shared(raw: bytes) -> SigningKey:
    if len(raw) not in SHARED_BYTES:
        raise ValueError("after whsec_ a key must hold from 24 to 64 bytes")
    return SharedKey(raw)


def _private(raw: bytes) -> SigningKey:
    """Reads a seed of 32 bytes, or 64 bytes with the seed and its public key."""
    if len(raw) not in {32, 64}:
        raise ValueError("after whsk_ a key must hold 32 or 64 bytes")
    key = PrivateKey(raw[:32])
    if len(raw) == 64 and key.public != PUBLIC + _text(raw[32:]):
        raise ValueError("the two halves of the whsk_ key do not belong together")
    return key


def _public(raw: bytes) -> SigningKey:
    if len(raw) != 32:
        raise ValueError("after whpk_ a key must hold 32 bytes")
    return PublicKey(raw)


def mint_shared() -> str:
    """A new `whsec_` key of 32 random bytes."""
    return SHARED + _text(secrets.token_bytes(32))


def mint_private() -> str:
    """A new `whsk_` key: a random seed and its public key."""
    seed = secrets.token_bytes(32)
    return PRIVATE + _text(seed + Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw())


class Signer:
    """Signs with each of its keys, newest first."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        """Raises ValueError without a key, or with a public key."""
        self._keys = tuple(key for key in keys if isinstance(key, SharedKey | PrivateKey))
        if not keys or len(self._keys) < len(keys):
            raise ValueError("signing needs a whsec_ or whsk_ key")

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of one attempt at `timestamp` (Unix seconds). Raises ValueError for a bad id or timestamp."""
        if not _ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(str(timestamp)):
            raise ValueError("an id must be visible ASCII without a dot, a timestamp whole seconds since 1970")
        content = _content(message_id, str(timestamp), body)
        signatures = " ".join(f"{key.version},{_text(key.sign(content))}" for key in self._keys)
        return {ID: message_id, TIMESTAMP: str(timestamp), SIGNATURE: signatures}


def verify(headers: Mapping[str, str], body: bytes, keys: Sequence[SigningKey], now: dt.datetime) -> SignedHeaders:
    """Verifies that a holder of one of the `keys` has sent this message now. Header names may be in either case.

    Raises SignatureInvalid, and no other error, for any headers and body. It ignores signatures of unknown versions and those that it
    cannot read, as the reference libraries do. It tries every other signature with every key of its version, so that the duration
    discloses nothing.
    """
    claimed = claim(headers, now)
    content = _content(claimed.id, claimed.timestamp, body)
    matched = [key.matches(content, value) for key in keys for version, value in claimed.signatures if version == key.version]
    if not any(matched):
        raise SignatureInvalid(
            f"{SIGNATURE} holds no signature of a key that is known here. Sign with the current key, over the exact bytes of the body."
        )
    return SignedHeaders(claimed.id, int(claimed.timestamp))


def claim(headers: Mapping[str, str], now: dt.datetime) -> SignatureClaim:
    """What the headers of a message claim before its body is read. Header names may be in either case.

    Raises SignatureInvalid for headers that are not well-formed, or not of this time.
    """
    values = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = values.get(ID, ""), values.get(TIMESTAMP, "")
    if not _ID.fullmatch(message_id):
        raise SignatureInvalid(f"{ID} must have 1 to 256 visible ASCII characters and no dot.")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureInvalid(f"{TIMESTAMP} must be whole seconds since 1970.")
    signatures = _signatures(values.get(SIGNATURE, ""))
    if abs(int(timestamp) - now.timestamp()) > TOLERANCE_SECONDS:
        raise SignatureInvalid(f"{TIMESTAMP} must be within {TOLERANCE_SECONDS} seconds of now. Check the sender's clock.")
    return SignatureClaim(message_id, timestamp, signatures)


def _signatures(text: str) -> list[tuple[str, bytes]]:
    """The version and bytes of each signature that can be read. Raises SignatureInvalid if none can, or if there are too many."""
    parts = [part for part in text.split(" ") if part]
    if len(parts) > SIGNATURES_MAX:
        raise SignatureInvalid(f"{SIGNATURE} must hold at most {SIGNATURES_MAX} signatures.")
    found = [signature for signature in map(_signature, parts) if signature]
    if not found:
        raise SignatureInvalid(f"{SIGNATURE} must hold a signature such as v1,<base64>; separate several with spaces.")
    return found


def _signature(part: str) -> tuple[str, bytes] | None:
    """The version and bytes of one signature; None if its version is not known, or if it is empty or not base64."""
    version, _, value = part.partition(",")
    if version not in {SharedKey.version, PublicKey.version} or not value:
        return None
    try:
        return version, base64.b64decode(value.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
