"""The house is as `ipt_workflow/__init__.py` says: its rooms, their size, and one name a thing."""

import ast
import re
import tomllib
from collections import Counter
from functools import cache
from pathlib import Path

import ipt_workflow

PACKAGE = Path(ipt_workflow.__file__).parent
FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if "migrations" not in file.parts]
NOUNS_OF_THE_FIELD = {
    "opening",
    "ending",
    "setting",
    "unmasking",
    "processing",
}  # of a course, of therapy, of care, of text, of data
TAKEN_AWAY = (
    PACKAGE / "journal" / "proof" / "ipt_verify.py"
)  # an auditor's one file, which needs no other: it holds several subjects
ENTRY = "Entry"  # of a journal, and of a bundle's report, where it is a public name of the OpenAPI document


@cache
def trees() -> dict[Path, ast.Module]:
    return {file: ast.parse(file.read_text(encoding="utf-8")) for file in FILES}


def rooms() -> list[str]:
    """The rooms that the package's docstring lists, from the ground up."""
    return re.findall(r"^([a-z]+) {2,}\S", ipt_workflow.__doc__, re.MULTILINE)


def layers() -> list[list[str]]:
    """The rows of the layer contract, from the ground up, each as the rooms in it."""
    contracts = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (rows,) = [each["layers"] for each in contracts if each["name"] == "Rooms stand on what is below them"]
    return [[room.strip().removeprefix("ipt_workflow.") for room in row.split("|")] for row in reversed(rows)]


def test_the_docstring_lists_every_room_and_nothing_else():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert sorted(rooms()) == sorted(found - {"__init__"})


def test_the_docstring_lists_the_rooms_in_the_order_of_the_contract():
    order = {room: number for number, row in enumerate(layers()) for room in row}
    assert set(order) == set(rooms())
    assert [order[room] for room in rooms()] == sorted(order[room] for room in rooms())


def test_there_are_at_most_seventeen_rooms():
    assert len(rooms()) <= 17


def test_files_and_functions_can_be_seen_whole():
    lines = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in FILES if file != TAKEN_AWAY}
    long = [str(file.relative_to(PACKAGE)) for file, number in lines.items() if number > 450]
    for file, tree in trees().items():
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        long += [f"{file.relative_to(PACKAGE)}: {each.name}" for each in functions if each.end_lineno - each.lineno >= 70]
    assert long == []


def test_no_class_name_stands_for_two_things():
    names = Counter(node.name for tree in trees().values() for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == [ENTRY]


def test_modules_are_nouns():
    gerunds = {file.stem for file in FILES if file.stem.endswith("ing")}
    assert gerunds <= NOUNS_OF_THE_FIELD


def test_told_is_left_to_the_rows_that_are_stored_under_it():
    found = {file: len(re.findall(r"\b[Tt]old\b", file.read_text(encoding="utf-8"))) for file in FILES}
    assert sum(found.values()) <= 40, {str(file.relative_to(PACKAGE)): times for file, times in found.items() if times}


def test_what_goes_out_goes_through_the_one_table_of_addresses():
    """`posts` connects and asks `Reach` about every address; `sender` looks names up for it. The store reaches its database."""
    clients = {"aiohttp", "httpx", "requests", "urllib3", "urllib.request", "http.client", "socket", "smtplib", "ftplib"}
    found = set()
    for file, tree in trees().items():
        named = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
        named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        called = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if named & clients or called & {"open_connection", "create_connection", "urlopen"}:
            found.add(str(file.relative_to(PACKAGE)))
    assert found == {"ehr/deliveries/posts.py", "ehr/deliveries/sender.py"}


def test_nothing_runs_a_program_or_evaluates_a_text():
    """No shell, no code from data, no format that can make objects, and no XML."""
    modules = {"subprocess", "pickle", "shelve", "marshal", "yaml", "xml", "lxml", "ctypes", "pty", "code", "runpy"}
    calls = {"eval", "exec", "compile", "system", "popen", "spawnv", "execv", "execvp"}
    found = []
    for file, tree in trees().items():
        for node in ast.walk(tree):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            called = node.func if isinstance(node, ast.Call) else None
            owner = called.value if isinstance(called, ast.Attribute) else None
            name = (
                called.attr if isinstance(called, ast.Attribute) and getattr(owner, "id", "") == "os" else getattr(called, "id", "")
            )
            if modules & {each.partition(".")[0] for each in names} or name in calls:
                found.append(f"{file.relative_to(PACKAGE)}:{node.lineno}")
    assert found == []
