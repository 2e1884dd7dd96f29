"""Two organisations whose clients, courses, entries, records and keys have equal ids share one committer, as the role of the service.

Whatever they do at the same time, each reads just what it wrote itself. Their writes share batches, and each statement runs for just the
organisations of its batch.
"""

import asyncio
import datetime as dt
from collections import Counter

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies
from support import databases, service_walk

from ipt_workflow import journal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import StaleVersion
from ipt_workflow.machine import machine_for
from ipt_workflow.service.clinic import Clinic, new_organisation
from ipt_workflow.store import audit, lookups, organisations
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema import grants, row_security, tables
from ipt_workflow.store.units import CourseChange, KeptAnswer, KeyTaken, LoggedEvent, NewClient, Unit

NAMES = ("default", "south")
REFERRAL = Command("refer", {"source": "General practitioner", "indication": "depression"})
COURSES = ("c1", "c2", "c3")
KINDS = ("open", "note", "note", "note", "stale", "event", "read")
STEPS = strategies.lists(
    strategies.tuples(strategies.sampled_from(NAMES), strategies.sampled_from(COURSES), strategies.sampled_from(KINDS)),
    min_size=4,
    max_size=16,
)


class Writer:
    """One organisation's writes, and what it must find after them."""

    def __init__(self, clinic: Clinic, example: int) -> None:
        self.clinic = clinic
        self.example = example
        self.last: dict[str, CourseChange] = {}
        self.events: list[str] = []

    async def step(self, name: str, kind: str, number: int) -> None:
        course = f"{self.example}-{name}"
        if kind == "event":
            await self._event(f"{self.example}-{number}", course)
        elif kind == "read" or (kind != "open" and course not in self.last):
            await self.check()
        elif kind == "open":
            await self._open(course)
        else:
            await self._note(course, number, stale=kind == "stale")

    async def _open(self, course: str) -> None:
        if course in self.last:
            return
        clinic = self.clinic
        context = clinic.context(
            service_walk.THERAPIST, clinic.clock.now(), course_id=course, client=f"client-{course}", therapist=clinic.organisation
        )
        change = self._change(0, machine_for(clinic.protocol("ipt", None)).fire(None, REFERRAL, context))
        self.last[course] = change
        await self._commit(change, client=NewClient(f"client-{course}", f"EHR-{course}"))

    def noted(self, course: str) -> CourseChange:
        """The next entry of a course."""
        before, clinic = self.last[course], self.clinic
        command = Command("note", {"text": f"Written for {clinic.organisation}."})
        context = clinic.context(service_walk.THERAPIST, clinic.clock.now())
        accepted = clinic.machine_of(before.course).fire(before.course, command, context)
        return self._change(before.course.version, accepted, before.entries[-1].hash)

    async def _note(self, course: str, number: int, *, stale: bool) -> None:
        before, clinic, change = self.last[course], self.clinic, self.noted(course)
        if stale:
            change = CourseChange(course=change.course, expected=change.expected + 7, entries=change.entries, attention={})
            with pytest.raises(StaleVersion) as lost:
                await self._commit(change)
            assert lost.value.current == before.course.version
            return
        self.last[course] = change
        key = KeptAnswer(f"{self.example}-{number}", clinic.organisation, course, 1, 1, clinic.clock.now() + dt.timedelta(hours=1))
        await self._commit(change, answer=key)
        with pytest.raises(KeyTaken):
            await self._commit(self.noted(course), answer=key)

    def _change(self, expected: int, accepted, head: str = journal.GENESIS) -> CourseChange:
        entries = tuple(
            journal.seal(
                draft,
                organisation=self.clinic.organisation,
                entry_id=f"{accepted.course.id}-{draft.fact.seq}",
                prev_hash=head,
                salt=b"0" * 16,
            )
            for draft in accepted.drafts
        )
        return CourseChange(course=accepted.course, expected=expected, entries=entries, attention={})

    async def _commit(self, change: CourseChange, **more) -> None:
        await self.clinic.committer.commit(Unit(organisation=self.clinic.organisation, changes=(change,), **more))

    async def _event(self, event: str, course: str) -> None:
        self.events.append(event)
        await self.clinic.committer.commit(
            LoggedEvent(
                organisation=self.clinic.organisation,
                id=event,
                kind="read",
                recorded_at=self.clinic.clock.now(),
                person=self.clinic.organisation,
                role="therapist",
                via="api",
                action="course",
                courses=(course,),
            )
        )

    async def check(self) -> None:
        """What is found for this organisation is what it wrote."""
        clinic, known = self.clinic, dict(self.last)
        found = await clinic.database.find(lookups.COURSES, clinic.organisation, [f"{self.example}-{name}" for name in COURSES])
        for course, stored in found.items():
            assert stored.course.therapist == clinic.organisation
            assert stored.course.version <= self.last[course].course.version
        assert set(found) <= set(self.last)
        clients = await clinic.database.find(lookups.CLIENTS, clinic.organisation, [f"EHR-{course}" for course in known])
        assert all(course.course.therapist == clinic.organisation for each in clients.values() for course in each.courses)

    async def check_all(self) -> None:
        """Every statement without a condition on the organisation finds this organisation's rows alone, and all of them."""
        await self.check()
        clinic, prefix = self.clinic, f"{self.example}-"
        for table in row_security.PROTECTED:
            column = tables.METADATA.tables[table].c.organisation
            names = await clinic.database.read(lambda c, column=column: set(c.execute(sa.select(column)).scalars()))
            assert names <= {clinic.organisation}, table
        heads = sa.select(tables.course.c.id, tables.course.c.version, tables.course.c.head).where(
            tables.course.c.id.startswith(prefix)
        )
        stored = await clinic.database.read(lambda c: {row.id: (row.version, row.head) for row in c.execute(heads)})
        assert stored == {course: (change.course.version, change.entries[-1].hash) for course, change in self.last.items()}
        everything = await audit.page(clinic.database, clinic.organisation, AuditFilters(kind="read"), Position(), 1000)
        assert sorted(each.id for each in everything if each.id.startswith(prefix)) == sorted(self.events)


@pytest.fixture(scope="module")
def shared(postgres, tmp_path_factory):
    """A database with two organisations, for the role of the service, and the number of the next example."""
    owned = databases.empty(tmp_path_factory.mktemp("two"), postgres)

    async def south(clinic):
        await clinic.installation.database.write(organisations.insert, new_organisation("south", clinic.clock.now()))

    service_walk.with_clinic(owned, south)
    return databases.as_role(owned, grants.of_service), Counter()


@given(steps=STEPS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_organisations_with_equal_ids_see_nothing_of_each_other_whatever_they_do_at_once(shared, steps):
    settings_of_app, counted = shared
    counted["example"] += 1

    async def run(clinic):
        database, sent = clinic.installation.database, []
        fetch = database._bare.fetch

        async def watched(named, sql, *args):
            sent.append((frozenset(named), sql, args))
            return await fetch(named, sql, *args)

        database._bare.fetch = watched
        writers = {name: Writer(Clinic(clinic.installation, name), counted["example"]) for name in NAMES}
        ones = {
            course: [step for step in numbered if step[1][1] == course]
            for numbered in [list(enumerate(steps))]
            for course in COURSES
        }

        async def in_turn(course: str, name: str) -> None:
            for number, (organisation, _, kind) in ones[course]:
                if organisation == name:
                    await writers[name].step(course, kind, number)

        await asyncio.gather(*(in_turn(course, name) for course in COURSES for name in NAMES))
        for writer in writers.values():
            await writer.check_all()
        return sent

    sent = service_walk.with_clinic(settings_of_app, run)
    for named, sql, args in sent:
        rows = " ".join(str(each) for each in args)
        assert named == {name for name in NAMES if f'"organisation":"{name}"' in rows} or "json_to_recordset" not in sql


def test_writes_of_two_organisations_share_a_statement_that_is_told_both(shared):
    settings_of_app, counted = shared
    counted["example"] += 1

    async def run(clinic):
        writers = [Writer(Clinic(clinic.installation, name), counted["example"]) for name in NAMES]
        for writer in writers:
            await writer._open("both")
        database, sent = clinic.installation.database, []
        fetch = database._bare.fetch

        async def watched(named, sql, *args):
            told = await fetch(named, "SELECT current_setting('ipt.organisations')")
            sent.append((set(named), told[0][0]))
            return await fetch(named, sql, *args)

        database._bare.fetch = watched
        units = [Unit(organisation=each.clinic.organisation, changes=(each.noted("both"),)) for each in writers]
        assert await database.put(units, []) == [True, True]
        assert sent == [(set(NAMES), ",".join(NAMES))]

    service_walk.with_clinic(settings_of_app, run)


def test_a_unit_of_an_organisation_that_is_not_told_is_never_sent_as_if_it_had_lost(shared, monkeypatch):
    """The database would update nothing and say nothing, and the caller would hear that the course has moved on."""
    settings_of_app, counted = shared
    counted["example"] += 1

    async def run(clinic):
        south = Writer(Clinic(clinic.installation, "south"), counted["example"])
        await south._open("alone")
        unit = Unit(organisation="south", changes=(south.noted("alone"),))
        told = clinic.installation.database._bindings

        async def silent(*_) -> None:
            return None

        with monkeypatch.context() as patch:
            patch.setattr(told, "bind", silent)
            with pytest.raises(AssertionError):
                await clinic.installation.database.put([unit], [])
        assert await clinic.installation.database.put([unit], []) == [True]

    service_walk.with_clinic(settings_of_app, run)
