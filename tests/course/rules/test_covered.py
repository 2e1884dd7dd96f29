"""Every rule has a test that shows it from both sides."""

import ast
from pathlib import Path

from ipt_workflow.course.rules import REGISTRY


def covered() -> list[str]:
    """The rules named by `@covers(...)` in the files beside this one."""
    names = []
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                marks = [mark for mark in node.decorator_list if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "covers"]
                names += [argument.value for mark in marks for argument in mark.args if isinstance(argument, ast.Constant)]
    return names


def test_every_rule_is_shown_from_both_sides():
    assert set(REGISTRY) - set(covered()) == set()


def test_nothing_is_shown_that_is_no_rule():
    assert set(covered()) - set(REGISTRY) == set()
