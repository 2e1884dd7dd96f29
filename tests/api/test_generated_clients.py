"""Clients that generators of others make of docs/openapi.json: they are complete, they compile, and they walk a course."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import sandbox

from ipt_workflow.service import demo

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"
DOCUMENT = ROOT / "docs" / "openapi.json"
GENERATORS = ROOT / ".venv" / "generators"
NODE = Path(sys.executable).with_name("node")
SECONDS = 120
STEPS = [*demo.FIRST, *demo.SECOND, *demo.AGREED, ("begin_middle", {}), *demo.HELD]


def run(*command: Any, folder: Path, **environ: str) -> str:
    """What a program printed. It must succeed."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env={**os.environ, **environ}, capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def cached(folder: Path, lock: Path, make: Callable[[Path], str]) -> str:
    """Makes `generated` in a folder unless it was made of this document, by this generator. Returns what the generator printed."""
    made, digest = folder / "generated", hashlib.sha256(DOCUMENT.read_bytes() + lock.read_bytes()).hexdigest()
    said = folder / "generated" / f"{digest}.txt"
    if not said.exists():
        shutil.rmtree(made, ignore_errors=True)
        text = make(made)
        said.write_text(text, encoding="utf-8")
    return said.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def python_client() -> str:
    assert GENERATORS.is_dir(), "the generators are not installed: make generators"

    def make(made: Path) -> str:
        options = ("--path", DOCUMENT, "--output-path", made, "--meta", "none", "--fail-on-warning")
        path = f"{GENERATORS / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return run(
            sys.executable, "-m", "openapi_python_client", "generate", *options, folder=ROOT, PYTHONPATH=str(GENERATORS), PATH=path
        )

    return cached(CLIENTS / "python", ROOT / "requirements" / "generators.txt", make)


@pytest.fixture(scope="module")
def typescript_client() -> str:
    folder = CLIENTS / "node"
    assert (folder / "node_modules").is_dir(), "the generators are not installed: make generators"

    def make(made: Path) -> str:
        made.mkdir()
        program = folder / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
        return run(NODE, program, DOCUMENT, "-o", made / "api.d.ts", folder=folder)

    return cached(folder, folder / "package-lock.json", make)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running service, as the environment of a walk."""
    folder = tmp_path_factory.mktemp("served")
    with sandbox.running(f"sqlite:///{folder / 'sandbox.db'}", folder) as running:
        tokens = {role.upper(): running.tokens[role] for role in ("therapist", "auditor")}
        yield {"URL": running.url, "STEPS": json.dumps(STEPS), **tokens}


def operations() -> list[dict[str, Any]]:
    paths = json.loads(DOCUMENT.read_text(encoding="utf-8"))["paths"]
    return [operation for item in paths.values() for operation in item.values()]


def saw(walked: dict[str, Any]) -> None:
    """What both walks see: a refusal with its remedy, the course, other problems, commands together, its history and the audit log."""
    assert walked["rules"] == ["consent_given"]
    assert walked["remedy"] == "record_consent"
    assert walked["state"] == "middle"
    assert walked["history"] == ["refer", *(trigger for trigger, _ in STEPS)]
    assert walked["version"] == walked["stale"] == len(STEPS) + 1
    assert walked["invalid"] == ["data.text"]
    assert walked["evening"] is True
    assert walked["audit"] == [["consent_given"]]
    assert walked["denied"] == "/problems/forbidden"


def test_openapi_python_client_skips_nothing_and_warns_of_nothing(python_client):
    assert "WARNING" not in python_client.upper()
    made = {path.stem for path in (CLIENTS / "python" / "generated" / "api").rglob("*.py") if path.stem != "__init__"}
    assert made == {operation["operationId"] for operation in operations()}


def test_a_course_is_walked_with_a_client_of_openapi_python_client(python_client, served):
    saw(json.loads(run(sys.executable, "walk.py", folder=CLIENTS / "python", **served)))


def test_a_client_of_openapi_typescript_compiles_with_every_operation(typescript_client):
    text = (CLIENTS / "node" / "generated" / "api.d.ts").read_text(encoding="utf-8")
    assert [each["operationId"] for each in operations() if f"\n    {each['operationId']}: {{" not in text] == []
    assert "warn" not in typescript_client.lower()
    assert run(NODE, CLIENTS / "node" / "node_modules" / "typescript" / "bin" / "tsc", folder=CLIENTS / "node") == ""


def test_a_course_is_walked_with_a_client_of_openapi_typescript(typescript_client, served):
    saw(json.loads(run(NODE, "walk.ts", folder=CLIENTS / "node", **served)))
