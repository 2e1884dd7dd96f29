"""Whatever goes wrong around a command, it says a sentence and exits 1 or 2: never a traceback."""

import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support import databases

from ipt_workflow.cli import process
from ipt_workflow.cli.token import operator

PROGRAM = [sys.executable, "-c", "from ipt_workflow.cli import main; main()"]


def run(*args: str | bytes, database: Path | str | None = None, stdin: bytes = b"", **more) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("IPT_", "LC_", "LANG", "PYTHON"))}
    environ |= {"IPT_DATABASE_URL": f"sqlite:///{database}"} if database else {}
    environ |= more.pop("environ", {})
    program = more.pop("program", PROGRAM)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.run([*program, *args], input=stdin, env=environ, timeout=60, check=False, **streams)


def shell(line: str, database: Path | str) -> subprocess.CompletedProcess[str]:
    """Runs a shell line in which `ipt` is the program."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    environ |= {"IPT_DATABASE_URL": f"sqlite:///{database}"}
    whole = f'ipt() {{ {shlex.join(PROGRAM)} "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", whole], capture_output=True, env=environ, text=True, timeout=60, check=False)


def is_a_sentence(text: str | bytes) -> bool:
    said = text.decode() if isinstance(text, bytes) else text
    return bool(said.strip()) and "Traceback" not in said and "Exception ignored" not in said and process.REPORT not in said


@pytest.fixture
def file(settings) -> str:
    """The file of a migrated database."""
    return databases.path_of(settings)


@pytest.mark.matrix(4)
@pytest.mark.parametrize(
    ("line", "code", "says"),
    (
        ("ipt db check >&-", 2, "Standard output is closed"),
        ("ipt db check >&- 2>&-", 2, ""),
        ("ipt db check 2>&-", 0, ""),
        ("ipt db check <&-", 0, ""),
        ("ipt db check >/dev/full", 1, "No space left on device"),
        ("ipt token create --role auditor --name a --json >/dev/full", 1, "No space left on device"),
        ("ipt db check >/dev/full 2>/dev/full", 1, ""),
        ("ipt course together x - --as a <&-", 2, "standard input, which is closed"),
        ("ipt source add a --secret-file /dev/zero", 2, "secret: must have at most 300 characters"),
        ("ipt serve --port 0 --host 203.0.113.1", 1, "Cannot listen on 203.0.113.1:0"),
        ("ipt serve --port 65536", 2, "65535"),
    ),
)  # fmt: skip
def test_streams_that_are_closed_or_full(file, line, code, says):
    done = shell(line, file)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert is_a_sentence(done.stderr + ".")


@pytest.mark.parametrize("arguments", (("protocol", "list"), ("protocol", "show", "ipt")))
def test_an_output_that_nobody_reads_any_more(file, arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = run(*arguments, database=file, stdout=writer)
    os.close(writer)
    assert done.returncode == 1
    assert is_a_sentence(done.stderr + b".")


def test_a_closed_descriptor_is_never_the_databases_file(file):
    assert shell("ipt token create --role auditor --name a 2>&- <&- && ipt db check", file).returncode == 0


@pytest.mark.matrix(4)
@pytest.mark.parametrize(
    ("arguments", "stdin", "environ", "code", "says"),
    (
        ((b"course", b"show", b"\xff"), b"", {}, 2, b"Argument 3 is not text"),
        ((b"token", b"create", b"--role", b"auditor", b"--name", b"Zo\xeb"), b"", {"LC_ALL": "C"}, 2, b"Argument 6 is not text"),
        (("course", "together", "x", "-", "--as", "a"), b'"\xff"', {"LC_ALL": "C"}, 2, b"not UTF-8"),
        (("course", "together", "x", "-", "--as", "a"), b"[" * 99_999, {}, 2, b"nested more than 256 deep"),
        (("token", "list"), b"", {"IPT_LOG_LEVEL": b"\xff"}, 2, b"IPT_LOG_LEVEL"),
        (("token", "list"), b"", {"LOGNAME": "a\n"}, 2, b"this machine's user must not have a control character"),
        (("course", "fire", "x", "refer", "--as", "other-1\n"), b"", {}, 2, b"--as must not have a control character"),
        (("import", "/dev/null", "--as", "other-1 "), b"", {}, 2, b"--as must not begin or end with a space"),
    ),
)  # fmt: skip
def test_what_is_not_text_or_no_person(file, arguments, stdin, environ, code, says):
    done = run(*arguments, database=file, stdin=stdin, environ=environ)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert is_a_sentence(done.stderr)


def test_json_is_utf_8_and_text_is_escaped_where_the_terminal_knows_no_utf_8(file):
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    made = run("token", "create", "--role", "auditor", "--name", "Zoë", "--json", database=file, environ=ascii_only)
    assert '"Zoë"'.encode() in made.stdout
    listed = run("token", "list", database=file, environ=ascii_only)
    assert (listed.returncode, b"Zo\\xeb" in listed.stdout) == (0, True)


@pytest.mark.matrix(2)
@pytest.mark.parametrize("arguments", (("token", "list"), ("db", "upgrade"), ("demo",)))
def test_a_file_and_folder_that_can_only_be_read(file, arguments):
    """Root writes everything, unless it is without the capability to."""
    Path(file).chmod(0o444)
    Path(file).parent.chmod(0o555)
    bound = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
    try:
        done = run(*arguments, database=file, program=[*bound, *PROGRAM])
    finally:
        Path(file).parent.chmod(0o755)
    assert done.returncode == 1, done.stdout
    assert is_a_sentence(done.stderr), done.stderr


def test_a_user_without_a_name_is_named_by_their_number(monkeypatch):
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 65533")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert operator().person == f"operator:uid-{os.getuid()}"


@pytest.mark.matrix(2)
@pytest.mark.parametrize("arguments", (("demo",), ("db", "upgrade")))
def test_a_full_disk(tmp_path, file, arguments):
    limit = 8192 if arguments[0] == "db" else Path(file).stat().st_size
    path = tmp_path / "new.db" if arguments[0] == "db" else file
    done = run(*arguments, database=path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1
    assert b"disk is full or failing" in done.stderr
    assert is_a_sentence(done.stderr)


def test_an_error_that_nobody_expected_is_placed_and_its_text_is_not_repeated():
    def command(**_: object) -> None:
        raise KeyError("EHR-1")

    try:
        command()
    except KeyError as error:
        said = process.sentence(ExceptionGroup("", [error]))
    assert said.startswith("The command stopped at test_process.py:")
    assert "KeyError" in said
    assert "EHR-1" not in said
    assert process.sentence(PermissionError(13, "Permission denied", "/a")) == (
        "A file or connection cannot be used: Permission denied ('/a')."
    )
