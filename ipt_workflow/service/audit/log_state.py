"""What was signed last, kept in a file beside the keys: whoever puts back an older database does not put this back."""

from pathlib import Path

import msgspec

from ipt_workflow.errors import IptError
from ipt_workflow.runtime import kept_files

SUFFIX = ".state"


class LogStateInvalid(IptError):
    """The file that says what was signed last cannot be read."""


class SignedSize(msgspec.Struct, frozen=True):
    """The largest tree of an origin that was signed. `root` is in Base64."""

    size: int
    root: str


class LogState:
    """The file, which several processes may use. It has the largest tree of each origin."""

    def __init__(self, key_file: Path) -> None:
        self.path = key_file.with_name(key_file.name + SUFFIX)

    def read(self) -> dict[str, SignedSize]:
        """Raises LogStateInvalid, or OSError."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, SignedSize])
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError:
            raise LogStateInvalid(
                f"{self.path.name} is not what the log kept. Restore it from a copy. Without it, only witnesses can tell whether the "
                "database is an older one: ask them before you remove it."
            ) from None

    def advance(self, origin: str, known: SignedSize | None, signed: SignedSize) -> bool:
        """Keeps what is about to be signed, before it is. False if the file no longer says what was `known`: then nothing was kept.

        Returns once it is on the disk. Raises LogStateInvalid, or OSError: then nothing may be signed.
        """
        with kept_files.locked(self.path):
            kept = self.read()
            if kept.get(origin) != known:
                return False
            self._write({**kept, origin: signed})
            return True

    def know(self, origin: str, signed: SignedSize) -> bool:
        """Keeps what somebody brings of what was signed, if it is larger than all that is known here. Returns whether it is."""
        with kept_files.locked(self.path):
            kept = self.read()
            larger = origin not in kept or kept[origin].size < signed.size
            if larger:
                self._write({**kept, origin: signed})
            return larger

    def _write(self, kept: dict[str, SignedSize]) -> None:
        content = msgspec.json.encode(dict(sorted(kept.items())))
        kept_files.replace(self.path, msgspec.json.format(content, indent=2).decode() + "\n")
