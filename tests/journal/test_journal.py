"""The journal alone: sealing and reading, the chain and each of its faults, replay, and erasure."""

import datetime as dt
import hashlib
import json

import msgspec
import pytest
import rfc8785
from support import service_walk

from ipt_workflow import journal
from ipt_workflow.course.drafts import Draft
from ipt_workflow.course.facts import EntryActor, Fact
from ipt_workflow.course.fold import fold
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import GENESIS, check_chain, data_digest, entry_hash

AT = dt.datetime(2026, 1, 5, 10, 30, tzinfo=dt.timezone(dt.timedelta(hours=1)))
SALT = bytes(range(16))
DRAFT = Draft(
    fact=Fact(
        course="course-1",
        seq=1,
        trigger="refer",
        actor=EntryActor("therapist-1", "therapist", "api"),
        cosigned_by="supervisor-1",
        occurred_at=AT,
        recorded_at=AT + dt.timedelta(minutes=5),
        protocol_digest="d" * 64,
        overridden=("timeline_recorded",),
        contradicts=(3,),
        data={"client": "client-1"},
    ),
    from_=None,
    to="referred",
    given={"source": "Praxis Dr. Müller", "indication": "depression"},
    reason="Because.",
    override=Override(("timeline_recorded",), "The forms come later."),
)


def seal(draft=DRAFT, prev=GENESIS, salt=SALT, organisation="default", **changes):
    draft = msgspec.structs.replace(draft, fact=msgspec.structs.replace(draft.fact, **changes))
    return journal.seal(draft, organisation=organisation, entry_id=f"entry-{draft.fact.seq}", prev_hash=prev, salt=salt)


def chain(length=4) -> list:
    entries = []
    for seq in range(1, length + 1):
        entries.append(seal(prev=entries[-1].hash if entries else GENESIS, seq=seq))
    return entries


def stored(entries) -> list[tuple]:
    return [(entry.canonical, entry.hash, entry.salt, entry.sealed) for entry in entries]


def checked(entries, organisation="default", course="course-1"):
    return check_chain(stored(entries), organisation, course)


def rewritten(entry, **changes):
    """The entry with changed canonical bytes, hashed again."""
    canonical = rfc8785.dumps({**json.loads(entry.canonical), **changes})
    return journal.read(canonical, salt=entry.salt, sealed=entry.sealed)


def test_an_entry_that_is_sealed_and_read_again_is_the_same():
    entry = seal()
    assert journal.read(entry.canonical, salt=entry.salt, sealed=entry.sealed) == entry


def test_the_canonical_bytes_say_everything_structural_and_nothing_that_was_sealed():
    entry = seal()
    content = json.loads(entry.canonical)
    assert set(content) == {
        "organisation", "course", "seq", "id", "trigger", "from", "to", "actor", "cosigned_by", "occurred_at", "recorded_at",
        "protocol_digest", "overridden", "contradicts", "data", "data_digest", "prev_hash",
    }  # fmt: skip
    assert content["actor"] == {"person": "therapist-1", "role": "therapist", "via": "api"}
    for secret in ("Müller", "Because.", "The forms come later."):
        assert secret.encode() not in entry.canonical
        assert secret.encode() in entry.sealed


def test_the_canonical_bytes_are_their_own_rfc_8785_form():
    entry = seal()
    assert rfc8785.dumps(json.loads(entry.canonical)) == entry.canonical
    assert rfc8785.dumps(json.loads(entry.sealed)) == entry.sealed


def test_the_hash_is_the_sha_256_of_the_canonical_bytes():
    entry = seal()
    assert entry.hash == entry_hash(entry.canonical) == hashlib.sha256(entry.canonical).hexdigest()


def test_the_data_digest_is_the_sha_256_of_salt_and_sealed_document():
    entry = seal()
    assert entry.written.data_digest == data_digest(SALT, entry.sealed) == hashlib.sha256(SALT + entry.sealed).hexdigest()


def test_the_same_words_under_another_salt_have_another_digest():
    one, other = seal(), seal(salt=b"another salt 123")
    assert one.sealed == other.sealed
    assert one.written.data_digest != other.written.data_digest


def test_times_are_written_in_utc_with_microseconds():
    assert json.loads(seal().canonical)["occurred_at"] == "2026-01-05T09:30:00.000000Z"
    assert journal.moment(AT + dt.timedelta(microseconds=7)) == "2026-01-05T09:30:00.000007Z"


def test_the_document_gives_back_what_was_said():
    document = seal().document
    assert document.data == {"source": "Praxis Dr. Müller", "indication": "depression"}
    assert document.reason == "Because."
    assert document.override == {"rules": ["timeline_recorded"], "reason": "The forms come later."}


@pytest.mark.parametrize("canonical", (b"", b"{", b"[]", b"{}", b"\xff", b'{"seq": "one"}'))
def test_bytes_that_are_no_entry_are_broken(canonical):
    with pytest.raises(JournalBroken):
        journal.read(canonical, salt=None, sealed=None)


def test_a_whole_chain_has_no_fault():
    found = checked(chain())
    assert (found.entries, found.erased, found.bad_seq, found.fault) == (4, 0, None, None)
    assert checked([]).fault is None


def fault_at(seq, fault, entries, **where) -> None:
    found = checked(entries, **where)
    assert (found.bad_seq, found.fault.split(":")[0]) == (seq, fault), found


def test_a_stored_hash_that_is_not_that_of_the_bytes_is_a_fault():
    entries = stored(chain())
    entries[2] = (entries[2][0], "0" * 64, *entries[2][2:])
    found = check_chain(entries, "default", "course-1")
    assert (found.bad_seq, found.fault.split(":")[0]) == (3, "hash")


def test_an_entry_that_is_missing_or_out_of_order_is_a_fault():
    one, two, three, four = chain()
    fault_at(1, "seq", [two, three, four])
    fault_at(2, "seq", [one, three, four])
    fault_at(2, "seq", [one, three, two, four])
    fault_at(2, "seq", [one, one, two])


def test_an_entry_of_another_course_or_organisation_is_a_fault():
    fault_at(1, "course", chain(), course="course-2")
    fault_at(1, "course", chain(), organisation="other")


def test_a_link_that_does_not_hold_is_a_fault():
    entries = chain()
    entries[2] = rewritten(entries[2], to="middle")
    fault_at(4, "prev_hash", entries)
    fault_at(1, "prev_hash", [seal(prev="1" * 64)])


def test_a_document_that_does_not_open_its_digest_is_a_fault():
    for changed in (
        {"sealed": b"{}"},
        {"salt": "00" * 16},
        {"salt": "not hex"},
        {"salt": ""},
        {"salt": SALT.hex()[:-2]},
    ):
        entries = chain()
        entries[1] = msgspec.structs.replace(entries[1], **changed)
        fault_at(2, "data_digest", entries)


def test_an_entry_that_is_erased_by_half_is_a_fault():
    for half in ({"salt": None}, {"sealed": None}):
        entries = chain()
        entries[1] = msgspec.structs.replace(entries[1], **half)
        fault_at(2, "sealed", entries)


def test_erased_entries_are_counted_and_are_no_fault():
    entries = chain()
    for place in (0, 2):
        entries[place] = msgspec.structs.replace(entries[place], salt=None, sealed=None)
    found = checked(entries)
    assert (found.fault, found.erased, found.entries) == (None, 2, 4)
    assert entries[0].document is None


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """The journal of a course of a dozen entries, a minute apart."""
    kept = []

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, *service_walk.A_DOZEN)
        kept.extend(await clinic.entries(course))

    service_walk.database(tmp_path_factory.mktemp("journal"), fill)
    return kept


def test_replay_is_the_fold_of_the_facts(entries):
    course = journal.replay(entries)
    assert course == fold(journal.facts(entries))
    assert (course.version, course.state) == (12, "initial")
    assert journal.replay([]) is None


def test_replay_up_to_a_moment_of_recording_knows_only_what_was_on_record(entries):
    for count in range(1, len(entries) + 1):
        at = entries[count - 1].written.recorded_at
        assert journal.replay(entries, known_at=at) == journal.replay(entries[:count])
    assert journal.replay(entries, known_at=entries[0].written.recorded_at - dt.timedelta(microseconds=1)) is None


def test_replay_as_of_a_moment_knows_only_what_had_happened(entries):
    started = next(entry for entry in entries if entry.written.trigger == "start")
    before = journal.replay(entries, as_of=started.written.occurred_at - dt.timedelta(microseconds=1))
    after = journal.replay(entries, as_of=started.written.occurred_at)
    assert (before.state, before.phase) == ("referred", None)
    assert (after.state, after.phase) == ("initial", "initial")


def test_a_late_entry_is_known_from_its_recording_and_counts_from_its_occurrence(tmp_path):
    kept = []

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start")
        happened = clinic.clock.now() + dt.timedelta(hours=1)
        clinic.clock.advance(dt.timedelta(days=3))
        command = await service_walk.example(clinic, course, "record_session")
        await service_walk.fire(clinic, course, msgspec.structs.replace(command, occurred_at=happened))
        kept.extend(await clinic.entries(course))

    service_walk.database(tmp_path, fill)
    session = kept[-1].written
    between = session.occurred_at + dt.timedelta(hours=1)
    assert session.occurred_at < between < session.recorded_at
    assert len(journal.replay(kept, as_of=between).sessions) == 1
    assert len(journal.replay(kept, known_at=between).sessions) == 0
    assert len(journal.replay(kept, as_of=between, known_at=between).sessions) == 0
    assert len(journal.replay(kept, as_of=session.occurred_at - dt.timedelta(seconds=1)).sessions) == 0


def test_a_course_folds_to_the_same_when_every_entry_is_erased(entries):
    erased = [msgspec.structs.replace(entry, salt=None, sealed=None) for entry in entries]
    assert journal.replay(erased) == journal.replay(entries)
    written = entries[0].written
    found = check_chain(stored(erased), written.organisation, written.course)
    assert (found.fault, found.erased) == (None, 12)
    assert journal.given(erased) == {}


def test_given_data_is_listed_by_seq_and_after_an_amendment_as_it_was_given_last(tmp_path):
    kept = []

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, "record_consent", "start", "record_session")
        session = (await clinic.visible_course(service_walk.THERAPIST, course)).course.sessions[-1].seq
        for seq, attendance in ((session, "6"), (5, "2")):
            amendment = {"supersedes": seq, "data": {"attendance": attendance}}
            await service_walk.fire(clinic, course, Command("amend", amendment, None, "The client came late."))
        kept.extend(await clinic.entries(course))
        kept.append(session)

    service_walk.database(tmp_path, fill)
    session = kept.pop()
    given = journal.given(kept)
    assert given[session]["attendance"] == "2"
    assert given[1]["source"] == "General practitioner"
    assert [entry.written.seq for entry in kept if entry.written.trigger == "amend"] == [5, 6]
    assert 5 not in given
