"""Drafts on both databases."""

import asyncio
import datetime as dt

import pytest
from support.http_client import START

from ipt_workflow.store import drafts
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.drafts import DraftPlace, StoredDraft

A_DAY = dt.timedelta(days=1)


def draft(person="anna", form="session", text=b"plain:1", course_id="course-1", saved_at=START) -> StoredDraft:
    return StoredDraft(course_id=course_id, person=person, form=form, saved_at=saved_at, sealed=text)


def place(of: StoredDraft) -> DraftPlace:
    return DraftPlace(of.course_id, of.person, of.form)


@pytest.fixture
def on_database(database_url):
    """Runs a function of a connection, as for the organisation `default`."""

    def run(work):
        async def inside():
            database = open_database(database_url)
            try:
                return await database.write(work, organisations=("default",))
            finally:
                await database.close()

        return asyncio.run(inside())

    return run


def test_a_draft_takes_the_place_of_the_one_before_and_of_no_other(on_database):
    def work(connection):
        others = [draft(person="ben"), draft(form="do/pause"), draft(course_id="course-2")]
        for each in (draft(), *others, draft(text=b"plain:2", saved_at=START + A_DAY)):
            drafts.keep(connection, "default", each)
        return [drafts.find(connection, "default", place(each)) for each in (draft(), *others)], others

    found, others = on_database(work)
    assert found == [draft(text=b"plain:2", saved_at=START + A_DAY), *others]


def test_a_persons_drafts_are_listed_with_the_oldest_first(on_database):
    old, new = draft(course_id="course-9"), draft(saved_at=START + A_DAY)

    def work(connection):
        for each in (new, draft(person="ben"), old):
            drafts.keep(connection, "default", each)
        return drafts.of_person(connection, "default", "anna", 50), drafts.of_person(connection, "default", "anna", 1)

    assert on_database(work) == ([old, new], [old])


def test_a_draft_is_dropped_once(on_database):
    def work(connection):
        drafts.keep(connection, "default", draft())
        return [drafts.drop(connection, "default", place(draft())) for _ in range(2)]

    assert on_database(work) == [True, False]


@pytest.mark.parametrize(("lost", "left"), [(["therapist"], 0), (["supervisor"], 0), (["admin"], 2)])
def test_who_gives_no_therapy_any_more_has_no_drafts(on_database, lost, left):
    def work(connection):
        for each in (draft(), draft(form="do/pause"), draft(person="ben")):
            drafts.keep(connection, "default", each)
        ended = drafts.end_of(connection, "default", "anna", lost, START)
        return ended, len(drafts.of_person(connection, "default", "anna", 50)), drafts.of_person(connection, "default", "ben", 50)

    assert on_database(work) == (2 - left, left, [draft(person="ben")])
