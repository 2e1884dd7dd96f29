"""No pattern lets a newline follow: Python's `$` also matches before a last one, and a name with it would be a second name."""

import ast
import re
from pathlib import Path

import pytest

import ipt_workflow
from ipt_workflow.errors import SettingsInvalid
from ipt_workflow.runtime import settings

PACKAGE = Path(ipt_workflow.__file__).parent
READERS = {"compile", "match", "search", "fullmatch", "findall", "finditer", "sub", "split", "Meta"}
LOOSE_END = re.compile(r"(?<!\\)\$(?:$|[)|])")
OF_RUST = "runtime/settings.py"  # pydantic's patterns, whose `$` is the end; see the test below


def loose(tree: ast.AST) -> list[int]:
    """The lines of patterns whose `$` lets a newline follow."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    named = ((call, call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) for call in calls)
    given = (each for call, name in named if name in READERS for each in (*call.args, *(word.value for word in call.keywords)))
    texts = (node for each in given for node in ast.walk(each) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return [text.lineno for text in texts if LOOSE_END.search(text.value)]


def test_no_pattern_ends_with_a_loose_dollar():
    found = {str(file.relative_to(PACKAGE)): loose(ast.parse(file.read_text(encoding="utf-8"))) for file in PACKAGE.rglob("*.py")}
    assert [name for name, lines in found.items() if lines and name != OF_RUST] == []


def test_a_loose_dollar_is_found():
    assert loose(ast.parse('re.compile(r"[a-z]+$")')) == [1]
    assert loose(ast.parse('Meta(pattern=r"^(a|b$)")')) == [1]
    assert loose(ast.parse('Meta(pattern=whole("[a-z]+"))\nre.compile(r"[a-z]\\$")')) == []


def test_no_newline_may_follow_the_value_of_a_setting():
    patterns = {
        name
        for name, field in settings.Settings.model_fields.items()
        if any(getattr(each, "pattern", None) for each in field.metadata)
    }
    given = {"organisation": "clinic", "fhir_canonical": "https://clinic.example", "fhir_patient_system": "urn:x"}
    assert patterns == set(given)
    for name, value in given.items():
        settings.load({f"IPT_{name.upper()}": value})
        with pytest.raises(SettingsInvalid, match=name.upper()):
            settings.load({f"IPT_{name.upper()}": value + "\n"})
