"""The tree of tiles, compared with one that hashes all its leaves anew."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipt_workflow.journal.proof import tree
from ipt_workflow.journal.proof.ipt_verify import EMPTY_ROOT, check_consistency, check_inclusion, leaf_hash, node_hash
from ipt_workflow.journal.proof.tree import TileKey

MOST = 70_000
LEAVES = [leaf_hash(b"%d" % number) for number in range(MOST)]


def grown(*sizes: int) -> dict[TileKey, bytes]:
    """The tiles of a tree that grew to each of these sizes in turn."""
    tiles: dict[TileKey, bytes] = {}
    before = 0
    for size in sizes:
        tiles |= tree.added(before, LEAVES[before:size], tree.reader(tiles))
        before = size
    return tiles


def root_by_definition(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(root_by_definition(leaves[:half]), root_by_definition(leaves[half:]))


WHOLE = grown(MOST)
sizes = (
    st.integers(1, MOST)
    | st.integers(1, 600)
    | st.sampled_from([255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, MOST])
)


@settings(deadline=None, max_examples=25)
@given(sizes)
def test_the_root_is_that_of_the_definition(size: int) -> None:
    assert tree.root(size, tree.reader(WHOLE)) == root_by_definition(LEAVES[:size])


def test_an_empty_tree_has_the_root_of_no_bytes() -> None:
    assert tree.root(0, tree.reader({})) == EMPTY_ROOT


@settings(deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=8))
def test_it_does_not_matter_in_how_many_steps_a_tree_grew(steps: list[int]) -> None:
    ends = [sum(steps[: number + 1]) for number in range(len(steps))]
    assert grown(*ends) == grown(ends[-1])


@given(sizes, st.data())
def test_every_leaf_can_be_proved(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = tree.inclusion(index, size, tree.reader(WHOLE))
    check_inclusion(index, size, LEAVES[index], proof, tree.root(size, tree.reader(WHOLE)))


@given(sizes, st.data())
def test_every_older_tree_is_proved_to_be_the_beginning(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    roots = (tree.root(each, tree.reader(WHOLE)) for each in (old, size))
    check_consistency(old, size, tree.consistency(old, size, tree.reader(WHOLE)), *roots)


def test_seventy_thousand_leaves_have_the_tiles_that_the_specification_lists() -> None:
    widths = {key: len(tile) // tree.HASH_BYTES for key, tile in WHOLE.items()}
    full = {(0, number): 256 for number in range(273)} | {(1, 0): 256}
    assert widths == full | {(0, 273): 112, (1, 1): 17, (2, 0): 1}
    assert dict(tree.needed(MOST)) == {(0, 273): 112, (1, 1): 17, (2, 0): 1}


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_that_is_not_there_cannot_be_proved(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        tree.inclusion(index, size, tree.reader(WHOLE))


@pytest.mark.parametrize(("old", "size"), [(0, 3), (4, 3)])
def test_a_larger_tree_and_an_empty_one_are_no_beginning(old: int, size: int) -> None:
    with pytest.raises(ValueError, match="older tree"):
        tree.consistency(old, size, tree.reader(WHOLE))
