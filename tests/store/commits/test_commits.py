"""One unit is written whole or not at all. A loser gets the error for its reason: version, open course, key or client."""

import asyncio
import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest
import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow import journal
from ipt_workflow.course import attention
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import StaleVersion
from ipt_workflow.machine import machine_for
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import tokens as stored_tokens
from ipt_workflow.store.commits import rows, single
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import (
    ActiveCourseExists,
    ClientTaken,
    CourseChange,
    DecidedProposal,
    KeptAnswer,
    KeyTaken,
    NewClient,
    Unit,
)

ORGANISATION = "default"
REFERRAL = Command("refer", {"source": "General practitioner", "indication": "depression"})


@pytest.fixture(scope="module")
def empty(tmp_path_factory, server):
    async def nothing(clinic):
        pass

    return service_walk.database(tmp_path_factory.mktemp("commit"), nothing, server)


@pytest.fixture
def store(empty, tmp_path):
    """Runs an async test with an open clinic on an empty database."""
    settings = databases.copy(empty, tmp_path)
    return lambda test: service_walk.with_clinic(settings, test)


def change(clinic, course_id="course-1", client="client-1", salt=b"0" * 16, organisation=ORGANISATION) -> CourseChange:
    """A referral as the machine accepts it, sealed."""
    protocol = clinic.protocol("ipt", None)
    context = clinic.context(
        service_walk.THERAPIST, clinic.clock.now(), course_id=course_id, client=client, therapist="therapist-1"
    )
    accepted = machine_for(protocol).fire(None, REFERRAL, context)
    return CourseChange(
        course=accepted.course, expected=0, entries=_sealed(accepted, course_id, salt, organisation=organisation), attention={}
    )


def next_change(clinic, before: CourseChange, trigger="record_consent", expected=None) -> CourseChange:
    """A note as the next entry."""
    machine = clinic.machine_of(before.course)
    command = Command("note", {"text": "She called."})
    accepted = machine.fire(before.course, command, clinic.context(service_walk.THERAPIST, clinic.clock.now()))
    entries = _sealed(accepted, before.course.id, b"1" * 16, before.entries[-1].hash)
    at = before.course.version if expected is None else expected
    return CourseChange(course=accepted.course, expected=at, entries=entries, attention={})


def _sealed(accepted, course_id, salt, prev=journal.GENESIS, organisation=ORGANISATION):
    return tuple(
        journal.seal(
            draft,
            organisation=organisation,
            entry_id=f"{course_id}-{draft.fact.seq}",
            prev_hash=prev,
            salt=salt,
        )
        for draft in accepted.drafts
    )


def unit(*changes, **more) -> Unit:
    return Unit(organisation=ORGANISATION, changes=changes, **more)


def answer(clinic, scope="key", course="course-1", hours=24) -> KeptAnswer:
    now = clinic.clock.now()
    return KeptAnswer(
        scope=scope,
        body="body",
        course_id=course,
        first_seq=1,
        last_seq=1,
        expires_at=now + dt.timedelta(hours=hours),
    )


async def contents(clinic) -> dict[str, list[tuple]]:
    def everything(connection):
        return {
            name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for name, table in tables.METADATA.tables.items()
        }

    return await clinic.database.read(everything)


async def loses(clinic, wrong: Unit, error: type[Exception]) -> Exception:
    """The unit raises, and leaves every table as it was."""
    before = await contents(clinic)
    with pytest.raises(error) as raised:
        await clinic.database.write(single.commit, wrong)
    assert await contents(clinic) == before
    return raised.value


def test_a_unit_writes_course_client_entry_sealed_document_outbox_and_answer_together(store):
    async def test(clinic):
        made = change(clinic)
        await clinic.database.write(single.commit, unit(made, client=NewClient("client-1", "EHR-1"), answer=answer(clinic)))
        found = await contents(clinic)
        assert {name: len(found[name]) for name in ("course", "client", "entry", "entry_data", "outbox", "idempotency")} == {
            "course": 1,
            "client": 1,
            "entry": 1,
            "entry_data": 1,
            "outbox": 1,
            "idempotency": 1,
        }
        stored = await clinic.courses.get("course-1")
        assert stored.course == made.course
        assert stored.client_ref == "EHR-1"
        assert stored.head == made.entries[-1].hash
        assert await clinic.entries("course-1") == list(made.entries)

    store(test)


@pytest.mark.parametrize("table", ("idempotency", "client", "course", "entry", "entry_data", "outbox"))
def test_a_part_that_fails_takes_everything_else_with_it(store, table):
    async def test(clinic):
        def sabotage(connection):
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(
                    f"CREATE TRIGGER sabotage BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'out of order'); END"
                )
                return
            connection.exec_driver_sql(
                "CREATE FUNCTION sabotage() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'out of order'; END$$"
            )
            connection.exec_driver_sql(f"CREATE TRIGGER sabotage BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION sabotage()")

        await clinic.database.write(sabotage)
        whole = unit(change(clinic), client=NewClient("client-1", "EHR-1"), answer=answer(clinic))
        await loses(clinic, whole, Exception)

    store(test)


def test_a_course_that_loses_takes_the_other_course_of_its_unit_with_it(store):
    async def test(clinic):
        first = change(clinic)
        await clinic.database.write(single.commit, unit(first))
        stale = next_change(clinic, first, expected=5)
        await loses(clinic, unit(change(clinic, "course-2", "client-2"), stale), StaleVersion)

    store(test)


def test_a_proposal_that_was_decided_meanwhile_takes_its_entry_with_it(store):
    async def test(clinic):
        first = change(clinic)
        await clinic.database.write(single.commit, unit(first))
        decided = DecidedProposal(id="gone", by="supervisor-1", at=clinic.clock.now(), status="cosigned", entry_seq=2)
        await loses(clinic, unit(next_change(clinic, first), proposal=decided), StaleVersion)

    store(test)


def test_a_write_on_an_old_version_is_stale_and_the_error_names_the_current_one(store):
    async def test(clinic):
        first = change(clinic)
        await clinic.database.write(single.commit, unit(first))
        second = next_change(clinic, first)
        await clinic.database.write(single.commit, unit(second))
        error = await loses(clinic, unit(next_change(clinic, first)), StaleVersion)
        assert error.current == 2

    store(test)


def test_a_write_to_a_course_that_is_not_there_is_stale(store):
    async def test(clinic):
        await loses(clinic, unit(next_change(clinic, change(clinic))), StaleVersion)

    store(test)


def test_a_course_that_is_opened_twice_under_one_id_is_stale(store):
    async def test(clinic):
        first = change(clinic)
        await clinic.database.write(single.commit, unit(first))
        again = change(clinic, client="client-2")
        await loses(clinic, unit(again), StaleVersion)

    store(test)


def test_a_second_open_acute_course_of_a_client_is_refused(store):
    async def test(clinic):
        await clinic.database.write(single.commit, unit(change(clinic)))
        await loses(clinic, unit(change(clinic, "course-2", salt=b"2" * 16)), ActiveCourseExists)

    store(test)


def test_a_client_of_another_organisation_does_not_stand_in_the_way(store):
    async def test(clinic):
        made = change(clinic)
        await clinic.database.write(single.commit, unit(made, client=NewClient("client-1", "EHR-1")))
        elsewhere = Unit(
            organisation="other", changes=(change(clinic, "course-2", organisation="other"),), client=NewClient("client-1", "EHR-1")
        )
        await clinic.database.write(single.commit, elsewhere, organisations=elsewhere.organisations)

    store(test)


def test_a_key_that_was_used_first_by_another_request_is_taken(store):
    async def test(clinic):
        await clinic.database.write(single.commit, unit(change(clinic), answer=answer(clinic)))
        await loses(clinic, unit(change(clinic, "course-2", "client-2"), answer=answer(clinic, course="course-2")), KeyTaken)

    store(test)


def test_a_key_is_free_again_when_its_answer_has_expired(store):
    async def test(clinic):
        await clinic.database.write(single.commit, unit(change(clinic), answer=answer(clinic, hours=1)))
        clinic.clock.advance(dt.timedelta(hours=1))
        await clinic.database.write(
            single.commit, unit(change(clinic, "course-2", "client-2"), answer=answer(clinic, course="course-2"))
        )
        kept = await clinic.kept_answer("key")
        assert kept.course_id == "course-2"

    store(test)


def test_answers_that_have_expired_are_forgotten_and_no_others(store):
    async def test(clinic):
        await clinic.database.write(single.commit, unit(change(clinic), answer=answer(clinic, hours=1)))
        longer = answer(clinic, scope="another key", course="course-2", hours=2)
        await clinic.database.write(single.commit, unit(change(clinic, "course-2", "client-2"), answer=longer))
        clinic.clock.advance(dt.timedelta(hours=1))
        assert await clinic.database.write(single.forget_answers, ORGANISATION, clinic.clock.now()) == 1
        assert await clinic.kept_answer("key") is None
        assert (await clinic.kept_answer("another key")).course_id == "course-2"

    store(test)


def test_a_client_whose_record_was_made_first_by_another_is_taken(store):
    async def test(clinic):
        await clinic.database.write(single.commit, unit(change(clinic), client=NewClient("client-1", "EHR-1")))
        await loses(clinic, unit(change(clinic, "course-2", "client-2"), client=NewClient("client-2", "EHR-1")), ClientTaken)

    store(test)


def test_times_come_back_aware_and_in_utc_whatever_zone_they_were_written_in(store):
    async def test(clinic):
        berlin = clinic.clock.now().astimezone(ZoneInfo("Europe/Berlin"))
        made = msgspec.structs.replace(change(clinic), attention=dict.fromkeys(attention.KINDS, berlin))
        await clinic.database.write(single.commit, unit(made, client=NewClient("client-1", "EHR-1"), answer=answer(clinic)))

        def moments(connection):
            for name in ("course", "entry", "client", "idempotency", "outbox", "protocol"):
                for row in connection.execute(sa.select(tables.METADATA.tables[name])):
                    yield from (value for value in row if isinstance(value, dt.datetime))

        found = await clinic.database.read(lambda connection: list(moments(connection)))
        assert len(found) >= 15
        assert {moment.tzinfo for moment in found} == {dt.UTC}
        assert (await clinic.database.read(lambda c: c.execute(sa.select(tables.course.c.risk_from)).scalar())) == berlin

    store(test)


def test_a_time_without_a_zone_is_not_taken(store):
    async def test(clinic):
        naive = msgspec.structs.replace(change(clinic), attention={"risk": dt.datetime(2026, 1, 5)})
        await loses(clinic, unit(naive), sa.exc.StatementError)

    store(test)


def enums() -> list[sa.Column]:
    return [column for table in tables.METADATA.tables.values() for column in table.columns if isinstance(column.type, sa.Enum)]


def test_every_role_kind_and_status_is_checked_by_the_database(store):
    """The CHECK lists exactly the values that the column may hold, and the database holds to it."""
    assert {column.name for column in enums()} >= {"role", "kind", "status", "proposed_role"}

    async def test(clinic):
        for column in enums():
            for value in (*column.type.enums, "impostor", "", column.type.enums[0].upper()):
                assert await clinic.database.write(_takes, column, value, organisations=("x",)) == (value in column.type.enums), (
                    column,
                    value,
                )

    store(test)


def _takes(connection, column, value) -> bool:
    """Whether the database takes a row with this value. The row is not kept."""
    unchecked = sa.table(
        column.table.name,
        *(sa.column(other.name, sa.String if isinstance(other.type, sa.Enum) else other.type) for other in column.table.columns),
    )
    row = {other.name: other.type.enums[0] if isinstance(other.type, sa.Enum) else _some(other) for other in column.table.columns}
    attempt = connection.begin_nested()
    try:
        connection.execute(sa.insert(unchecked), {**row, column.name: value})
    except sa.exc.IntegrityError:
        return False
    else:
        return True
    finally:
        attempt.rollback()


def _some(column: sa.Column) -> object:
    values = {
        sa.Boolean: True,
        sa.Integer: 1,
        sa.LargeBinary: b"x",
        sa.DateTime: service_walk.START,
        sa.Date: service_walk.START.date(),
    }
    for kind, value in values.items():
        if isinstance(column.type.dialect_impl(sa.dialects.sqlite.dialect()), kind) or isinstance(
            getattr(column.type, "impl", None), kind
        ):
            return value
    return "x"


OF_THE_INSTALLATION = {"authentication_failure", "organisation"}  # who fails to authenticate belongs to no organisation
OTHERWISE_FIRST = {"ix_delivery_waiting": "subscription_id", "ix_delivery_in_lane": "subscription_id"}  # see `claims.within`
OTHERWISE_FIRST |= {
    "ix_token_id": "id",
    "ix_sign_in_session_id": "id",
    "ix_token_secret_hash": "secret_hash",
}  # a credential tells the organisation


def test_every_table_is_keyed_by_organisation_first():
    for name, table in tables.METADATA.tables.items():
        if name in OF_THE_INSTALLATION:
            continue
        assert next(iter(table.primary_key.columns)).name == "organisation", name
        for index in table.indexes:
            first = OTHERWISE_FIRST.get(index.name, "organisation")
            assert next(iter(index.columns)).name == first, index.name
        for constraint in table.constraints:
            if isinstance(constraint, sa.UniqueConstraint):
                assert next(iter(constraint.columns)).name == "organisation", constraint


def test_one_entry_a_seq_is_kept_by_the_key_even_without_the_service(store):
    async def test(clinic):
        first = change(clinic)
        await clinic.database.write(single.commit, unit(first))
        second = next_change(clinic, first)

        def write_without_the_course(connection):
            connection.execute(
                sa.insert(tables.entry), [{**rows.entry_columns(entry), "canonical": entry.canonical} for entry in second.entries]
            )

        await clinic.database.write(write_without_the_course)
        with pytest.raises(sa.exc.IntegrityError):
            await clinic.database.write(write_without_the_course)

    store(test)


def test_a_write_that_raises_leaves_the_database_open_for_the_next(store):
    async def test(clinic):
        def broken(connection):
            connection.execute(
                sa.insert(tables.client), {"organisation": "o", "id": "x", "ref": "r", "created_at": clinic.clock.now()}
            )
            raise RuntimeError("stop")

        with pytest.raises(RuntimeError):
            await clinic.database.write(broken, organisations=("o",))
        assert await clinic.database.read(stored_courses.client_id, "o", "r", organisations=("o",)) is None
        await asyncio.gather(*(clinic.database.read(stored_tokens.every, ORGANISATION) for _ in range(20)))
        await clinic.database.write(single.commit, unit(change(clinic)))

    store(test)
