"""Many writers at once on one database, in one process and in several: one wins, the others get an error, nothing is lost or doubled."""

import asyncio
import collections
import threading

import pytest
from support import databases, service_walk, writers
from support.databases import select
from support.writers import PROCESSES, in_processes

from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import KeyInFlight, StaleVersion, TransitionRefused
from ipt_workflow.service.audit import verification
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import IdempotencyKey, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import integrity

NOTE = Command("note", {"text": "She called."})


@pytest.fixture(scope="module")
def walked_course(tmp_path_factory, server):
    async def fill(clinic):
        await service_walk.open_course(clinic)

    return service_walk.database(tmp_path_factory.mktemp("concurrency"), fill, server)


@pytest.fixture
def settings(walked_course, tmp_path):
    return databases.copy(walked_course, tmp_path)


def course_of(settings) -> str:
    return service_walk.with_clinic(settings, lambda clinic: clinic.database.read(stored_courses.course_ids, "default", "", 2))[0]


def seqs(settings) -> list[int]:
    return [row[0] for row in select(settings, "SELECT seq FROM entry ORDER BY seq")]


def assert_whole(settings) -> None:
    """Every chain verifies, and every entry has its sealed document and its outbox row, once."""
    assert service_walk.with_clinic(settings, verification.verify).ok
    places = select(settings, "SELECT course_id, seq FROM entry ORDER BY 1, 2")
    assert select(settings, "SELECT course_id, seq FROM entry_data ORDER BY 1, 2") == places
    assert select(settings, "SELECT course_id, seq FROM outbox ORDER BY 1, 2") == places


def test_of_many_tasks_on_one_version_exactly_one_wins(settings):
    course = course_of(settings)

    async def race(clinic):
        service = Courses(clinic)
        write = Write(decode=lambda: (NOTE,), version=1)
        return await asyncio.gather(
            *(service.fire(service_walk.THERAPIST, course, write) for _ in range(20)), return_exceptions=True
        )

    answers = service_walk.with_clinic(settings, race)
    lost = [each for each in answers if isinstance(each, Exception)]
    assert len(lost) == 19
    assert {type(each) for each in lost} == {StaleVersion}
    assert {each.current for each in lost} == {2}
    assert seqs(settings) == [1, 2]
    assert_whole(settings)


def test_tasks_that_name_no_version_are_placed_one_after_the_other(settings):
    course = course_of(settings)

    async def race(clinic):
        return await asyncio.gather(*(service_walk.fire(clinic, course, NOTE) for _ in range(6)))

    done = service_walk.with_clinic(settings, race)
    assert sorted(each.entries[-1].seq for each in done) == [2, 3, 4, 5, 6, 7]
    assert_whole(settings)


def test_threads_with_a_service_each_win_every_version_once(settings):
    course = course_of(settings)
    won: list[int] = []

    def work() -> None:
        async def notes(clinic):
            for _ in range(12):
                version = (await clinic.visible_course(service_walk.THERAPIST, course)).course.version
                try:
                    await Courses(clinic).fire(service_walk.THERAPIST, course, Write(decode=lambda: (NOTE,), version=version))
                    won.append(version)
                except StaleVersion:
                    pass

        service_walk.with_clinic(settings, notes)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(1, len(won) + 1))
    assert seqs(settings) == list(range(1, len(won) + 2))
    assert_whole(settings)


def test_several_processes_win_every_version_once_and_losers_get_stale_version(settings):
    course = course_of(settings)
    answers = in_processes(settings.database_url, writers.notes, course, 15)
    won = collections.Counter(version for each in answers for version in each["won"])
    lost = [version for each in answers for version in each["lost"]]
    assert sum(won.values()) + len(lost) == PROCESSES * 15
    assert sorted(won) == list(range(1, len(won) + 1))
    assert set(won.values()) == {1}
    assert set(lost) <= set(won)
    assert seqs(settings) == list(range(1, len(won) + 2))
    assert_whole(settings)


def test_several_processes_that_open_a_course_of_one_client_make_one(settings):
    answers = in_processes(settings.database_url, writers.opening, "EHR-2", None)
    assert collections.Counter(each.get("error") for each in answers) == {None: 1, "TransitionRefused": PROCESSES - 1}
    assert select(settings, "SELECT count(*) FROM client WHERE ref = 'EHR-2'") == [(1,)]
    assert select(settings, "SELECT count(*) FROM course") == [(2,)]
    assert_whole(settings)


def test_of_many_tasks_that_open_a_course_of_one_client_exactly_one_does(settings):
    async def race(clinic):
        service = Courses(clinic)
        openings = (service.open_course(service_walk.THERAPIST, lambda: service_walk.opening("EHR-2")) for _ in range(12))
        return await asyncio.gather(*openings, return_exceptions=True)

    answers = service_walk.with_clinic(settings, race)
    lost = [each for each in answers if isinstance(each, Exception)]
    assert len(lost) == 11
    assert {type(each) for each in lost} == {TransitionRefused}
    assert {refusal.rule for each in lost for refusal in each.refusals} == {"one_active_course"}
    assert select(settings, "SELECT count(*) FROM course") == [(2,)]
    assert_whole(settings)


def test_one_key_from_several_processes_has_one_effect_and_all_get_its_answer(settings):
    course = course_of(settings)
    answers = in_processes(settings.database_url, writers.once, course, "key")
    assert {each["seq"] for each in answers} == {2}
    assert [each["replayed"] for each in answers].count(False) == 1
    assert seqs(settings) == [1, 2]
    assert_whole(settings)


def test_one_key_from_several_processes_opens_one_course(settings):
    answers = in_processes(settings.database_url, writers.opening, "EHR-3", "key")
    assert len({each["course"] for each in answers if "course" in each}) == 1
    assert sum(not each.get("replayed", True) for each in answers) == 1
    assert select(settings, "SELECT count(*) FROM course") == [(2,)]
    assert_whole(settings)


def test_a_key_whose_request_is_still_running_is_in_flight(settings):
    course = course_of(settings)

    async def race(clinic):
        service = Courses(clinic)
        write = Write(decode=lambda: (NOTE,), version_required=False, key=IdempotencyKey("key", "body"))
        first = await asyncio.gather(
            *(service.fire(service_walk.THERAPIST, course, write) for _ in range(5)), return_exceptions=True
        )
        return first, await service.fire(service_walk.THERAPIST, course, write)

    first, later = service_walk.with_clinic(settings, race)
    assert {type(each) for each in first if isinstance(each, Exception)} <= {KeyInFlight}
    assert later.replayed
    assert {each.entries[-1].seq for each in (*first, later) if not isinstance(each, Exception)} == {2}
    assert seqs(settings) == [1, 2]


def test_writers_to_different_courses_do_not_disturb_each_other(settings):
    async def race(clinic):
        courses = await asyncio.gather(*(service_walk.open_course(clinic, f"EHR-{number}") for number in range(10, 18)))
        await asyncio.gather(*(service_walk.fire(clinic, course, NOTE, version=1) for course in courses))
        return courses

    courses = service_walk.with_clinic(settings, race)
    assert dict(select(settings, "SELECT id, version FROM course WHERE version = 2")) == dict.fromkeys(courses, 2)
    assert_whole(settings)


def test_readers_see_whole_units_while_others_write(settings):
    course = course_of(settings)

    async def race(clinic):
        stop = asyncio.Event()

        async def read():
            seen = 0
            while not stop.is_set():
                ((_, checked),) = await clinic.database.read(integrity.check_courses, "default", [course])
                assert checked.fault is None, checked
                assert checked.entries >= seen
                seen = checked.entries
            return seen

        readers = [asyncio.create_task(read()) for _ in range(3)]
        for _ in range(15):
            await service_walk.fire(clinic, course, NOTE)
        stop.set()
        return await asyncio.gather(*readers)

    assert max(service_walk.with_clinic(settings, race)) >= 2
    assert_whole(settings)


def test_a_key_that_is_committed_elsewhere_between_looking_and_deciding_is_answered_with_what_it_opened(settings):
    async def race():
        async with service_walk.opened(settings) as here, service_walk.opened(settings) as there:
            first, second, key = Courses(there), Courses(here), IdempotencyKey("key", "body")
            look, looked = second._idempotency.kept, []

            async def look_and_be_overtaken(key):
                found = await look(key)
                if not looked:
                    looked.append(await first.open_course(service_walk.THERAPIST, lambda: service_walk.opening("EHR-4"), key))
                return found

            second._idempotency.kept = look_and_be_overtaken
            answer = await second.open_course(service_walk.THERAPIST, lambda: service_walk.opening("EHR-4"), key)
            assert answer.replayed
            assert answer.course.id == looked[0].course.id

    asyncio.run(race())
