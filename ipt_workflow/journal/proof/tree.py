"""An RFC 6962 tree kept as tiles: what is added to them, and the proofs that are made from them.

A tile holds up to 256 hashes of one level, each of which covers 256 times as many leaves as one of the level below (C2SP tlog-tiles).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ipt_workflow.journal.proof.ipt_verify import EMPTY_ROOT, node_hash, root_of

WIDTH = 256  # hashes in a full tile
HASH_BYTES = 32
TileKey = tuple[int, int]  # level, and number within the level
ReadTile = Callable[[TileKey], bytes]  # the hashes of a tile, one after another; at least as many as the size of the tree asks for


def added(size: int, leaves: Sequence[bytes], read: ReadTile) -> dict[TileKey, bytes]:
    """The tiles that change when leaf hashes are added to a tree of `size` leaves."""
    changed: dict[TileKey, bytes] = {}
    level, before, new = 0, size, list(leaves)
    while new:
        number, held = divmod(before, WIDTH)
        hashes = [*(_hashes(read((level, number)))[:held] if held else ()), *new]
        full = []
        for start in range(0, len(hashes), WIDTH):
            part = hashes[start : start + WIDTH]
            changed[level, number + start // WIDTH] = b"".join(part)
            if len(part) == WIDTH:
                full.append(root_of(part))
        level, before, new = level + 1, before // WIDTH, full
    return changed


def needed(size: int) -> Iterator[tuple[TileKey, int]]:
    """The last tile of each level of a tree, which an addition or a root needs, with how many hashes of it belong to the tree."""
    level, count = 0, size
    while count:
        number, held = divmod(count, WIDTH)
        if held:
            yield (level, number), held
        level, count = level + 1, number


def root(size: int, read: ReadTile) -> bytes:
    """The root of a tree of `size` leaves."""
    return _node(0, size, read) if size else EMPTY_ROOT


def inclusion(index: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """The proof that a leaf is in a tree, from the leaf's sibling upwards. Raises ValueError if the tree has no such leaf."""
    if not 0 <= index < size:
        raise ValueError("The tree has no leaf of this index.")
    return tuple(_path(index, 0, size, read))


def consistency(old_size: int, size: int, read: ReadTile) -> tuple[bytes, ...]:
    """The proof that a tree begins with an older one. Raises ValueError if it cannot."""
    if not 0 < old_size <= size:
        raise ValueError("The older tree must hold at least one leaf, and no more than the newer.")
    return tuple(_subproof(old_size, 0, size, read, whole=True))


def _path(index: int, start: int, end: int, read: ReadTile) -> Iterator[bytes]:
    if end - start == 1:
        return
    middle = start + _half(end - start)
    if index < middle:
        yield from _path(index, start, middle, read)
        yield _node(middle, end, read)
    else:
        yield from _path(index, middle, end, read)
        yield _node(start, middle, read)


def _subproof(old: int, start: int, end: int, read: ReadTile, *, whole: bool) -> Iterator[bytes]:
    """RFC 6962, 2.1.2: `whole` says that the older tree begins where this part does, so that its root is known."""
    if old == end:
        if not whole:
            yield _node(start, end, read)
        return
    middle = start + _half(end - start)
    if old <= middle:
        yield from _subproof(old, start, middle, read, whole=whole)
        yield _node(middle, end, read)
    else:
        yield from _subproof(old, middle, end, read, whole=False)
        yield _node(start, middle, read)


def _node(start: int, end: int, read: ReadTile) -> bytes:
    """The hash over a part of the leaves that RFC 6962 makes a node of: it begins at a multiple of the power of two that it fills or lacks."""
    count, level = end - start, 0
    while count % WIDTH == 0 and start % WIDTH == 0:
        start, count, level = start // WIDTH, count // WIDTH, level + 1
    if count < WIDTH:
        number, offset = divmod(start, WIDTH)
        return root_of(_hashes(read((level, number)))[offset : offset + count])
    size = WIDTH**level
    middle = _half(count)
    return node_hash(
        _node(start * size, (start + middle) * size, read), _node((start + middle) * size, (start + count) * size, read)
    )


def _half(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _hashes(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def reader(tiles: Mapping[TileKey, bytes]) -> ReadTile:
    """Reads tiles that are at hand."""
    return tiles.__getitem__
