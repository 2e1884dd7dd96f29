"""The digests that are kept of a message. Each is keyed (HMAC-SHA256) with a key of its source, so nobody can test a guess against it."""

import hashlib
import hmac

from ipt_workflow.store.sources import StoredSource

NAMES_A_CLIENT = ("client ", "merged ")  # beginnings of parts that name a client


def of_message(source: StoredSource, key: str) -> str:
    """Identifies a message by its id, or by what it is about."""
    return _keyed(source, hashlib.sha256(f"{source.id}\n{key}".encode()).hexdigest().encode())


def of_body(source: StoredSource, body: bytes) -> str:
    """Shows whether two messages are equal byte by byte."""
    return _keyed(source, hashlib.sha256(body).hexdigest().encode())


def is_of_body(source: StoredSource, kept: str, body: bytes) -> bool:
    """Whether the digest that is kept of a message is that of this body. What was erased counts as the same: nobody can tell."""
    return kept in {"", of_body(source, body)}


def of_resource(source: StoredSource, name: str) -> str:
    """Finds the notices about a resource by its name, such as `Appointment/2231`."""
    return _keyed(source, name.encode())


def of_content(source: StoredSource, canonical: bytes) -> str:
    """Shows whether two versions say the same to us."""
    return _keyed(source, canonical)


def of_part(source: StoredSource, part: str) -> str:
    """A part as it is stored: as a digest if it names a client."""
    return _keyed(source, part.encode())[:32] if part.startswith(NAMES_A_CLIENT) else part


def _keyed(source: StoredSource, content: bytes) -> str:
    return hmac.new(source.digest_key, content, hashlib.sha256).hexdigest()
