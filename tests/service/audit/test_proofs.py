"""One entry with its bytes, and what checking them finds, also where somebody changed them behind the service's back."""

import hashlib
import sqlite3
from contextlib import closing

import pytest
from support import databases, service_walk

from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.audit.proofs import EntryProofs
from ipt_workflow.store.schema import guards

AUDITOR = service_walk.AUDITOR


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    async def fill(clinic):
        await service_walk.walk(clinic, await service_walk.open_course(clinic), "record_consent", "start")

    return service_walk.database(tmp_path_factory.mktemp("proofs"), fill)


@pytest.fixture
def proof(made, tmp_path):
    """Changes the database by statements, and returns the proof of entry 2."""

    def prove(*statements, principal=AUDITOR, seq=2):
        settings = databases.copy(made, tmp_path)
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            for name, _ in guards.sqlite():
                connection.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                assert connection.execute(statement).rowcount == 1
            (course,) = connection.execute("SELECT id FROM course").fetchone()
        return service_walk.with_clinic(settings, lambda clinic: EntryProofs(clinic).one(principal, course, seq))

    return prove


def told(found):
    return found.checks.bytes, found.checks.link, found.checks.sealed, found.chain.fault is None


def test_an_entry_as_it_was_written_is_shown_with_bytes_that_anybody_can_check(proof):
    found = proof()
    assert told(found) == (True, True, True, True)
    assert hashlib.sha256(found.canonical.encode()).hexdigest() == found.stored_hash == found.found_hash
    assert (found.entry.seq, found.entry.trigger) == (2, "record_consent")
    assert found.entry.prev_hash == found.before_hash == proof(seq=1).found_hash
    assert not found.checks.erased


def test_bytes_that_somebody_changed_are_found_whatever_they_are_now(proof):
    for bytes_now in ("canonical || ' '", "x'7b7d'", "x'ff'"):
        found = proof(f"UPDATE entry SET canonical = CAST({bytes_now} AS BLOB) WHERE seq = 2")
        assert not found.checks.bytes
        assert found.chain.bad_seq == 2
    assert found.entry is None


def test_a_sealed_text_that_somebody_changed_or_that_was_erased_is_told(proof):
    changed = proof("UPDATE entry_data SET sealed = CAST('{}' AS BLOB) WHERE seq = 2")
    assert told(changed) == (True, True, False, False)
    erased = proof("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE seq = 2")
    assert told(erased) == (True, True, True, True)
    assert erased.checks.erased


def test_an_entry_that_follows_a_changed_one_does_not_name_it(proof):
    found = proof("UPDATE entry SET canonical = CAST(replace(canonical, 'referred', 'refused') AS BLOB) WHERE seq = 1")
    assert told(found) == (True, False, True, False)


def test_there_is_no_proof_of_an_entry_that_is_not_there_nor_for_a_therapist(proof):
    with pytest.raises(NotFound):
        proof(seq=99)
    with pytest.raises(Forbidden):
        proof(principal=service_walk.THERAPIST)
