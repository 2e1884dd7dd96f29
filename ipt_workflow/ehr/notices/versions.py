"""Compares a message with the versions of its resource that were kept.

It is compared with the newest of them: by `lastUpdated`, then by `versionId`, then by what was read of it. An EHR that numbers nothing
is believed in the order it sends, unless it repeats an older version: that one waits, since nobody can say which counts.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from ipt_workflow.ehr.notices.content import Version
from ipt_workflow.store.notices import StoredNotice

Standing = Literal["first", "newer", "repeat", "older", "unordered"]


class Comparison(msgspec.Struct, frozen=True):
    """How a message stands to what was kept. `same` are the kept notices of the version that it repeats."""

    standing: Standing
    same: tuple[StoredNotice, ...] = ()


def version_of(kept: StoredNotice) -> Version:
    return Version(at=kept.resource_at, text=kept.resource_version)


def newest(kept: Sequence[StoredNotice]) -> StoredNotice | None:
    """The newest version, given the notices in the order they were kept."""
    found: StoredNotice | None = None
    for each in kept:
        if found is None or not version_of(each).before(version_of(found)):
            found = each
    return found


def compare(version: Version, digest: str, kept: Sequence[StoredNotice]) -> Comparison:
    """Compares a version, whose content has this digest, with the notices kept of its resource in the order they were kept."""
    last = newest(kept)
    if last is None:
        return Comparison("first")
    if version.before(version_of(last)):
        return Comparison("older")
    if version_of(last).before(version):
        return Comparison("newer")
    same = tuple(each for each in kept if _alike(version, digest, each) and not version_of(each).before(version))
    if _alike(version, digest, last):
        return Comparison("repeat", same)
    if not same:
        return Comparison("newer")
    deleted_since = last.void and version.same(version_of(last))  # a deletion has the version that it deleted
    return Comparison("older" if deleted_since else "unordered")


def compare_withdrawal(kept: Sequence[StoredNotice], digest: str, *, in_doubt: bool) -> Comparison:
    """Compares the withdrawal of a thing, by a message of this digest, with the notices kept of it. It is about the newest of them.

    It is no repeat of another message's withdrawal that waits, unless it is in doubt itself.
    """
    last = newest(kept)
    if last is None:
        return Comparison("first")
    if last.void and (last.status != "waiting" or in_doubt or last.content_digest == digest):
        return Comparison("repeat", (last,))
    return Comparison("newer")


def _alike(version: Version, digest: str, kept: StoredNotice) -> bool:
    """Whether a kept notice says the same. Those of before the digests were kept are compared by their version."""
    if kept.content_digest is None:
        return version.same(version_of(kept))
    return digest == kept.content_digest
