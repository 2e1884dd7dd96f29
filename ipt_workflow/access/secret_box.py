"""Stores secrets that the service must read again, so it cannot hash them. With `secret_keys` set, it seals them; otherwise not."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from ipt_workflow.errors import SecretUnreadable

SEALED, PLAIN = "sealed:", "plain:"


class SecretBox:
    """Seals with the first key and opens with any key. To rotate, put the new key before the old one."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Takes the keys of the setting `secret_keys`. Raises ValueError for a malformed key."""
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
        raise SecretUnreadable(
            "A stored secret was sealed with a key that is not in IPT_SECRET_KEYS. Add that key to IPT_SECRET_KEYS."
        )
