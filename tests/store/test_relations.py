"""Who may see a course: the predicate as SQL and as Python agree, for every role, whatever ties people to courses."""

import asyncio
import datetime as dt
import itertools
import uuid
from typing import get_args

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from support import databases

from ipt_workflow.access.relations import Supervision, Ties, Viewer, relation
from ipt_workflow.course.triggers import Role
from ipt_workflow.store import relations, restrictions
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.restrictions import StoredRestriction
from ipt_workflow.store.schema import tables

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
PEOPLE = ("ann", "ben", "cem")
COURSES = ("c1", "c2", "c3", "c4")
CLIENTS = ("x", "y")  # of the first two courses, and of the others
GROUPS = ("g1", "g2")
VIEWERS = [Viewer(*each) for each in itertools.product((*PEOPLE, "zoe"), get_args(Role), get_args(Supervision))]

person = some.sampled_from(PEOPLE)
hours = some.integers(-2, 2)
a_cover = some.fixed_dictionaries(
    {
        "therapist": person,
        "colleague": person,
        "start": hours,
        "end": hours,
        "ended": some.none() | some.just(-1),
        "courses": some.none() | some.sets(some.sampled_from(COURSES), min_size=1),
    }
)
an_emergency = some.fixed_dictionaries(
    {"person": person, "client": some.sampled_from(CLIENTS), "start": hours, "end": hours, "ended": some.booleans()}
)
a_clinic = some.fixed_dictionaries(
    {
        "withheld": some.sets(some.sampled_from(COURSES)),
        "processing": some.sets(some.sampled_from(CLIENTS)),
        "emergencies": some.lists(an_emergency, max_size=3),
        "therapists": some.fixed_dictionaries(dict.fromkeys(COURSES, some.none() | person)),
        "restricted": some.dictionaries(some.sampled_from(COURSES), some.sets(person)),
        "facilitators": some.fixed_dictionaries(
            dict.fromkeys(GROUPS, some.lists(some.sets(person, min_size=1), min_size=1, max_size=2))
        ),
        "moves": some.fixed_dictionaries(
            dict.fromkeys(COURSES, some.lists(some.tuples(some.sampled_from(GROUPS), some.booleans()), max_size=2))
        ),
        "covers": some.lists(a_cover, max_size=4),
        "supervisors": some.sets(some.tuples(person, person), max_size=4),
    }
)


def client_of(course: str) -> str:
    return CLIENTS[0] if course in COURSES[:2] else CLIENTS[1]


def fill(connection: sa.Connection, organisation: str, clinic: dict) -> None:
    """The rows of a clinic, in an organisation of its own."""

    def insert(table: sa.Table, *rows: dict) -> None:
        if rows:
            connection.execute(sa.insert(table), [{"organisation": organisation, **row} for row in rows])

    plain = {"protocol": "ipt", "protocol_version": 2, "protocol_digest": "d", "state": "initial", "phase": None}
    more = {"active_acute": False, "version": 1, "head": "h", "last_recorded_at": NOW, "snapshot": b"{}"}
    insert(
        tables.course,
        *(
            {"id": each, "therapist": who, "client_id": client_of(each), "shared": each not in clinic["withheld"], **plain, **more}
            for each, who in clinic["therapists"].items()
        ),
    )
    marked = {"kind": "restriction", "ground": "unlawful", "set_by": "ann", "set_role": "admin", "set_at": NOW}
    insert(tables.client_mark, *({"id": each, "client_id": each, **marked} for each in clinic["processing"]))
    lifted = {"ended_at": NOW, "ended_by": "ann", "client_informed": True}
    insert(tables.client_mark, *({"id": f"{each}-lifted", "client_id": each, **marked, **lifted} for each in CLIENTS))
    told = {"told_by": "ann", "told_at": NOW}
    for group, named in clinic["facilitators"].items():
        for seq, people in enumerate(named, start=1):
            insert(tables.group_facilitator, *({"group_id": group, "seq": seq, "person": each, **told} for each in people))
    seqs = itertools.count(10)
    for course, moves in clinic["moves"].items():
        for nth, (group, joined) in enumerate(moves, start=1):
            where = {"course_id": course, "nth": nth, "group_id": group, "seq": next(seqs)}
            insert(tables.group_member, {**where, "joined": joined, "at": NOW, "reason": None, **told})
    for number, cover in enumerate(clinic["covers"]):
        ended = None if cover["ended"] is None else NOW + cover["ended"] * HOUR
        span = {"starts_at": NOW + cover["start"] * HOUR, "ends_at": NOW + cover["end"] * HOUR, "ended_at": ended}
        who = {"therapist": cover["therapist"], "colleague": cover["colleague"], "everything": cover["courses"] is None}
        made = {"client_told": True, "reason": "Leave", "set_by": "ann", "set_role": "therapist", "set_at": NOW, "ended_by": None}
        insert(tables.cover, {"id": str(number), **span, **who, **made})
        insert(tables.cover_course, *({"cover_id": str(number), "course_id": each} for each in cover["courses"] or ()))
    insert(tables.person_supervisor, *({"person": one, "supervisor": other} for one, other in clinic["supervisors"]))
    for course, people in clinic["restricted"].items():
        restriction = StoredRestriction(id=course, course_id=course, people=tuple(people), reason="Staff", set_by="ann", set_at=NOW)
        restrictions.restrict(connection, organisation, restriction)
    for number, taken in enumerate(clinic["emergencies"]):
        span = {"starts_at": NOW + taken["start"] * HOUR, "ends_at": NOW + taken["end"] * HOUR}
        why = {"role": "therapist", "via": "api", "code": "ETREAT", "restricted": False, "text_digest": "d"}
        insert(tables.emergency_access, {"id": str(number), "client_id": taken["client"], "person": taken["person"], **span, **why})
        insert(tables.emergency_end, *[{"access_id": str(number), "ended_at": NOW, "ended_by": "ann"}][: taken["ended"]])


def expected(clinic: dict, who: Viewer, course: str) -> Ties:
    """What ties somebody to a course, by a reading of the whole clinic."""
    therapist, moves = clinic["therapists"][course], clinic["moves"][course]
    group = moves[-1][0] if moves and moves[-1][1] else None
    covers = [
        each
        for each in clinic["covers"]
        if each["colleague"] == who.person
        and each["therapist"] == therapist
        and each["start"] <= 0 < each["end"]
        and each["ended"] is None
        and course in (each["courses"] or COURSES)
    ]
    return Ties(
        named=who.person in clinic["restricted"].get(course, ()),
        facilitates=group is not None and who.person in clinic["facilitators"][group][-1],
        covers=bool(covers),
        supervises=(therapist, who.person) in clinic["supervisors"],
        emergency=any(
            each["person"] == who.person
            and each["client"] == client_of(course)
            and each["start"] <= 0 < each["end"]
            and not each["ended"]
            for each in clinic["emergencies"]
        ),
    )


@pytest.fixture(scope="module")
def stored(server, tmp_path_factory):
    """An open database with the loop that runs it."""
    with asyncio.Runner() as runner:
        database = open_database(databases.empty(tmp_path_factory.mktemp("relations"), server).database_url)
        yield runner, database
        runner.run(database.close())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(clinic=a_clinic)
def test_lists_single_reads_and_the_predicate_agree(stored, clinic):
    runner, database = stored
    organisation = str(uuid.uuid4())
    runner.run(database.write(lambda connection: fill(connection, organisation, clinic), organisations=(organisation,)))

    def asked(connection: sa.Connection) -> list[tuple]:
        found = []
        for who in VIEWERS:
            sight, seen = relations.sight(connection, organisation, who, NOW), relations.values(organisation, who, NOW)
            ours = sa.select(tables.course.c.id).where(tables.course.c.organisation == organisation)
            ways = [ours.where(sa.true() if each is None else each) for each in (sight.condition, sight.walked)]
            ways.append(sight.some(sa.literal(len(COURSES) * 9)))  # one that is seen for several reasons may be found as often
            listed = [set(connection.execute(each, seen).scalars()) for each in ways]
            related = relations.relations_of(connection, organisation, who, COURSES, NOW)
            hides = relations.hides_any(connection, organisation, who)
            found.append((who, listed, related, hides))
        return found

    for who, listed, related, hides in runner.run(database.read(asked, organisations=(organisation,))):
        right = {
            course: found
            for course in COURSES
            if (
                found := relation(
                    who,
                    clinic["therapists"][course],
                    expected(clinic, who, course),
                    restricted=course in clinic["restricted"],
                    shared=course not in clinic["withheld"],
                    processing="unlawful" if client_of(course) in clinic["processing"] else None,
                )
            )
        }
        assert related == right, who
        assert listed == [set(right)] * 3, who
        withheld = clinic["withheld"] if who.bound_by_sharing else set()
        withheld |= {each for each in COURSES if client_of(each) in clinic["processing"]} if who.unrestricted else set()
        assert hides or set(right) == set(COURSES) - withheld, who
