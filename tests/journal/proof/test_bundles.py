"""What an auditor sees when they run the verifier on bundles, proofs and checkpoints."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import bundles
from support.bundles import Row

from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import GrowingTree, leaf_hash, root_of
from ipt_workflow.service.audit import log_keys


class Auditor:
    """Somebody with a folder, a policy, and maybe a checkpoint that they kept."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.kept = folder / "kept"
        self._capsys = capsys
        (folder / "policy").write_text(bundles.POLICY)

    def keep(self, rows: list[Row], size: int) -> None:
        self.kept.write_text(str(bundles.note_of(bundles.leaves_of(rows)[:size])), encoding="utf-8")

    def kept_size(self) -> int:
        return ipt_verify.read_checkpoint(ipt_verify.read_note(self.kept.read_text(encoding="utf-8")).text).size

    def run(self, *files: Path, options: tuple[str, ...] = ()) -> tuple[int, str]:
        keeping = ("--kept", str(self.kept)) if self.kept.exists() and "--kept" not in options else ()
        code = ipt_verify.main(["--policy", str(self.folder / "policy"), *keeping, *options, *map(str, files)])
        return code, self._capsys.readouterr().out

    def file(self, name: str, content: object) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else str(content).encode())
        return path


@pytest.fixture
def auditor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Auditor:
    return Auditor(tmp_path, capsys)


ROWS = bundles.small_log()
LEAVES = bundles.leaves_of(ROWS)


def test_the_verifier_needs_the_standard_library_alone() -> None:
    source = Path(ipt_verify.__file__).read_text(encoding="utf-8")
    imported = [
        node for node in ast.walk(ast.parse(source, feature_version=(3, 10))) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    roots = {name.name.partition(".")[0] for node in imported if isinstance(node, ast.Import) for name in node.names}
    roots |= {str(node.module).partition(".")[0] for node in imported if isinstance(node, ast.ImportFrom)}
    assert roots <= sys.stdlib_module_names


def test_the_file_alone_verifies_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "ipt_verify.py").write_bytes(Path(ipt_verify.__file__).read_bytes())
    (tmp_path / "policy").write_text(bundles.POLICY)
    bundles.log_bundle(tmp_path / "log.zip", ROWS)
    command = [sys.executable, "-I", "-S", "ipt_verify.py", "--policy", "policy", "log.zip"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "All holds.")


@pytest.mark.parametrize("size", range(20))
def test_a_growing_tree_has_the_root_of_all_its_leaves(size: int) -> None:
    growing, leaves = GrowingTree(), [leaf_hash(b"%d" % number) for number in range(size)]
    for each in leaves:
        growing.add(each)
    assert (growing.size, growing.root()) == (size, root_of(leaves))


def test_leaves_have_the_canonical_form_of_the_service() -> None:
    for position, row in enumerate(ROWS):
        made = bundles.leaf(position, row)
        if "record" in row:
            assert ipt_verify.record_leaf(position, row["record"], bundles.digest(row)) == made
        else:
            assert ipt_verify.entry_leaf(position, row["course"], row["seq"], bundles.digest(row)) == made


def test_an_honest_log_holds(auditor: Auditor) -> None:
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))
    assert code == 0, said
    assert "Entries: 10 (without text: 0). Courses: 2. Records: 3." in said
    assert "13 leaves, signed by the log, cosigned by partner." in said


def emptied(**more: Any) -> list[Row]:
    """The log without the texts of course b."""
    return [{**row, "salt": None, "sealed": None, **more} if row.get("course") == "b" else row for row in ROWS]


@pytest.mark.parametrize("action", ["client erased", "text of an entry erased"])
def test_erased_texts_are_counted_and_hold(auditor: Auditor, action: str) -> None:
    rows = [*emptied(), bundles.said(action, courses=["b"])]
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows))
    assert code == 0, said
    assert "without text: 3" in said


def test_texts_that_are_not_for_the_auditor_hold(auditor: Auditor) -> None:
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", emptied(masked=True)))[0] == 0


def test_texts_that_went_along_with_moved_entries_hold(auditor: Auditor) -> None:
    rows = [*emptied(), bundles.entry("b", 4, bundles.digest(ROWS[12]), trigger="move_entries")]
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows))[0] == 0


def test_a_text_that_is_gone_though_no_record_says_so_is_for_a_person_to_judge(auditor: Auditor) -> None:
    rows = [*emptied(), bundles.said("client erased", courses=["a"])]
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows))
    assert code == 3
    assert "A text of course b is gone" in said


def reaped(positions: object) -> list[Row]:
    """The log without its records, and with one that says so."""
    return [
        *({**row, "canonical": None} if "record" in row else row for row in ROWS),
        bundles.said("audit log reaped", details={"positions": positions}),
    ]


def whole(rows: list[Row]) -> list[bytes]:
    return bundles.leaves_of([*ROWS, *rows[len(ROWS) :]])


def test_records_that_were_removed_as_a_record_says_hold(auditor: Auditor) -> None:
    rows = reaped([[1, 1], [5, 6], [11, 11]])
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows, leaves=whole(rows)))
    assert code == 0, said
    assert "Records: 1 (and removed, as a record says: 3)." in said


@pytest.mark.parametrize("positions", [[[1, 1], [7, 11]], [], "all", [[1], ["5", 11], 7, None]])
def test_records_that_no_record_names_are_missing(auditor: Auditor, positions: object) -> None:
    rows = reaped(positions)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows, leaves=whole(rows)))
    assert (code, "is missing, and no record says why" in said) == (1, True)


ANEW = f"{bundles.ORIGIN}/2"


def resumed(auditor: Auditor, *, kept_size: int, lost_size: int, origin: str = ANEW) -> Path:
    """The log after a restore of its first nine positions: it goes on under another origin, which the auditor has put into the policy."""
    keys = log_keys.of_log(log_keys.new_file(), ANEW)
    with (auditor.folder / "policy").open("a") as file:
        file.write(f"log {keys[0].key.vkey()}\n")
    details = {
        "origin": origin,
        "origin_before": bundles.ORIGIN,
        "kept_size": kept_size,
        "lost_size": lost_size,
        "reason": "A disk failed.",
    }
    rows = [*ROWS[:9], bundles.said("log resumed", details=details)]
    note = bundles.note_of(bundles.leaves_of(rows), (*keys, *bundles.WITNESS), ANEW)
    return bundles.log_bundle(auditor.folder / "log.zip", rows, note=note)


@pytest.mark.parametrize("kept", [None, 5, 12])
def test_a_log_that_began_anew_after_a_restore_is_reported(auditor: Auditor, kept: int | None) -> None:
    if kept:
        auditor.keep(ROWS, kept)
    code, said = auditor.run(resumed(auditor, kept_size=9, lost_size=13))
    assert code == 3, said
    assert f"The log began anew as {ANEW}" in said
    assert "from 9 to before 13" in said
    if kept:
        assert auditor.kept_size() == 10


def test_a_log_that_began_anew_still_begins_with_what_was_kept(auditor: Auditor) -> None:
    auditor.kept.write_text(str(bundles.note_of(bundles.leaves_of(rewritten())[:7])), encoding="utf-8")
    code, said = auditor.run(resumed(auditor, kept_size=9, lost_size=13))
    assert (code, said.splitlines()[-1]) == (1, "First bad position: between 0 and 6.")


def test_another_origin_without_a_record_of_why_is_refused(auditor: Auditor) -> None:
    auditor.keep(ROWS, 5)
    code, said = auditor.run(resumed(auditor, kept_size=9, lost_size=13, origin="elsewhere"))
    assert code == 1
    assert "that of another log" in said


def test_an_empty_log_holds(auditor: Auditor) -> None:
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", []))[0] == 0


def changed(rows: list[Row], at: int, **fields: Any) -> list[Row]:
    return [{**row, **fields} if number == at else row for number, row in enumerate(rows)]


def other_text(row: Row) -> str:
    return json.dumps({**json.loads(row["canonical"]), "trigger": "something_else"})


FIRST_A, RECORD = 2, 11  # a position of an entry in the middle of course a, and that of the record
TAMPERED = {
    "an entry is altered": (changed(ROWS, FIRST_A, canonical=other_text(ROWS[FIRST_A])), FIRST_A),
    "a record is altered": (changed(ROWS, RECORD, canonical=other_text(ROWS[RECORD])), RECORD),
    "an entry is left out": ([row for number, row in enumerate(ROWS) if number != 4], 4),
    "a record is left out": ([row for number, row in enumerate(ROWS) if number != RECORD], RECORD),
    "two entries are exchanged": ([*ROWS[:3], ROWS[4], ROWS[3], *ROWS[5:]], 3),
    "a text is replaced": (changed(ROWS, 5, sealed='{"data":{"note":"another"}}'), 5),
    "a text is half erased": (changed(ROWS, 5, sealed=None), 5),
    "a salt is no salt": (changed(ROWS, 5, salt="xyz"), 5),
    "the database has no such entry any more": (changed(ROWS, 6, canonical=None), 6),
    "the bytes of an entry are those of another course": (changed(ROWS, 0, canonical=ROWS[2]["canonical"]), 0),
    "the bytes are no text": (changed(ROWS, 0, canonical="\ud800"), 0),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_was_altered_is_found_at_its_position(auditor: Auditor, name: str) -> None:
    rows, position = TAMPERED[name]
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows, leaves=LEAVES))
    assert (code, said.splitlines()[-1]) == (1, f"First bad position: {position}.")


def test_what_was_put_in_beside_the_log_is_found(auditor: Auditor) -> None:
    more = bundles.entry("b", 4, bundles.digest(ROWS[12]))
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS, beside=[more, bundles.record("new")]))
    assert code == 1
    assert "Entry 4 of course b is in no position of the log." in said
    assert "Record new is in no position of the log." in said


def rewritten() -> list[Row]:
    """The log as its forger would have it: an entry altered, and everything after it made to fit."""
    rows, heads = [], {"a": "0" * 64, "b": "0" * 64}
    for number, row in enumerate(ROWS):
        if "record" in row:
            rows.append(row)
            continue
        written = {**json.loads(row["canonical"]), "prev_hash": heads[row["course"]]}
        if number == 4:
            written["trigger"] = "something_else"
        rows.append({**row, "canonical": ipt_verify._canonical(written).decode()})
        heads[row["course"]] = bundles.digest(rows[-1])
    return rows


def test_a_log_that_was_rewritten_whole_is_found_where_its_tiles_were_forgotten(auditor: Auditor) -> None:
    """The forger has no key: the checkpoint is the old one."""
    path = bundles.log_bundle(auditor.folder / "log.zip", rewritten(), tiles=LEAVES, note=bundles.note_of(LEAVES))
    code, said = auditor.run(path)
    assert (code, said.splitlines()[-1]) == (1, "First bad position: 4.")


@pytest.mark.parametrize(("kept", "low", "high"), [(None, 0, 12), (3, 3, 12), (7, 0, 6)])
def test_checkpoints_that_were_kept_bound_where_a_rewritten_log_begins_to_differ(
    auditor: Auditor, kept: int | None, low: int, high: int
) -> None:
    if kept:
        auditor.keep(ROWS, kept)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rewritten(), note=bundles.note_of(LEAVES)))
    assert (code, said.splitlines()[-1]) == (1, f"First bad position: between {low} and {high}.")


def test_a_log_that_was_rewritten_and_signed_with_the_forgers_key_is_refused(auditor: Auditor) -> None:
    forged = bundles.leaves_of(rewritten())
    forger = (*log_keys.of_log(log_keys.new_file(), bundles.ORIGIN), *bundles.WITNESS)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rewritten(), note=bundles.note_of(forged, forger)))
    assert code == 1
    assert "No log of the policy has signed the checkpoint" in said


def test_a_log_that_was_rewritten_by_who_has_its_key_is_found_by_the_checkpoint_that_was_kept(auditor: Auditor) -> None:
    auditor.keep(ROWS, 9)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rewritten()))
    assert code == 1
    assert "The first 9 leaves are not those of the checkpoint that was kept." in said
    assert auditor.kept_size() == 9


def test_a_log_without_its_quorum_of_witnesses_is_refused(auditor: Auditor) -> None:
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS, note=bundles.note_of(LEAVES, bundles.LOG)))
    assert code == 1
    assert "quorum" in said


def test_an_end_that_was_cut_off_is_found_by_the_checkpoint_that_was_kept(auditor: Auditor) -> None:
    auditor.keep(ROWS, 12)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS[:10]))
    assert (code, said.splitlines()[-1]) == (1, "First bad position: 10.")


def test_the_log_of_another_is_refused(auditor: Auditor) -> None:
    other = "clinic.example/other"
    keys = (*log_keys.of_log(log_keys.new_file(), other), *bundles.WITNESS)
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS, note=bundles.note_of(LEAVES, keys, other)))
    assert code == 1
    assert f"No log of the policy has signed the checkpoint of {other}" in said


def test_rows_of_another_organisation_are_found(auditor: Auditor) -> None:
    rows = [*ROWS, bundles.entry("c", 1, "0" * 64, organisation="other")]
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows))
    assert (code, said.splitlines()[-1]) == (1, "First bad position: 13.")


def test_the_newest_checkpoint_is_kept_once_all_holds(auditor: Auditor) -> None:
    made = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS[:5]), options=("--kept", str(auditor.kept)))
    assert (made[0], auditor.kept_size()) == (0, 5)
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))[0] == 0
    assert auditor.kept_size() == 13


def test_the_header_of_a_delivery_is_as_good_as_the_whole_checkpoint(auditor: Auditor) -> None:
    auditor.kept.write_text(f"{ipt_verify.header_of(bundles.note_of(LEAVES[:5]))}\n")
    assert (
        auditor.run(
            bundles.log_bundle(auditor.folder / "log.zip", rewritten(), note=bundles.note_of(bundles.leaves_of(rewritten())))
        )[0]
        == 1
    )
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))[0] == 0


def test_without_a_policy_a_bundle_is_only_shown_to_be_whole(auditor: Auditor, capsys: pytest.CaptureFixture[str]) -> None:
    path = bundles.log_bundle(auditor.folder / "log.zip", ROWS)
    assert ipt_verify.main([str(path)]) == 3
    assert bundles.LOG[0].key.vkey() in capsys.readouterr().out


def of_keys(number: int) -> str:
    """The policy that knows the log and the witness by one kind of key alone."""
    return f"log {bundles.LOG[number].key.vkey()}\nwitness partner {bundles.WITNESS[number].key.vkey()}\nquorum partner\n"


def test_post_quantum_keys_are_enough(auditor: Auditor) -> None:
    (auditor.folder / "policy").write_text(of_keys(1))
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))[0] == 0


@pytest.mark.parametrize(("keys", "code"), [(0, 0), (1, 1)])
def test_without_a_library_post_quantum_keys_count_for_nothing(
    auditor: Auditor, monkeypatch: pytest.MonkeyPatch, keys: int, code: int
) -> None:
    monkeypatch.setitem(sys.modules, "mldsa", None)
    (auditor.folder / "policy").write_text(of_keys(keys))
    found, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))
    assert (found, "were not checked" in said) == (code, keys == 1)


# A client's bundle


def test_a_clients_bundle_holds(auditor: Auditor) -> None:
    code, said = auditor.run(bundles.client_bundle(auditor.folder / "client.zip", ROWS))
    assert code == 0, said
    assert "Entries: 7 (without text: 0). Courses: 1. Records: 3." in said


def test_a_clients_bundle_without_records_holds(auditor: Auditor) -> None:
    path = bundles.client_bundle(auditor.folder / "client.zip", ROWS)
    assert auditor.run(bundles.repacked(path, lambda files: files.pop("records.ndjson")))[0] == 0


def test_a_bundle_of_a_client_without_a_course_holds(auditor: Auditor) -> None:
    def emptied(files: dict[str, bytes]) -> None:
        files["entries.ndjson"] = b""
        files.pop("proofs/a-7.tlog-proof")

    path = bundles.client_bundle(auditor.folder / "client.zip", ROWS)
    assert auditor.run(bundles.repacked(path, emptied))[0] == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[:-1],
        lambda rows: rows[1:],
        lambda rows: [*rows, *rows],
        lambda rows: [{**row, "canonical": other_text(row)} for row in rows],
        lambda rows: [{**row, "sealed": "{}", "proof": []} for row in rows],
        lambda rows: [{**row, "salt": None, "position": 3} for row in rows],
    ],
)
def test_a_clients_bundle_of_which_something_is_missing_or_altered_is_refused(auditor: Auditor, change: Any) -> None:
    path = bundles.client_bundle(auditor.folder / "client.zip", ROWS, change=change)
    assert auditor.run(path)[0] == 1


def test_proofs_of_another_checkpoint_are_refused(auditor: Auditor) -> None:
    def exchanged(files: dict[str, bytes]) -> None:
        files["checkpoint"] = str(bundles.note_of(LEAVES[:12])).encode()
        files["manifest.json"] = files["manifest.json"].replace(b'"size": 13', b'"size": 12')

    path = bundles.client_bundle(auditor.folder / "client.zip", ROWS)
    code, said = auditor.run(bundles.repacked(path, exchanged))
    assert code == 1
    assert "another checkpoint" in said


# What is no bundle


def a_second_name(files: dict[str, bytes]) -> None:
    files["extra"] = b"not in the manifest"


@pytest.mark.parametrize(
    ("change", "manifest", "why"),
    [
        (a_second_name, False, "has not the files that its manifest names"),
        (lambda files: files.pop("records.ndjson"), True, "records.ndjson is missing"),
        (lambda files: files.pop("leaf-hashes"), True, "leaf-hashes is missing"),
        (lambda files: files.pop("checkpoint"), False, "has not the files"),
        (lambda files: files.update({"entries.ndjson": b""}), False, "entries.ndjson is not the file"),
        (lambda files: files.update({"entries.ndjson": b"{}"}), True, "has no end"),
        (lambda files: files.update({"entries.ndjson": b"[1]\n"}), True, "is no object of JSON"),
        (lambda files: files.update({"leaves.ndjson": b"[" * 200_000 + b"\n"}), True, "not in JSON"),
        (lambda files: files.update({"checkpoint": b"\xff"}), True, "not in UTF-8"),
        (lambda files: files.update({"checkpoint": b"nothing"}), True, "signed note"),
        (lambda files: files.update({"manifest.json": b"{}"}), False, "The manifest is not that of"),
        (lambda files: files.pop("manifest.json"), False, "manifest.json is missing"),
    ],
)
def test_a_bundle_that_is_not_as_its_manifest_says_is_refused(auditor: Auditor, change: Any, manifest: bool, why: str) -> None:
    path = bundles.repacked(bundles.log_bundle(auditor.folder / "log.zip", ROWS), change, manifest=manifest)
    code, said = auditor.run(path)
    assert code == 1
    assert why in said


def test_a_damaged_zip_is_refused(auditor: Auditor) -> None:
    path = bundles.log_bundle(auditor.folder / "log.zip", ROWS)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 3] ^= 0xFF
    path.write_bytes(raw)
    assert auditor.run(path)[0] == 1


PROVED = ("checkpoint", "leaves.ndjson", "entries.ndjson", "records.ndjson", "leaf-hashes")


@pytest.mark.parametrize("name", PROVED)
def test_no_byte_of_what_is_proved_can_be_another(auditor: Auditor, name: str) -> None:
    """The hashes of the tiles only say where leaves differ. Signatures by keys that nobody knows count for nothing."""
    random = Random(name)

    def damaged(files: dict[str, bytes]) -> None:
        raw = bytearray(files[name])
        at = random.randrange(raw.find(b"\n\n") if name == "checkpoint" else len(raw))
        raw[at] ^= 1 << random.randrange(8)
        files[name] = bytes(raw)

    whole = bundles.log_bundle(auditor.folder / "log.zip", ROWS).read_bytes()
    for _ in range(12):
        code, said = auditor.run(bundles.repacked(auditor.file("log.zip", whole), damaged))
        assert code == (0 if name == "leaf-hashes" else 1), said


ODD = (None, True, -1, 1e99, 2**70, "", "\ud800", [], {}, [[1]], {"a": [1]})
SAYING = [
    *ROWS,
    bundles.said("client erased", courses=["a"]),
    bundles.said("audit log reaped", details={"positions": [[90, 99]]}),
    bundles.said("log resumed", details={"origin": "x", "origin_before": "y", "kept_size": 3, "lost_size": 4, "reason": "z"}),
]


def odd(value: Any, random: Random, depth: int = 0) -> Any:
    """A JSON value with something in it that nobody expects there."""
    if isinstance(value, dict) and value and (depth == 0 or random.random() < 0.7):
        name = random.choice(sorted(value))
        return {**value, name: odd(value[name], random, depth + 1)}
    return random.choice(ODD)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        *((bundles.log_bundle, each) for each in ("leaves.ndjson", "entries.ndjson", "records.ndjson", "manifest.json")),
        *((bundles.client_bundle, each) for each in ("entries.ndjson", "records.ndjson", "manifest.json")),
    ],
)
def test_nothing_odd_in_a_bundle_is_more_than_a_fault(auditor: Auditor, made: Any, name: str) -> None:
    random = Random(name)

    def strange(files: dict[str, bytes]) -> None:
        lines = [files[name]] if name == "manifest.json" else files[name].splitlines()
        at = random.randrange(len(lines))
        value = json.loads(lines[at])
        if "canonical" in value and random.random() < 0.5:
            value["canonical"] = json.dumps(odd(json.loads(value["canonical"]), random))
        else:
            value = odd(value, random)
        files[name] = b"".join(line + b"\n" for line in [*lines[:at], json.dumps(value).encode(), *lines[at + 1 :]])

    whole = made(auditor.folder / "odd.zip", SAYING).read_bytes()
    for _ in range(15):
        code, said = auditor.run(bundles.repacked(auditor.file("odd.zip", whole), strange, manifest=name != "manifest.json"))
        assert code in ((0, 1, 3) if name == "manifest.json" else (1,)), said


def test_what_is_said_of_a_bundle_cannot_move_the_terminal(auditor: Auditor) -> None:
    rows = [*ROWS, bundles.entry("\x1b[2J", 1, "0" * 64, organisation="other")]
    code, said = auditor.run(bundles.log_bundle(auditor.folder / "log.zip", rows))
    assert code == 1
    assert "\x1b" not in said


# Single files


def test_a_proof_that_carries_its_leaf_holds(auditor: Auditor) -> None:
    row = auditor.file("row", ROWS[4]["canonical"])
    proof = auditor.file("a-3.tlog-proof", bundles.proof_of(LEAVES, 4))
    code, said = auditor.run(proof, options=("--of", str(row)))
    assert code == 0
    assert LEAVES[4].decode() in said


def test_a_proof_about_other_bytes_is_refused(auditor: Auditor) -> None:
    row = auditor.file("row", ROWS[5]["canonical"])
    code, said = auditor.run(auditor.file("proof", bundles.proof_of(LEAVES, 4)), options=("--of", str(row)))
    assert code == 1
    assert "other bytes" in said


def test_a_proof_of_a_leaf_that_is_not_in_the_tree_is_refused(auditor: Auditor) -> None:
    proof = bundles.proof_of(LEAVES, 4)
    assert auditor.run(auditor.file("proof", proof._replace(leaf=LEAVES[5])))[0] == 1
    assert auditor.run(auditor.file("proof", proof._replace(leaf=b"")))[0] == 1


def test_a_checkpoint_with_its_consistency_proof_is_kept(auditor: Auditor) -> None:
    auditor.keep(ROWS, 5)
    assert auditor.run(auditor.file("grown", bundles.submission_of(LEAVES, 5)))[0] == 0
    assert auditor.kept_size() == 13


def test_a_checkpoint_of_a_rewritten_log_is_refused_and_not_kept(auditor: Auditor) -> None:
    auditor.keep(ROWS, 5)
    assert auditor.run(auditor.file("grown", bundles.submission_of(bundles.leaves_of(rewritten()), 5)))[0] == 1
    assert auditor.kept_size() == 5


def test_what_follows_a_checkpoint_in_one_run_is_known_to_continue_the_one_that_was_kept(auditor: Auditor) -> None:
    auditor.keep(ROWS, 5)
    grown = auditor.file("grown", bundles.submission_of(LEAVES, 5))
    assert auditor.run(grown, bundles.client_bundle(auditor.folder / "client.zip", ROWS))[0] == 0


def test_without_a_consistency_proof_a_person_must_judge(auditor: Auditor) -> None:
    auditor.keep(ROWS, 5)
    code, said = auditor.run(auditor.file("checkpoint", bundles.note_of(LEAVES)))
    assert (code, auditor.kept_size()) == (3, 5)
    assert "Nothing here shows that it continues" in said


def test_another_root_of_the_size_that_was_kept_is_refused(auditor: Auditor) -> None:
    auditor.keep(ROWS, 13)
    assert auditor.run(auditor.file("checkpoint", bundles.note_of(bundles.leaves_of(rewritten()))))[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere.zip"],
        ["--policy", "nowhere", "nowhere.zip"],
        [],
        ["--kept", "kept", "log.zip"],
    ],
)
def test_a_wrong_call_says_what_is_wrong(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = ipt_verify.main(arguments)
    except SystemExit as error:  # of argparse
        code = int(error.code or 0)
    assert code == 2
    said = capsys.readouterr().err
    assert said
    assert "Errno" not in said


def test_a_policy_that_is_none_is_a_wrong_call(auditor: Auditor) -> None:
    (auditor.folder / "policy").write_text("nonsense")
    assert auditor.run(bundles.log_bundle(auditor.folder / "log.zip", ROWS))[0] == 2
