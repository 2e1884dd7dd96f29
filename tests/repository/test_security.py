"""docs/security.md has a row for every requirement of ASVS 5.0.0, levels 1 and 2. Its tests, and those of docs/access.md, exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
PAGE = TESTS.parent / "docs" / "security.md"
ACCESS = TESTS.parent / "docs" / "access.md"
PRIVACY = TESTS.parent / "docs" / "privacy.md"
ID = re.compile(r"[0-9]+(?:\.[0-9]+){0,2}")
TEST = re.compile(r"`([a-z0-9_/]+\.py)::(test_\w+)`")
OPEN = re.compile(r"\*\*open\*\*: (issue [0-9]+|no time frame)")
LINK = re.compile(r"\]\([\w./#-]+\)|^The (table|paragraph) above")
REQUIREMENTS = {  # by section: how many requirements of level 1 or 2 it has, the first of each; from OWASP ASVS 5.0.0 (2025)
    "1.1": 2, "1.2": 9, "1.3": 11, "1.4": 3, "1.5": 2, "2.1": 3, "2.2": 3, "2.3": 4, "2.4": 1, "3.2": 2, "3.3": 4, "3.4": 6, "3.5": 5,
    "3.7": 2, "4.1": 3, "4.2": 1, "4.3": 2, "4.4": 4, "5.1": 1, "5.2": 3, "5.3": 2, "5.4": 3, "6.1": 3, "6.2": 12, "6.3": 4, "6.4": 4,
    "6.5": 5, "6.6": 3, "6.8": 4, "7.1": 3, "7.2": 4, "7.3": 2, "7.4": 5, "7.5": 2, "7.6": 2, "8.1": 2, "8.2": 3, "8.3": 1, "8.4": 1,
    "9.1": 3, "9.2": 4, "10.1": 2, "10.2": 2, "10.3": 4, "10.4": 11, "10.5": 5, "10.6": 2, "10.7": 3, "11.1": 2, "11.2": 3, "11.3": 3,
    "11.4": 4, "11.5": 1, "11.6": 1, "12.1": 3, "12.2": 2, "12.3": 4, "13.1": 1, "13.2": 5, "13.3": 2, "13.4": 5, "14.1": 2, "14.2": 4,
    "14.3": 3, "15.1": 3, "15.2": 3, "15.3": 7, "16.1": 1, "16.2": 5, "16.3": 4, "16.4": 3, "16.5": 3, "17.1": 1, "17.2": 4, "17.3": 2,
}  # fmt: skip
ALL = [f"{section}.{number}" for section, count in REQUIREMENTS.items() for number in range(1, count + 1)]


def rows() -> list[list[str]]:
    """The cells of every row whose first cell holds ids."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if all(ID.fullmatch(each) for each in row[0].split(", "))]


ROWS = rows()
APPLYING = [row for row in ROWS if len(row) == 3]


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_the_list_is_that_of_the_standard():
    assert len(ALL) == 253


def test_every_requirement_has_one_row():
    named = [each for row in ROWS for given in row[0].split(", ") for each in ALL if each == given or each.startswith(f"{given}.")]
    assert sorted(named) == sorted(ALL)


@pytest.mark.parametrize("row", APPLYING, ids=[row[0] for row in APPLYING])
def test_a_row_names_tests_that_exist_or_says_what_is_open(row):
    tests = TEST.findall(row[2])
    assert tests or OPEN.search(row[2]) or LINK.search(row[2]), row
    assert row[2].count("::") == len(tests)
    assert [name for path, name in tests if name not in functions(path)] == []


CLAIMS = [line for page in (ACCESS, PRIVACY) for line in page.read_text(encoding="utf-8").splitlines() if "::test_" in line]


@pytest.mark.parametrize("claim", CLAIMS, ids=[each.split("|")[1].strip() for each in CLAIMS])
def test_a_claim_about_access_or_privacy_names_tests_that_exist(claim):
    tests = TEST.findall(claim)
    assert claim.count("::") == len(tests) > 0
    assert [name for path, name in tests if not (TESTS / path).is_file() or name not in functions(path)] == []
