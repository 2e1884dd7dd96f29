"""Secrets that must be used again, and so cannot be hashed: sealed where the operator gave a key, else kept as they are."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ipt_workflow.errors import SecretUnreadable

SEALED, PLAIN = "sealed:", "plain:"


class SecretBox:
    """Seals with the first key and opens with any, so that a new key can be put before the old one."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys` as `secret_keys` has them. Raises ValueError for one that is none."""
        self._keys = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def seal(self, secret: str) -> str:
        return SEALED + self._keys.encrypt(secret.encode()).decode() if self._keys else PLAIN + secret

    def open(self, stored: str) -> str:
        """Raises SecretUnreadable."""
        if stored.startswith(PLAIN):
            return stored.removeprefix(PLAIN)
        try:
            if self._keys:
                return self._keys.decrypt(stored.removeprefix(SEALED).encode()).decode()
        except InvalidToken:
            pass
        raise SecretUnreadable("A secret was sealed under a key that is not among IPT_SECRET_KEYS.")
