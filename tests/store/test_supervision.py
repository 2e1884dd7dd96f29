"""What supervision reads: records from the last to the first, the words of several courses, and the open courses of several therapists."""

import asyncio
import datetime as dt

import pytest
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import Viewer
from ipt_workflow.service.supervision.meetings import DiscussedCourse, Meetings, NewMeeting
from ipt_workflow.store import supervision

SUPERVISOR = Principal(person="supervisor-1", role="supervisor")


@pytest.fixture(scope="module")
def stored(server, tmp_path_factory):
    """A database with two courses that three meetings discussed, and their ids."""
    ids = []

    async def fill(clinic):
        for ref in ("EHR-1", "EHR-2"):
            ids.append(await service_walk.open_course(clinic, ref))
            await service_walk.walk(clinic, ids[-1], "record_consent", "start")
        for discussed in (ids, ids[:1], ids[1:]):
            courses = tuple(DiscussedCourse(course=each, actions=("Bring a tape.",)) for each in discussed)
            new = NewMeeting(supervisor="supervisor-1", supervisees=("therapist-1",), kind="group", minutes=50, courses=courses)
            await Meetings(clinic).record(SUPERVISOR, lambda new=new: new)

    return service_walk.database(tmp_path_factory.mktemp("supervision"), fill, server), ids


def on(settings, query, *arguments):
    async def read():
        database = databases.opened(settings.database_url)
        try:
            return await database.read(query, "default", *arguments)
        finally:
            await database.close()

    return asyncio.run(read())


def test_records_are_read_from_the_last_to_the_first_page_by_page(stored, server):
    settings, ids = stored
    who, now = Viewer("supervisor-1", "supervisor"), dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    every = on(settings, supervision.records, who, now, None, 10)
    assert sorted(each.course for each in every) == sorted([*ids, *ids])
    assert [each.place for each in every] == sorted(
        (each.place for each in every), key=lambda place: (place.at, place.id), reverse=True
    )
    paged, before = [], None
    while page := on(settings, supervision.records, who, now, before, 3):
        paged, before = [*paged, *page], page[-1].place
    assert paged == every
    stranger = Viewer("therapist-9", "therapist")
    assert on(settings, supervision.records, stranger, now, None, 10) == []


def test_the_words_of_courses_are_their_records_alone(stored, server):
    settings, ids = stored
    found = on(settings, supervision.words_of, ids)
    assert {course: [each.written.trigger for each in entries] for course, entries in found.items()} == {
        each: ["record_supervision"] * 2 for each in ids
    }
    assert on(settings, supervision.words_of, []) == {}


def test_open_courses_are_those_of_the_therapists_who_are_named(stored, server):
    settings, ids = stored
    assert [each.id for each in on(settings, supervision.open_courses_of, ["therapist-1", "therapist-2"], 10)] == ids
    assert on(settings, supervision.open_courses_of, ["therapist-2"], 10) == []


def test_what_needs_attention_is_found_by_its_kind_the_longest_first(stored, server):
    settings, ids = stored
    who, now = Viewer("supervisor-1", "supervisor"), dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    found = on(settings, supervision.flagged, who, now, {"overdue": now, "deviation": now}, 10)
    assert {kind: [each.course.id for each in courses] for kind, courses in found.items()} == {"overdue": ids, "deviation": []}
    assert len(on(settings, supervision.flagged, who, now, {"overdue": now}, 1)["overdue"]) == 1
    before = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert on(settings, supervision.flagged, who, now, {"overdue": before}, 10) == {"overdue": []}
    assert on(settings, supervision.flagged, Viewer("therapist-9", "therapist"), now, {"overdue": now}, 10) == {"overdue": []}


def test_nobody_who_is_here_is_a_leaver(stored, server):
    settings, _ = stored
    who, now = Viewer("supervisor-1", "supervisor"), dt.datetime(2999, 1, 1, tzinfo=dt.UTC)
    assert on(settings, supervision.of_leavers, who, now, 10) == []
