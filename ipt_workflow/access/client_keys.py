"""Seals texts about a client under a key of their own, which `secret_keys` wrap. Who destroys the key destroys the texts in every copy.

A text under a key begins with a mark, which no document does, and the key's id. Its salt is sealed with it: with the salt, a text that
somebody guesses could be proved by its digest. In the place of the salt stands the nonce.
"""

import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipt_workflow.access.secret_box import SecretBox

MARK = b"\x01"
ID_BYTES, SALT_BYTES, KEY_BITS, NONCE_BYTES = 16, 16, 256, 12
HELD_MAX = 10_000  # opened keys in a process


class ClientKey(msgspec.Struct, frozen=True):
    """An opened key. `wrapped` is set if it was made just now, and is to be stored."""

    id: str
    cipher: AESGCM
    wrapped: str | None = None

    def seal(self, salt: str, sealed: bytes) -> tuple[str, bytes]:
        """What is stored in the places of a salt and a document."""
        nonce, of = secrets.token_bytes(NONCE_BYTES), uuid.UUID(self.id).bytes
        return nonce.hex(), MARK + of + self.cipher.encrypt(nonce, bytes.fromhex(salt) + sealed, of)

    def open(self, nonce: str, stored: bytes) -> tuple[str, bytes] | None:
        """The salt and the document; None if this is not what was sealed."""
        of, text = stored[1 : 1 + ID_BYTES], stored[1 + ID_BYTES :]
        try:
            opened = self.cipher.decrypt(bytes.fromhex(nonce), text, of)
        except (InvalidTag, ValueError):
            return None
        return opened[:SALT_BYTES].hex(), opened[SALT_BYTES:]


def key_of(stored: object) -> str | None:
    """The id of the key under which a stored text is; None if it is under none."""
    if not isinstance(stored, bytes) or not stored.startswith(MARK) or len(stored) < 1 + ID_BYTES:
        return None
    return str(uuid.UUID(bytes=stored[1 : 1 + ID_BYTES]))


class KeyRing:
    """The keys that a process has opened. Each is unwrapped once, unless it was not used for long.

    Without `secret_keys` it makes none: a key beside its texts would protect nothing. Nor does it if it only `opens`.
    """

    def __init__(self, secret_keys: Sequence[str], *, opens: bool = False) -> None:
        self.makes_keys = bool(secret_keys) and not opens
        self._box = SecretBox(secret_keys)
        self._held: OrderedDict[str, ClientKey] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, key_id: str) -> ClientKey:
        """A new key, to be stored."""
        key = AESGCM.generate_key(KEY_BITS)
        made = ClientKey(key_id, AESGCM(key), self._box.seal(key.hex()))
        self._hold(msgspec.structs.replace(made, wrapped=None))
        return made

    def held(self, key_id: str) -> ClientKey | None:
        """An opened key, if the process has it."""
        with self._lock:
            found = self._held.get(key_id)
            if found:
                self._held.move_to_end(key_id)
            return found

    def unwrap(self, key_id: str, wrapped: str) -> ClientKey:
        """Raises SecretUnreadable if it was wrapped with a key that is not in `secret_keys`."""
        opened = ClientKey(key_id, AESGCM(bytes.fromhex(self._box.open(wrapped))))
        self._hold(opened)
        return opened

    def forget(self, key_id: str) -> None:
        """Drops a key that was shredded."""
        with self._lock:
            self._held.pop(key_id, None)

    def _hold(self, key: ClientKey) -> None:
        with self._lock:
            self._held[key.id] = key
            if len(self._held) > HELD_MAX:
                self._held.popitem(last=False)
