"""Bundles made by hand, of a log with two courses and some records: for tests of the verifier that need no service."""

import datetime as dt
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, Proof, SignedNote, Submission, leaf_hash
from ipt_workflow.service.audit import log_keys
from ipt_workflow.service.audit.bundles import BundleWriter
from ipt_workflow.service.audit.log_keys import CheckpointSigner
from ipt_workflow.values.canonical import canonical

ORIGIN, ORGANISATION, NOW = "clinic.example/default", "default", 1_700_000_000
MADE_AT = dt.datetime(2026, 11, 30, 12, tzinfo=dt.UTC)
LOG = log_keys.of_log(log_keys.new_file(), ORIGIN)
WITNESS = log_keys.of_witness(log_keys.new_file(), "partner.example/witness")
POLICY = f"log {LOG[0].key.vkey()}\nwitness partner {WITNESS[0].key.vkey()}\nquorum partner\n"
SIGNERS = (*LOG, *WITNESS)
Row = dict[str, Any]


def entry(
    course: str, seq: int, before: str, *, organisation: str = ORGANISATION, note: str = "a text", trigger: str = "record_session"
) -> Row:
    salt, sealed = hashlib.sha256(f"{course}{seq}".encode()).hexdigest()[:32], canonical({"data": {"note": note}})
    written = {
        "organisation": organisation,
        "course": course,
        "seq": seq,
        "trigger": trigger,
        "prev_hash": before,
        "data_digest": hashlib.sha256(bytes.fromhex(salt) + sealed).hexdigest(),
    }
    return {"course": course, "seq": seq, "canonical": canonical(written).decode(), "salt": salt, "sealed": sealed.decode()}


def record(name: str, **more: Any) -> Row:
    written = {"organisation": ORGANISATION, "id": name, "kind": "read", "action": "course", **more}
    return {"record": name, "canonical": canonical(written).decode()}


def said(action: str, **more: Any) -> Row:
    """A record of something that was done to the log."""
    return record(action.replace(" ", "-"), kind="config", action=action, **more)


def digest(row: Row) -> str:
    return hashlib.sha256(row["canonical"].encode()).hexdigest()


def small_log() -> list[Row]:
    """Thirteen rows: seven entries of one course, three of another, and three records between them."""
    rows: list[Row] = []
    heads = {"a": "0" * 64, "b": "0" * 64}
    seqs = {"a": 0, "b": 0}
    for number, kind in enumerate("arabaarabaarb"[:13]):
        if kind == "r":
            rows.append(record(f"r{number}"))
            continue
        seqs[kind] += 1
        rows.append(entry(kind, seqs[kind], heads[kind]))
        heads[kind] = digest(rows[-1])
    return rows


def leaf(position: int, row: Row) -> bytes:
    """The leaf of a row, made by the service's canonical form and not by the verifier's."""
    if "record" in row:
        return canonical({"hash": digest(row), "kind": "record", "position": position, "record": row["record"]})
    return canonical({"course": row["course"], "hash": digest(row), "kind": "entry", "position": position, "seq": row["seq"]})


def leaves_of(rows: list[Row]) -> list[bytes]:
    return [leaf(position, row) for position, row in enumerate(rows)]


def tiles_of(leaves: list[bytes]) -> tree.ReadTile:
    return tree.reader(tree.added(0, [leaf_hash(each) for each in leaves], tree.reader({})))


def checkpoint_of(leaves: list[bytes], origin: str = ORIGIN) -> Checkpoint:
    return Checkpoint(origin, len(leaves), tree.root(len(leaves), tiles_of(leaves)))


def note_of(leaves: list[bytes], signers: tuple[CheckpointSigner, ...] = SIGNERS, origin: str = ORIGIN) -> SignedNote:
    return log_keys.signed(checkpoint_of(leaves, origin).text(), signers, NOW)


def submission_of(leaves: list[bytes], old_size: int) -> Submission:
    hashes = tree.consistency(old_size, len(leaves), tiles_of(leaves)) if old_size else ()
    return Submission(old_size, hashes, str(note_of(leaves)))


def lines(rows: list[Row]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in rows)


def log_bundle(
    path: Path,
    rows: list[Row],
    *,
    leaves: list[bytes] | None = None,
    tiles: list[bytes] | None = None,
    note: SignedNote | None = None,
    beside: list[Row] | None = None,
) -> Path:
    """A bundle of a whole log: its rows, and where they are not as their rows say, its leaves, the leaves of its tiles and its checkpoint."""
    leaves = leaves_of(rows) if leaves is None else leaves
    shown = [*rows, *(beside or [])]
    with (
        path.open("wb") as file,
        BundleWriter(
            file,
            "log",
            organisation=ORGANISATION,
            note=note or note_of(leaves),
            policy=POLICY,
            made_at=MADE_AT,
        ) as bundle,
    ):
        bundle.add(ipt_verify.LEAVES, b"".join(each + b"\n" for each in leaves))
        bundle.add(ipt_verify.LEAF_HASHES, b"".join(leaf_hash(each) for each in (tiles or leaves)))
        bundle.add(ipt_verify.ENTRIES, lines([each for each in shown if "course" in each]))
        bundle.add(ipt_verify.RECORDS, lines([each for each in shown if "record" in each]))
    return path


def proof_of(leaves: list[bytes], position: int, note: SignedNote | None = None) -> Proof:
    hashes = tree.inclusion(position, len(leaves), tiles_of(leaves))
    return Proof(position, hashes, note or note_of(leaves), leaves[position])


def client_bundle(path: Path, rows: list[Row], course: str = "a", change: Callable[[list[Row]], list[Row]] = list) -> Path:
    """A bundle of the client of one course, with the records of the log."""
    leaves = leaves_of(rows)
    note, tiles = note_of(leaves), tiles_of(leaves)
    last = max((position for position, row in enumerate(rows) if row.get("course") == course), key=lambda each: rows[each]["seq"])
    with (
        path.open("wb") as file,
        BundleWriter(file, "client", organisation=ORGANISATION, note=note, policy=POLICY, made_at=MADE_AT) as bundle,
    ):
        bundle.add(ipt_verify.ENTRIES, lines(change([each for each in rows if each.get("course") == course])))
        proved = [
            {
                **row,
                "position": position,
                "proof": [ipt_verify.encoded(each) for each in tree.inclusion(position, len(leaves), tiles)],
            }
            for position, row in enumerate(rows)
            if "record" in row
        ]
        bundle.add(ipt_verify.RECORDS, lines(change(proved)))
        bundle.add(f"proofs/{course}-{rows[last]['seq']}.tlog-proof", str(proof_of(leaves, last, note)).encode())
        bundle.add("summary.html", b"<p>For people</p>")
    return path


def repacked(path: Path, change: Callable[[dict[str, bytes]], None], *, manifest: bool = True) -> Path:
    """A bundle whose files were changed; with the manifest set right too, unless a test wants it as it was."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if manifest:
        made = json.loads(files["manifest.json"])
        made["files"] = {name: hashlib.sha256(each).hexdigest() for name, each in files.items() if name != "manifest.json"}
        files["manifest.json"] = json.dumps(made).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    path.write_bytes(packed.getvalue())
    return path
