"""The canonical form we hash, against the vectors of RFC 8785's author (`tests/vectors/jcs`)."""

import json
from pathlib import Path

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.values.canonical import canonical

VECTORS = Path(__file__).parents[1] / "vectors" / "jcs"
NAMES = sorted(path.stem for path in (VECTORS / "input").glob("*.json"))


def test_there_are_vectors():
    assert NAMES == ["arrays", "french", "structures", "unicode", "values", "weird"]


@pytest.mark.parametrize("name", NAMES)
def test_the_canonical_form_is_the_one_of_the_vector(name):
    document = json.loads((VECTORS / "input" / f"{name}.json").read_bytes())
    expected = bytes.fromhex((VECTORS / "outhex" / f"{name}.txt").read_text())
    assert canonical(document) == rfc8785.dumps(document) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_canonical_form_of_a_canonical_form_is_itself(name):
    expected = bytes.fromhex((VECTORS / "outhex" / f"{name}.txt").read_text())
    assert canonical(json.loads(expected)) == expected


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**53])
def test_numbers_without_an_exact_form_are_refused(number):
    with pytest.raises(rfc8785.CanonicalizationError):
        canonical({"number": number})


texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(texts | st.sampled_from("abcdef"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_the_quick_way_and_the_library_agree_on_every_value(value):
    assert canonical(value) == rfc8785.dumps(value)
