"""Merge patches: what differs, applied, gives what was meant."""

import pytest

from ipt_workflow.values.merge_patch import difference, merge_patch

PAIRS = (
    ({}, {}, {}),
    ({"a": 1}, {"a": 1}, {}),
    ({"a": 1}, {"a": 2}, {"a": 2}),
    ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
    ({}, {"a": False}, {"a": False}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "d": 3}}, {"a": {"c": None, "d": 3}}),
    ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
    ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
)


@pytest.mark.parametrize(("before", "after", "patch"), PAIRS)
def test_the_difference_is_the_smallest_patch_that_makes_one_into_the_other(before, after, patch):
    assert difference(before, after) == patch
    assert merge_patch(before, patch) == after
