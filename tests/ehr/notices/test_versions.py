"""How a message stands to what was kept of its resource: by lastUpdated, then versionId, then what was read of it."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.ehr.notices.content import Version
from ipt_workflow.ehr.notices.versions import compare, compare_withdrawal, newest
from ipt_workflow.store.notices import StoredNotice

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def version(second: int | None = None, text: str | None = None) -> Version:
    return Version(at=None if second is None else START + dt.timedelta(seconds=second), text=text)


def kept(digest: str | None, second: int | None = None, text: str | None = None, **more) -> StoredNotice:
    at = version(second).at
    return StoredNotice(
        id=digest or "old",
        source_id="north",
        key=f"{digest} {second} {text}",
        body_hash="",
        type="fhir.Encounter",
        received_at=START,
        status=more.pop("status", "applied"),
        resource_version=text,
        resource_at=at,
        content_digest=digest,
        **more,
    )


def standing(digest: str, message: Version, *rows: StoredNotice) -> str:
    return compare(message, digest, rows).standing


A1, B2 = kept("a", 1, "1"), kept("b", 2, "2")


@pytest.mark.parametrize(
    ("what", "digest", "message", "rows", "expected"),
    (
        ("nothing was kept", "a", version(1, "1"), (), "first"),
        ("a later lastUpdated", "b", version(2, "2"), (A1,), "newer"),
        ("an earlier lastUpdated", "a", version(1, "1"), (B2,), "older"),
        ("lastUpdated decides before versionId", "b", version(2, "1"), (kept("a", 1, "9"),), "newer"),
        ("and against it", "b", version(1, "9"), (kept("a", 2, "1"),), "older"),
        ("versionId decides in one second", "b", version(1, "2"), (A1,), "newer"),
        ("versionId decides in one second, against it", "b", version(1, "1"), (kept("a", 1, "2"),), "older"),
        ("versionId is a number, not a text", "b", version(1, "10"), (kept("a", 1, "9"),), "newer"),
        ("versionId without lastUpdated", "b", version(text="2"), (kept("a", text="1"),), "newer"),
        ("lastUpdated on one side alone: versionId", "b", version(5, "1"), (kept("a", text="2"),), "older"),
        ("always 1: a later lastUpdated", "b", version(2, "1"), (A1,), "newer"),
        ("always 1: the same content later", "a", version(2, "1"), (A1,), "newer"),
        ("always 1: two in one second", "b", version(1, "1"), (A1,), "newer"),
        ("no version at all, other content", "b", version(), (kept("a"),), "newer"),
        ("no version at all, the same content", "a", version(), (kept("a"),), "repeat"),
        ("a version that is no number", "b", version(text="W/x"), (kept("a", text="W/y"),), "newer"),
        ("the same version with a tag more", "a", version(1, "1"), (A1,), "repeat"),
        ("A, B, A without versions", "a", version(), (kept("a"), kept("b")), "unordered"),
        ("A, B, B without versions", "b", version(), (kept("a"), kept("b")), "repeat"),
        ("A, B, C without versions", "c", version(), (kept("a"), kept("b")), "newer"),
        ("A, B, A in one second", "a", version(1, "1"), (A1, kept("b", 1, "1")), "unordered"),
        ("A, B, A with versions", "a", version(3, "3"), (A1, B2), "newer"),
        ("A, B, then A again", "a", version(1, "1"), (A1, B2), "older"),
        ("A earlier, then B and A in one second", "a", version(2, "2"), (A1, B2), "newer"),
        ("B came before A: the newest counts", "a", version(1, "1"), (B2, kept("x", 0, "0")), "older"),
        ("deleted since", "a", version(1, "1"), (A1, kept("gone", 1, "1", void=True)), "older"),
        ("restored after a deletion", "a", version(3, "3"), (A1, kept("gone", 1, "1", void=True)), "newer"),
        ("restored without versions", "a", version(), (kept("a"), kept("gone", void=True)), "unordered"),
        ("of before the digests: the same version", "a", version(1, "1"), (kept(None, 1, "1"),), "repeat"),
        ("of before the digests: a later one", "a", version(2, "1"), (kept(None, 1, "1"),), "newer"),
        ("of before the digests: an earlier one", "a", version(0, "1"), (kept(None, 1, "1"),), "older"),
        ("of before the digests: without a version", "a", version(), (kept(None),), "newer"),
        ("of before the digests: deleted", "a", version(3, "3"), (kept(None, text="deleted", void=True),), "newer"),
    ),
)
def test_a_message_is_compared_with_the_newest_of_its_resource(what, digest, message, rows, expected):
    assert standing(digest, message, *rows) == expected, what


def test_a_repeat_names_the_notices_of_its_own_version_alone():
    """A, B, A, where a version says two things: the first is taken again, and the second is new as well."""
    rows = (kept("a", 1, part="x"), kept("a", 1, part="y"), kept("b", 2, part="x"), kept("a", 3, part="x"))
    found = compare(version(3), "a", rows)
    assert (found.standing, [(each.part, each.resource_at) for each in found.same]) == ("repeat", [("x", version(3).at)])


def test_a_withdrawal_is_about_the_newest():
    assert compare_withdrawal([], "x", in_doubt=False).standing == "first"
    assert compare_withdrawal([A1, B2], "x", in_doubt=False).standing == "newer"
    done, waits = kept("c", 2, "2", void=True), kept("c", 2, "2", void=True, status="waiting")
    assert compare_withdrawal([A1, done], "x", in_doubt=False).standing == "repeat"
    assert compare_withdrawal([A1, done, kept("d", 3)], "x", in_doubt=False).standing == "newer"
    assert [compare_withdrawal([A1, waits], "x", in_doubt=doubt).standing for doubt in (False, True)] == ["newer", "repeat"]
    assert compare_withdrawal([A1, waits], "c", in_doubt=False).standing == "repeat"  # of the same message


versions_of_a_resource = st.lists(st.sampled_from("abc"), min_size=1, max_size=6)


@given(versions_of_a_resource, st.randoms(use_true_random=False), st.booleans())
def test_in_any_order_of_arrival_the_latest_version_counts_in_the_end(contents, randomness, numbered):
    """Every message is sent up to three times, in any order. What is kept is kept as the intake keeps it: not if older or a repeat."""
    sent = [(version(number, str(number) if numbered else "1"), digest) for number, digest in enumerate(contents)]
    arrivals = [each for each in sent for _ in range(randomness.randint(1, 3))]
    randomness.shuffle(arrivals)
    rows: list[StoredNotice] = []
    counts = None
    for message, digest in arrivals:
        found = standing(digest, message, *rows)
        assert found != "unordered"
        if found in {"first", "newer"}:
            rows.append(kept(digest, round((message.at - START).total_seconds()), message.text))
            counts = (message, digest)
    assert counts == sent[-1]
    last = newest(rows)
    assert last is not None
    assert (last.resource_at, last.content_digest) == (sent[-1][0].at, sent[-1][1])


@given(versions_of_a_resource)
def test_without_versions_the_last_new_content_counts_and_what_returns_waits(contents):
    rows: list[StoredNotice] = []
    for digest in contents:
        found = standing(digest, version(), *rows)
        known = {each.content_digest for each in rows}
        if not rows:
            assert found == "first"
        elif rows[-1].content_digest == digest:
            assert found == "repeat"
        else:
            assert found == ("unordered" if digest in known else "newer")
        if found != "repeat":
            rows.append(kept(digest))
