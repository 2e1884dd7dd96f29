"""What is kept of the body of a request with an idempotency key: enough to know it again, and nothing to test a guess against."""

import hashlib

import pytest
from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import KeyReused
from ipt_workflow.service.idempotency import is_of_body, kept_body
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.schema import tables

SCORE = Command("record_measure", {"instrument": "phq9", "items": [1, 2, 1, 0, 3, 1, 2, 0, 1]})
BODY = hashlib.sha256(b"all nine answers").hexdigest()
KEY, OTHER = IdempotencyKey("scope", BODY), IdempotencyKey("scope", hashlib.sha256(b"nine others").hexdigest())


@pytest.fixture
def clinic(tmp_path, server):
    settings = databases.empty(tmp_path, server)
    return lambda test: service_walk.with_clinic(settings, test)


async def scored(clinic) -> str:
    course = await service_walk.open_course(clinic)
    await service_walk.fire(clinic, course, SCORE, key=KEY)
    return course


async def change(clinic, statement) -> None:
    await clinic.database.write(lambda connection: connection.execute(statement))


def test_a_guess_can_be_tested_with_the_salt_of_the_entry_alone():
    kept = kept_body(BODY, "ab" * 16)
    assert BODY not in kept
    assert len(kept) == 64
    assert kept_body(BODY, "ab" * 16) != kept
    assert kept_body(BODY, None)[16:] != kept[16:]


def test_a_body_is_known_again_and_another_one_refused(clinic):
    async def test(clinic):
        course = await scored(clinic)
        assert (await service_walk.fire(clinic, course, SCORE, key=KEY)).replayed
        with pytest.raises(KeyReused):
            await service_walk.fire(clinic, course, SCORE, key=OTHER)

    clinic(test)


def test_once_the_entry_is_erased_no_body_is_compared(clinic):
    async def test(clinic):
        course = await scored(clinic)
        await change(clinic, tables.entry_data.update().values(salt=None, sealed=None))
        assert (await service_walk.fire(clinic, course, SCORE, key=OTHER)).replayed

    clinic(test)


def test_a_body_that_an_earlier_version_kept_is_known(clinic):
    async def test(clinic):
        course = await scored(clinic)
        await change(clinic, tables.idempotency.update().values(body=BODY))
        assert (await service_walk.fire(clinic, course, SCORE, key=KEY)).replayed
        with pytest.raises(KeyReused):
            await service_walk.fire(clinic, course, SCORE, key=OTHER)

    clinic(test)


def test_what_wrote_no_entry_is_keyed_with_a_salt_of_its_own(clinic):
    async def test(clinic):
        course = await scored(clinic)
        await change(clinic, tables.idempotency.update().values(course_id="a group's", body=kept_body(BODY, None)))
        kept = await clinic.kept_answer("scope")
        assert [await is_of_body(clinic, kept, each.body) for each in (KEY, OTHER)] == [True, False]
        assert kept.course_id != course

    clinic(test)
