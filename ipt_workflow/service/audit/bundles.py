"""Writes bundles: ZIPs that an auditor or a client verifies without this service (`docs/audit.md`)."""

import datetime as dt
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Self

from ipt_workflow.journal import moment
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, SignedNote


class BundleWriter:
    """Writes the files of a bundle one after another, and at its end their manifest. It is left whole, or without a manifest if an error ends it.

    `kind` is `log` or `client`. `note` is the checkpoint that everything in the bundle is proved by. A client's data are theirs also where the log
    is not signed: without a note nothing is proved.
    """

    def __init__(
        self, target: BinaryIO, kind: str, *, organisation: str, note: SignedNote | None, policy: str, made_at: dt.datetime
    ) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._made_at = made_at.astimezone(dt.UTC)
        self._digests: dict[str, str] = {}
        checkpoint = ipt_verify.read_checkpoint(note.text) if note else Checkpoint("", 0, ipt_verify.EMPTY_ROOT)
        self._manifest = {
            "format": ipt_verify.BUNDLE_FORMAT,
            "kind": kind,
            "organisation": organisation,
            "origin": checkpoint.origin,
            "size": checkpoint.size,
            "made_at": moment(made_at),
            "files": self._digests,
        }
        if note:
            self.add(ipt_verify.CHECKPOINT, str(note).encode())
        self.add(ipt_verify.POLICY, policy.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write(ipt_verify.MANIFEST, json.dumps(self._manifest, indent=2, ensure_ascii=False).encode() + b"\n")
        self._zip.close()

    def add(self, name: str, content: bytes) -> None:
        """Adds a file that is at hand."""
        with self.file(name) as write:
            write(content)

    @contextmanager
    def file(self, name: str) -> Iterator[Callable[[bytes], object]]:
        """A file that is written piece by piece. One is open at a time."""
        digest = hashlib.sha256()
        with self._zip.open(self._entry(name), "w", force_zip64=True) as file:

            def write(piece: bytes) -> None:
                digest.update(piece)
                file.write(piece)

            yield write
        self._digests[name] = digest.hexdigest()

    def _write(self, name: str, content: bytes) -> None:
        with self._zip.open(self._entry(name), "w") as file:
            file.write(content)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name, self._made_at.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        return entry
