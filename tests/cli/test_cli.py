"""The command line without a server: what it prints, and its exit codes: 0 done, 1 refused or failed, 2 usage."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from support import databases, service_walk
from typer.testing import CliRunner

from ipt_workflow.cli.main import app
from ipt_workflow.store.schema import guards, revision

PROGRAM = [sys.executable, "-c", "from ipt_workflow.cli import main; main()"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a course that has a session."""

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start", "record_session")

    return service_walk.database(tmp_path_factory.mktemp("cli"), fill)


class Cli:
    def __init__(self, path: Path, monkeypatch) -> None:
        self.path = path
        for name in [name for name in os.environ if name.startswith("IPT_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("IPT_DATABASE_URL", f"sqlite:///{path}")

    def __call__(self, *args: str, code: int = 0):
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    def json(self, *args: str, code: int = 0):
        return json.loads(self(*args, "--json", code=code).stdout)

    def sql(self, statement: str) -> list[tuple]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(statement).fetchall()

    @property
    def course(self) -> str:
        return self.sql("SELECT id FROM course")[0][0]


@pytest.fixture
def cli(made, tmp_path, monkeypatch):
    """The command line on a copy of that database."""
    return Cli(databases.path_of(databases.copy(made, tmp_path)), monkeypatch)


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """The command line where there is no database yet."""
    return Cli(tmp_path / "new" / "ipt.db", monkeypatch)


def test_a_database_is_made_and_then_passes_the_check(bare):
    assert "ipt-workflow db upgrade" in bare("db", "check", code=1).stderr
    assert revision.HEAD in bare("db", "upgrade").stdout
    bare("db", "check")
    assert bare.json("db", "upgrade") == {"revision": revision.HEAD, "statements": []}
    assert bare.json("db", "check") == {"ok": True, "faults": []}


def test_a_check_names_every_guard_that_is_missing(cli):
    cli.sql("DROP TRIGGER guard_entry_update")
    cli.sql("DROP TRIGGER guard_audit_event_delete")
    faults = cli("db", "check", code=1).stderr
    assert "guard_entry_update" in faults
    assert "guard_audit_event_delete" in faults
    assert cli.json("db", "check", code=1)["faults"] == [
        "guard guard_entry_update: it is missing",
        "guard guard_audit_event_delete: it is missing",
    ]


@pytest.mark.parametrize(
    "command",
    (("token", "list"), ("course", "list"), ("audit", "verify"), ("audit", "export"), ("demo",), ("serve", "--port", "0")),
)
def test_a_database_that_was_not_upgraded_says_what_to_run(bare, command):
    result = bare(*command, code=1)
    assert "ipt-workflow db upgrade" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", (("db", "upgrade"), ("db", "check"), ("course", "list")))
def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(bare, command, tmp_path, monkeypatch):
    (tmp_path / "no.db").write_text("This is no database, and it is long enough to be recognised." * 20)
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "no.db", tmp_path / "folder", tmp_path / "no.db" / "below.db"):
        monkeypatch.setenv("IPT_DATABASE_URL", f"sqlite:///{path}")
        assert "database cannot be" in bare(*command, code=1).stderr.replace("folder of the database", "database")
    monkeypatch.setenv("IPT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert "cannot be reached" in bare(*command, code=1).stderr


def test_a_token_is_created_shown_once_listed_without_its_secret_and_revoked(cli):
    made = cli.json("token", "create", "--role", "admin", "--name", "Ada")
    assert set(made) == {"id", "token", "role", "name", "subject", "expires_at", "source", "scopes"}
    assert (made["role"], made["subject"]) == ("admin", "Ada")
    secret = made["token"].rpartition("_")[2]
    assert made["token"] == f"ipt_{made['id']}_{secret}"
    listed = cli("token", "list", "--json").stdout + cli("token", "list").stdout
    assert made["id"] in listed
    assert secret not in listed
    assert "hash" not in listed
    assert not any(secret in str(row) for row in cli.sql("SELECT * FROM token") + cli.sql("SELECT * FROM audit_event"))
    assert cli.json("token", "revoke", made["id"]) == {"id": made["id"], "revoked": True}
    assert cli.json("token", "list")[0]["revoked_at"]
    cli("token", "revoke", made["id"], code=1)
    cli("token", "revoke", "unknown", code=1)


def test_a_token_stands_for_its_subject_and_lives_as_long_as_it_was_told(cli):
    made = cli.json("token", "create", "--role", "therapist", "--name", "Tablet", "--subject", "therapist-1", "--days", "1")
    row = cli.sql("SELECT subject, julianday(expires_at) - julianday(created_at) FROM token")[0]
    assert made["subject"] == row[0] == "therapist-1"
    assert row[1] == pytest.approx(1)
    first = cli("token", "create", "--role", "ehr", "--name", "EHR").stdout.splitlines()[0]
    assert re.fullmatch(r"ipt_\w+_\w+", first)


@pytest.mark.parametrize(
    "wrong",
    (["--role", "boss", "--name", "x"], ["--role", "admin"], ["--role", "admin", "--name", "x", "--days", "0"], ["--bogus"]),
)
def test_a_token_asked_for_wrongly_is_a_matter_of_usage(cli, wrong):
    cli("token", "create", *wrong, code=2)
    assert cli.sql("SELECT count(*) FROM token") == [(0,)]


def test_protocols_are_listed_linted_shown_and_drawn(cli):
    listed = cli.json("protocol", "list")
    (ipt,) = [each for each in listed if each["id"] == "ipt"]
    assert (ipt["contract"]["sessions"], ipt["sick_role"], ipt["format"]) == ({"min": 12, "max": 16}, "full", "individual")
    table = cli("protocol", "list").stdout
    assert all(f"{each['id']}@{each['version']}" in table and each["indications"][0] in table for each in listed)
    file = Path(service_walk.__file__).parents[2] / "config" / "protocols" / "ipc.toml"
    assert "ipc@2: no faults" in cli("protocol", "lint", file).stdout
    assert cli.json("protocol", "lint", file)["ok"]
    shown = cli.json("protocol", "show", "ipt@2")
    assert shown["digest"] == ipt["digest"]
    assert json.loads(cli("protocol", "show", "ipt").stdout) == shown
    drawn = cli("protocol", "diagram", "ipt").stdout
    assert "stateDiagram" in drawn
    assert cli.json("protocol", "diagram")["mermaid"].strip() == drawn.strip()


def test_a_protocol_that_is_not_there_is_a_matter_of_usage(cli):
    for name in ("none", "ipt@9", "ipt@x"):
        assert "ipt@2" in cli("protocol", "show", name, code=2).stderr


def test_a_faulty_protocol_file_fails_lint_with_every_fault(cli, tmp_path):
    source = Path(service_walk.__file__).parents[2] / "config" / "protocols" / "ipt.toml"
    text = source.read_text(encoding="utf-8")
    faulty = tmp_path / "faulty" / "ipt.toml"
    faulty.parent.mkdir()
    faulty.write_text(re.sub(r"^version = 2$", "version = -1\nbogus = 1", text, count=1, flags=re.MULTILINE), encoding="utf-8")
    faults = cli("protocol", "lint", faulty, code=1).stderr
    assert "version" in faults
    assert "bogus" in faults
    found = cli.json("protocol", "lint", faulty, code=1)
    assert not found["ok"]
    assert len(found["faults"]) >= 2


def test_courses_are_listed_and_shown(cli):
    listed = cli.json("course", "list")
    assert [each["id"] for each in listed] == [cli.course]
    assert cli.json("course", "list", "--state", "initial") == listed
    assert cli.json("course", "list", "--state", "middle") == []
    assert cli.json("course", "list", "--therapist", "therapist-9") == []
    assert cli.course in cli("course", "list").stdout
    shown = cli.json("course", "show", cli.course)
    assert (shown["state"], shown["version"]) == ("initial", 4)
    assert "initial" in cli("course", "show", cli.course).stdout
    cli("course", "show", "unknown", code=1)


def test_every_look_at_a_course_from_the_command_line_is_recorded(cli):
    cli("course", "show", cli.course)
    assert cli.sql("SELECT kind, action, role, via FROM audit_event ORDER BY recorded_at DESC LIMIT 1") == [
        ("read", "course", "auditor", "cli")
    ]


def test_options_tell_what_a_person_may_fire(cli):
    found = cli.json("course", "options", cli.course, "--as", "therapist-1")
    assert found["version"] == 4
    allowed = {item["trigger"]: item["allowed"] for item in found["items"]}
    assert allowed["sign_session"]
    assert not allowed["begin_middle"]
    assert "begin_middle" in cli("course", "options", cli.course, "--as", "therapist-1").stdout
    cli("course", "options", cli.course, "--as", "therapist-9", code=1)
    cli("course", "options", cli.course, "--as", "x", "--role", "boss", code=2)
    cli("course", "options", cli.course, code=2)


def test_a_trigger_is_fired_and_recorded_as_via_cli(cli):
    done = cli.json("course", "fire", cli.course, "sign_session", "--as", "therapist-1", "--data", '{"session": 4}')
    assert (done["entry"]["seq"], done["entry"]["trigger"], done["course"]["version"]) == (5, "sign_session", 5)
    assert cli.sql("SELECT person, role, via FROM entry WHERE seq = 5") == [("therapist-1", "therapist", "cli")]
    text = cli("course", "fire", cli.course, "note", "--as", "therapist-1", "--data", '{"text": "She called."}').stdout
    assert text.startswith("6 note: initial -> initial")


def test_several_triggers_are_fired_as_one(cli):
    held = {"trigger": "record_session", "data": {"attendance": "5"}, "override": {"rules": ["overlaps_session"], "reason": "x"}}
    commands = json.dumps([held, {"trigger": "sign_session", "data": {"session": {"together": 0}}}])
    together = ("course", "together", cli.course)
    tried = json.loads(cli(*together, commands, "--as", "therapist-1", "--dry-run").stdout)
    assert tried["option"]["allowed"]
    done = cli.json(*together, commands, "--as", "therapist-1")
    assert [(entry["seq"], entry["data"].get("session")) for entry in done["entries"]] == [(5, None), (6, 5)]
    text = cli(*together, json.dumps([{"trigger": "note", "data": {"text": "x"}}] * 2), "--as", "therapist-1").stdout
    assert [line.partition(":")[0] for line in text.splitlines()] == ["7 note", "8 note"]


@pytest.mark.parametrize(
    ("commands", "code"),
    [("[", 2), ("{}", 1), ("[]", 1), ('[{"trigger": "sign_session", "data": {"session": {"together": 0}}}]', 1)],
)
def test_several_triggers_that_are_told_wrongly_write_nothing(cli, commands, code):
    result = cli("course", "together", cli.course, commands, "--as", "therapist-1", code=code)
    assert "Traceback" not in result.output
    assert cli.sql("SELECT count(*) FROM entry") == [(4,)]


def test_a_refused_trigger_exits_1_and_explains_itself(cli):
    refusal = cli("course", "fire", cli.course, "begin_middle", "--as", "therapist-1", code=1).stderr
    assert "focus_selected" in refusal
    assert "must be:" in refusal
    assert "try: select_focus (therapist)" in refusal
    assert cli.sql("SELECT count(*) FROM entry") == [(4,)]
    assert cli.sql("SELECT action FROM audit_event WHERE kind = 'refusal'") == [("begin_middle",)]


def test_a_command_that_would_break_later_entries_says_of_each_why(cli):
    void = '{"supersedes": 3, "void": true}'
    fire = ("course", "fire", cli.course, "amend", "--as", "supervisor-1", "--role", "supervisor", "--reason", "x")
    refusal = cli(*fire, "--data", void, code=1).stderr
    assert "4 record_session: attendance_fits_state: A session cannot be held before the course has started." in " ".join(
        refusal.split()
    )


@pytest.mark.parametrize(
    ("args", "code"),
    (
        (["sign_session", "--as", "therapist-1", "--data", "{"], 2),
        (["sign_session", "--data", "{}"], 2),
        (["sign_session", "--as", "x", "--role", "auditor"], 2),
        (["sign_session", "--as", "therapist-1"], 1),
        (["sign_session", "--as", "therapist-1", "--data", "[]"], 1),
        (["sign_session", "--as", "therapist-1", "--data", '{"session": 4, "more": 1}'], 1),
        (["no_trigger", "--as", "therapist-1"], 1),
        (["note", "--as", "therapist-1", "--data", '{"text": "x"}', "--version", "1"], 1),
        (["note", "--as", "therapist-1", "--data", '{"text": "x"}', "--version", "one"], 2),
        (["note", "--as", "therapist-1", "--data", '{"text": "x"}', "--occurred-at", "yesterday"], 1),
        (["note", "--as", "therapist-9", "--data", '{"text": "x"}'], 1),
        (["note", "--as", "x", "--role", "admin", "--data", '{"text": "x"}'], 1),
        (["acknowledge_deviation", "--as", "therapist-1", "--data", '{"session": 4}', "--reason", "x"], 1),
    ),
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_asked_wrongly_writes_nothing_and_shows_no_traceback(cli, args, code):
    result = cli("course", "fire", cli.course, *args, code=code)
    assert result.stderr
    assert "Traceback" not in result.output
    assert cli.sql("SELECT count(*) FROM entry") == [(4,)]


def test_a_dry_run_of_a_trigger_says_what_would_happen_and_writes_nothing(cli):
    fire = ("course", "fire", cli.course)
    allowed = cli.json(*fire, "sign_session", "--as", "therapist-1", "--data", '{"session": 4}', "--dry-run")
    assert allowed["option"]["allowed"]
    refused = cli.json(*fire, "begin_middle", "--as", "therapist-1", "--dry-run", code=1)
    assert not refused["option"]["allowed"]
    assert cli.sql("SELECT count(*) FROM entry") == [(4,)]


def test_verify_exits_0_where_all_is_well(cli):
    assert "4 entries of 1 courses" in cli("audit", "verify").stdout
    assert cli.json("audit", "verify")["ok"]
    assert cli.json("audit", "verify", "--course", cli.course)["checked"] == 4
    cli("audit", "verify", "--course", "unknown", code=1)


def test_verify_exits_1_and_names_the_first_bad_entry(cli):
    for name, _ in guards.sqlite():
        cli.sql(f"DROP TRIGGER {name}")
    cli.sql("UPDATE entry SET person = 'another' WHERE seq >= 3")
    assert f"Course {cli.course}, entry 3: person" in cli("audit", "verify", code=1).stderr
    found = cli.json("audit", "verify", code=1)
    assert (found["ok"], found["first_bad"]["course"], found["first_bad"]["seq"]) == (False, cli.course, 3)


def test_the_audit_log_is_exported_one_json_record_a_line(cli):
    cli("course", "show", cli.course)
    records = [json.loads(line) for line in cli("audit", "export").stdout.splitlines()]
    assert {record["kind"] for record in records} == {"transition", "read"}
    assert [record["seq"] for record in records if record["kind"] == "transition"] == [1, 2, 3, 4]
    assert "General practitioner" not in json.dumps(records)
    assert cli("audit", "export", "--course", "none", "--json").stdout == ""


def commands(group, path=()) -> list[tuple[tuple[str, ...], object]]:
    found = []
    for name, command in group.commands.items():
        found += commands(command, (*path, name)) if hasattr(command, "commands") else [((*path, name), command)]
    return found


def test_every_command_that_prints_takes_json():
    import typer

    for path, command in commands(typer.main.get_command(app)):
        options = {option for parameter in command.params for option in parameter.opts}
        assert path == ("serve",) or "--json" in options, path
        assert command.help, path


def test_help_is_no_error_and_an_unknown_command_is_usage(cli):
    assert "course" in cli("--help").stdout
    cli("bogus", code=2)
    cli("course", "bogus", code=2)


@pytest.mark.parametrize("command", (["serve"], ["course", "list"], ["db", "upgrade"]))
def test_an_unknown_setting_refuses_to_start_and_is_named(bare, monkeypatch, command):
    monkeypatch.setenv("IPT_BOGUS", "1")
    monkeypatch.setenv("IPT_PORT", "many")
    faults = bare(*command, code=2).stderr
    assert "IPT_BOGUS" in faults
    assert "IPT_PORT" in faults
    assert not bare.path.exists()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    return {**kept, "IPT_DATABASE_URL": f"sqlite:///{path}", "IPT_LOG_FORMAT": "json"}


def test_serve_answers_that_it_is_ready_and_stops_when_told(cli, tmp_path):
    port = free_port()
    log = tmp_path / "log"
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            [*PROGRAM, "serve", "--port", str(port)], env=environment(cli.path), stdout=stream, stderr=stream, cwd=tmp_path
        ) as process,
    ):
        try:
            assert wait_for(f"http://127.0.0.1:{port}/health/ready", process) == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=20) in {0, -signal.SIGTERM}
        finally:
            process.kill()
    lines = log.read_text().splitlines()
    assert all(json.loads(line)["level"] == "info" for line in lines), lines
    assert not Path(f"{cli.path}-wal").exists()


def wait_for(url, process) -> int:
    for _ in range(200):
        assert process.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def test_the_console_script_exits_with_the_same_codes(tmp_path):
    run = lambda *args: subprocess.run([*PROGRAM, *args], env=environment(tmp_path / "ipt.db"), capture_output=True, text=True)  # noqa: E731
    refused = run("course", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "ipt-workflow db upgrade" in refused.stderr
    assert run("course").returncode == 2
    assert run("protocol", "list").returncode == 0
