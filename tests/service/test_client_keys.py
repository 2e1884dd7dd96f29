"""Keys of clients: their texts are stored under one, are read as before, and are gone with it, in every copy of the database."""

import pytest
from cryptography.fernet import Fernet
from support import databases, service_walk
from support.service_walk import SUPERVISOR

from ipt_workflow.access.client_keys import HELD_MAX, KeyRing, key_of
from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import SecretUnreadable
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.proofs import EntryProofs
from ipt_workflow.service.privacy.erasures import Erasures
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.schema import tables

OFFICER = Principal(person="admin-1", role="admin", via="cli")
WORDS = "Her mother died in March."
KEYS = Fernet.generate_key().decode()
NOTE = Command("note", {"text": WORDS})


@pytest.fixture
def settings(tmp_path, server):
    """A database of a service that has a key for keys."""
    return databases.empty(tmp_path, server).model_copy(update={"secret_keys": KEYS})


def on(settings, work):
    return service_walk.with_clinic(settings, work)


async def noted(clinic) -> str:
    course = await service_walk.open_course(clinic)
    await service_walk.fire(clinic, course, NOTE)
    return course


async def rows(clinic, table) -> list[dict]:
    found = await clinic.database.read(lambda c: c.execute(table.select().order_by(*table.primary_key.columns)).mappings().all())
    return [dict(row) for row in found]


async def words(clinic, course: str) -> list[str | None]:
    return [each.document and each.document.data.get("text") for each in await clinic.entries(course)]


async def erase(clinic):
    return await Erasures(clinic).erase(OFFICER, lambda: NewErasure(client_ref="EHR-1", ground="objection"))


def test_texts_are_stored_under_a_key_of_their_course_and_read_as_they_were_written(settings):
    async def written(clinic):
        course = await noted(clinic)
        texts = await rows(clinic, tables.entry_data)
        (key,) = await rows(clinic, tables.client_key)
        assert {key_of(bytes(each["sealed"])) for each in texts} == {key["id"]}
        assert (key["course_id"], key["wrapped"].startswith("sealed:")) == (course, True)
        assert WORDS.encode() not in repr(texts).encode()
        assert await words(clinic, course) == [None, WORDS]
        return course

    course = on(settings, written)

    async def read_by_another_process(clinic):
        assert await words(clinic, course) == [None, WORDS]
        await service_walk.fire(clinic, course, NOTE)
        assert len(await rows(clinic, tables.client_key)) == 1
        assert (await clinic.keys.opened(await clinic.measures.get(course) or [])) == []
        assert (await verification.verify(clinic)).ok
        proof = await EntryProofs(clinic).one(SUPERVISOR, course, 2)
        assert (proof.checks.sealed, proof.checks.erased) == (True, False)

    on(settings, read_by_another_process)


def test_measures_that_are_read_past_the_engine_are_opened(settings):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.fire(clinic, course, Command("record_measure", {"instrument": "phq9", "total": 12}))
        (measure,) = await clinic.keys.opened(await clinic.measures.get(course))
        assert measure.document.data["total"] == 12

    on(settings, test)


def test_without_secret_keys_texts_are_stored_as_they_are(settings):
    async def test(clinic):
        await noted(clinic)
        assert WORDS in repr(await rows(clinic, tables.entry_data))
        assert await rows(clinic, tables.client_key) == []

    on(settings.model_copy(update={"secret_keys": ""}), test)


def test_while_processes_of_the_version_before_run_no_key_is_made(settings):
    async def test(clinic):
        await noted(clinic)
        assert await rows(clinic, tables.client_key) == []

    on(settings.model_copy(update={"client_keys": False}), test)
    course = on(settings, lambda clinic: service_walk.open_course(clinic, "EHR-2"))

    async def reads(clinic):
        assert len(await clinic.entries(course)) == 1

    on(settings.model_copy(update={"client_keys": False}), reads)


def test_texts_from_before_the_keys_stay_readable_beside_those_under_one(settings):
    course = on(settings.model_copy(update={"secret_keys": ""}), noted)

    async def test(clinic):
        await service_walk.fire(clinic, course, NOTE)
        assert await words(clinic, course) == [None, WORDS, WORDS]
        assert [key_of(bytes(each["sealed"])) is None for each in await rows(clinic, tables.entry_data)] == [True, True, False]
        counts = {each.kind: each.count for each in (await erase(clinic)).remains if each.count}
        assert counts == {"shredded": 1, "unsealed": 2}

    on(settings, test)


def test_with_the_key_the_texts_are_gone_also_in_a_copy_that_was_made_before(settings, tmp_path):
    """The copy stands for a backup without the table of keys. To it comes the table as it is after the erasure."""
    course = on(settings, noted)
    (tmp_path / "copy").mkdir()
    copied = databases.copy(settings, tmp_path / "copy").model_copy(update={"secret_keys": KEYS})

    async def erased(clinic):
        await erase(clinic)
        return await rows(clinic, tables.client_key)

    keys = on(settings, erased)
    assert [(each["wrapped"], each["shredded_at"] is None) for each in keys] == [(None, False)]

    async def restored(clinic):
        key = tables.client_key
        await clinic.database.write(lambda c: c.execute(key.update().values(wrapped=None, shredded_at=keys[0]["shredded_at"])))
        assert all(each["sealed"] for each in await rows(clinic, tables.entry_data))
        assert [each.sealed for each in await clinic.entries(course)] == [None, None]
        found = await verification.verify(clinic)
        assert (found.ok, found.erased) == (True, 2)

    on(copied, restored)


def test_an_erased_course_that_goes_on_gets_another_key(settings):
    async def test(clinic):
        course = await noted(clinic)
        await erase(clinic)
        await service_walk.fire(clinic, course, NOTE)
        assert await words(clinic, course) == [None, None, WORDS]
        assert [each["wrapped"] is None for each in await rows(clinic, tables.client_key)] == [True, False]

    on(settings, test)


def test_a_body_under_an_idempotency_key_is_known_again_although_its_salt_is_sealed(settings):
    async def test(clinic):
        course, key = await service_walk.open_course(clinic), IdempotencyKey("scope", "a" * 64)
        await service_walk.fire(clinic, course, NOTE, key=key)
        assert (await service_walk.fire(clinic, course, NOTE, key=key)).replayed

    on(settings, test)


def test_a_missing_key_is_an_error_and_no_erasure(settings):
    course = on(settings, noted)

    async def lost(clinic):
        await clinic.database.write(lambda c: c.execute(tables.client_key.delete()))
        with pytest.raises(SecretUnreadable, match="restore the table client_key"):
            await clinic.entries(course)

    async def wrong(clinic):
        with pytest.raises(SecretUnreadable, match="IPT_SECRET_KEYS"):
            await clinic.entries(course)

    on(settings.model_copy(update={"secret_keys": Fernet.generate_key().decode()}), wrong)
    on(settings.model_copy(update={"secret_keys": ""}), wrong)
    on(settings, lost)


def test_an_altered_text_is_found(settings):
    async def test(clinic):
        await noted(clinic)
        text = bytes((await rows(clinic, tables.entry_data))[1]["sealed"])
        sqlite = clinic.database.dialect == "sqlite"
        unguarded = "DROP TRIGGER guard_entry_data_update" if sqlite else "ALTER TABLE entry_data DISABLE TRIGGER ALL"

        def change(connection):
            connection.exec_driver_sql(unguarded)
            connection.execute(tables.entry_data.update().values(sealed=text[:-1] + b"x"))

        await clinic.database.write(change)
        found = await verification.verify(clinic)
        assert (found.ok, found.first_bad["fault"]) == (False, "data_digest: it is not the SHA-256 of salt and sealed document")

    on(settings, test)


def test_a_process_holds_so_many_keys_and_unwraps_each_once():
    ring = KeyRing([KEYS])
    made = ring.make("0" * 36)
    assert ring.held(made.id).wrapped is None
    assert KeyRing([KEYS]).unwrap(made.id, made.wrapped).id == made.id
    for number in range(HELD_MAX):
        ring._hold(type(made)(str(number), made.cipher))
    assert ring.held(made.id) is None
    assert ring.held(str(HELD_MAX - 1)) is not None
