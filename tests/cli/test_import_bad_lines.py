"""A line that cannot be read is refused, whatever it is; the others are judged, and the report is complete."""

import json

import pytest
from support import databases
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.service.imports.lines import LINE_BYTES_MAX

SOURCE = {"source": "General practitioner", "indication": "depression"}
BOMBS = {
    "not UTF-8": (b'{"course": "\xff"}', "it is not UTF-8"),
    "in another encoding": ('{"course": "A"}'.encode("utf-16"), "is not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"course": "A", "trigger": "note"}', "byte order mark"),
    "deep lists": (b"[" * 200_000, "nested more than 256 deep"),
    "deep tables": (b'{"data":' * 500 + b"1" + b"}" * 500, "nested more than 256 deep"),
    "deep data": (b'{"course": "A", "trigger": "note", "data": {"text": ' + b"[" * 300 + b"]" * 300 + b"}}", "nested more than 256 deep"),
    "a huge line": (b'{"course": "' + b"A" * LINE_BYTES_MAX + b'"}', f"more than {LINE_BYTES_MAX} bytes"),
    "a huge number": (b'{"course": "A", "trigger": "note", "data": {"text": 1e999}}', "out of range"),
    "half a character": (b'{"course": "\\ud800", "trigger": "note"}', "is not JSON"),
    "no object": (b"[1]", "must be a JSON object"),
    "a key with a newline": (b'{"course": "A\\n", "trigger": "note"}', "course: must not have a control character"),
    "a person with a newline": (b'{"course": "A", "trigger": "note", "person": "other-1\\n"}', "person: must not have a control character"),
    "a twin of a client": (b'{"course": "B", "trigger": "refer", "client_ref": "IMP-1\\u00a0", "data": {}}', "client_ref: must not have another space"),
    "an opened course with a space": (b'{"course": "A", "trigger": "open_followup", "opens": "F "}', "opens: must not begin or end"),
}  # fmt: skip


def line(course: str, ref: str) -> bytes:
    return json.dumps({"course": course, "trigger": "refer", "client_ref": ref, "therapist": "t", "data": SOURCE}).encode()


@pytest.mark.parametrize("dry_run", (False, True), ids=("for good", "dry run"))
def test_every_bad_line_is_refused_by_its_number_and_the_others_are_judged(settings, tmp_path, monkeypatch, dry_run):
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    lines = [line("A", "IMP-1"), *(raw for raw, _ in BOMBS.values()), line("Z", "IMP-2")]
    (tmp_path / "lines.ndjson").write_bytes(b"\n".join(each.replace(b"\n", b" ") for each in lines))
    options = ["--dry-run"] if dry_run else []
    result = CliRunner().invoke(app, ["import", str(tmp_path / "lines.ndjson"), "--json", *options])
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1, result.output
    report = json.loads(result.stdout)
    assert report["accepted"] == 2
    refused = {each["line"]: each["why"] for each in report["refused"]}
    assert list(refused) == list(range(2, len(BOMBS) + 2))
    for why, (name, (_, says)) in zip(refused.values(), BOMBS.items(), strict=True):
        assert says in why, name
    assert len(databases.select(settings, "SELECT id FROM course")) == (0 if dry_run else 2)


def test_a_file_that_begins_with_a_byte_order_mark_loses_its_first_line_alone(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    (tmp_path / "lines.ndjson").write_bytes(b"\xef\xbb\xbf" + line("A", "IMP-1") + b"\r\n" + line("B", "IMP-2") + b"\r\n")
    result = CliRunner().invoke(app, ["import", str(tmp_path / "lines.ndjson")])
    assert result.exit_code == 1
    assert result.stderr == "line 1: begins with a byte order mark: save it as UTF-8 without one\n"
    assert "1 lines were imported" in result.stdout
