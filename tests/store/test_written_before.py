"""A database written by earlier code is read, verified and continued by today's code, on both databases.

`written_before/` was written once, by the code of the revision it names; never write it again. `rows.json` holds every row of a
database, one on a line, in the form that a SQLite file keeps; a column that is not listed is NULL. `sent.json` holds the requests of the
waiting deliveries, `requests.json` earlier requests that the tests send again.
"""

import asyncio
import datetime as dt
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic import command as alembic
from sqlalchemy.dialects import sqlite
from standardwebhooks import Webhook
from support import databases, service_walk

from ipt_workflow import groups, journal
from ipt_workflow.course import Course
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import events
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.ehr.deliveries.sender import SendResult
from ipt_workflow.gate import replay
from ipt_workflow.journal import Sealed, Written
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service import imports
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.protocols.migration import Mover
from ipt_workflow.service.protocols.replay import Trial
from ipt_workflow.service.upgrade import upgrade
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.commits import rows
from ipt_workflow.store.notices import NoticeDetail
from ipt_workflow.store.schema import migrate, tables
from ipt_workflow.values.canonical import canonical

FOLDER = Path(__file__).parent / "written_before"
ROWS, SENT, REQUESTS = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("rows", "sent", "requests"))
TABLES = [tables.METADATA.tables[name] for name, known in ROWS.items() if known and name != "alembic_version"]
NOW = dt.datetime(2026, 3, 3, 16, 0, tzinfo=dt.UTC)  # soon after the last row was written, so nothing has expired
SECRET = "NotASecret" * 4
TOKEN = f"ipt_{1:016x}_{SECRET}001"
LOST_TOKEN = f"ipt_{6:016x}_{SECRET}006"
BEARER = "NotASecretEither" * 3
MADE_AGAIN = {  # snapshots take the form of today, attention today's rules, digests of messages are keyed, a Patient's name is not kept
    "course": {"snapshot", "ending_from"},
    "notice": {"key", "body_hash", "resource"},
}
SQLITE = sqlite.dialect()
VECTORS = Path(__file__).parents[1] / "vectors" / "fhir-backport"


def rows_where(table: str, **where: Any) -> list[dict[str, Any]]:
    """The rows that have these values."""
    return [row for row in ROWS[table] if all(row.get(name) == value for name, value in where.items())]


def one(table: str, **where: Any) -> dict[str, Any]:
    (row,) = rows_where(table, **where)
    return row


def course_with(ref: str) -> str:
    """The id of a client's only course."""
    return one("course", client_id=one("client", ref=ref)["id"])["id"]


# Putting it into a database


def filled(folder: Path, server: str | None) -> Settings:
    """A database of the revision that wrote the rows, filled with them and brought to this version's tables."""
    url = databases.create(server) if server else f"sqlite:///{folder / 'written.db'}"

    async def fill() -> None:
        database = databases.opened(url)
        await database.write(_fill, databases.settings_of(url))
        await database.close()

    asyncio.run(fill())
    return databases.settings_of(url)


def _fill(connection: sa.Connection, settings: Settings) -> None:
    alembic.upgrade(migrate._config(connection), one("alembic_version")["version_num"])
    for table in TABLES:
        for row in ROWS[table.name]:
            columns = sa.table(table.name, *(sa.column(name, table.c[name].type) for name in row))  # those of that revision
            connection.execute(sa.insert(columns), {name: _value(table.c[name], value) for name, value in row.items()})
    upgrade(connection, settings)


def _value(column: sa.Column[Any], stored: Any) -> Any:
    """A value from the form that SQLite stores."""
    if stored is not None and isinstance(column.type, sa.LargeBinary):
        return stored.encode()
    read = column.type.dialect_impl(SQLITE).result_processor(SQLITE, None)
    return read(stored) if read else stored


@pytest.fixture(scope="module")
def written(tmp_path_factory, server):
    return filled(tmp_path_factory.mktemp("written"), server)


@pytest.fixture(scope="module")
def read(written, tmp_path_factory):
    """Runs a coroutine function on a clinic over a copy that the tests share. They only read, which adds to the audit log."""
    settings = databases.copy(written, tmp_path_factory.mktemp("read"))
    return lambda work: service_walk.with_clinic(settings, work, VirtualClock(NOW))


@pytest.fixture
def settings(written, tmp_path):
    """A copy for one test."""
    return databases.copy(written, tmp_path)


@pytest.fixture
def opened(settings):
    """Runs a coroutine function on a clinic over the test's copy."""
    return lambda work: service_walk.with_clinic(settings, work, VirtualClock(NOW))


@pytest.fixture
def served(api):
    """Runs a coroutine function with an `Api` over the test's copy, then verifies everything."""

    def run(test: Callable[..., Any]) -> None:
        async def inside(api):
            await test(api)
            verified = (await api.get("/v1/audit/verify", "auditor")).json()
            assert verified["ok"], verified

        api(inside, VirtualClock(NOW))

    return run


async def count(api, table: str) -> int:
    chosen = sa.select(sa.func.count()).select_from(tables.METADATA.tables[table])
    return await api.clinic.database.read(lambda connection: connection.execute(chosen).scalar())


async def ask_again(api, name: str):
    """Sends an earlier request again, byte for byte, by the same person."""
    request = REQUESTS[name]
    headers = {**api.headers("therapist"), "content-type": "application/json", **request["headers"]}
    return await api.client.post(request["path"], content=request["body"].encode(), headers=headers)


# The forms


def in_order(table: sa.Table) -> list[dict[str, Any]]:
    """Its rows by their keys, each with every column that any of them has, but for those that a migration makes again."""
    names = dict.fromkeys(name for row in ROWS[table.name] for name in row if name not in MADE_AGAIN.get(table.name, ()))
    known = [{name: row.get(name) for name in names} for row in ROWS[table.name]]
    return sorted(known, key=lambda row: [row[column.name] for column in table.primary_key.columns])


def test_every_row_is_found_with_the_values_that_were_written(written):
    def look(connection):
        for table in TABLES:
            known = in_order(table)
            chosen = sa.select(*(table.c[name] for name in known[0]))
            key = [column.name for column in table.primary_key.columns]
            found = sorted((dict(row._mapping) for row in connection.execute(chosen)), key=lambda row: [row[name] for name in key])
            assert found == [{name: _value(table.c[name], value) for name, value in row.items()} for row in known]

    async def inside():
        database = databases.opened(written.database_url)
        await database.read(look)
        await database.close()

    asyncio.run(inside())


def test_a_file_keeps_every_value_in_the_form_it_had(tmp_path):
    settings = filled(tmp_path, None)
    for table in TABLES:
        known = in_order(table)
        names = ", ".join(f'"{name}"' for name in known[0])
        key = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
        kept = databases.select(settings, f'SELECT {names} FROM "{table.name}" ORDER BY {key}')
        assert [[each.decode() if isinstance(each, bytes) else each for each in row] for row in kept] == [
            list(row.values()) for row in known
        ]


def _json(shape: Any) -> Callable[[str], bytes]:
    return lambda text: msgspec.json.encode(msgspec.json.decode(text, type=shape))


def _canonical(shape: Any) -> Callable[[str], bytes]:
    return lambda text: canonical(msgspec.to_builtins(msgspec.json.decode(text, type=shape)))


def _snapshot(text: str) -> bytes:
    return rows.snapshot(msgspec.json.decode(text, type=Course))


def _entry(text: str) -> bytes:
    """Moments have microseconds in an entry, whether there are any or not."""
    entry = msgspec.json.decode(text, type=Written)
    moments = {name: journal.moment(getattr(entry, name)) for name in ("occurred_at", "recorded_at")}
    return canonical({**msgspec.to_builtins(entry), **moments})


def _event(text: str) -> bytes:
    event = msgspec.json.decode(text, type=events.WebhookEvent)
    return msgspec.json.encode(msgspec.structs.replace(event, data=msgspec.convert(event.data, events.shape(event.type))))


FORMS: dict[str, tuple[Callable[[str], bytes], list[Any]]] = {
    "course": (_snapshot, [row["snapshot"] for row in ROWS["course"]]),
    "entry": (_entry, [row["canonical"] for row in ROWS["entry"]]),
    "sealed document": (_canonical(Sealed), [row["sealed"] for row in ROWS["entry_data"] if "sealed" in row]),
    "refused command": (_json(replay.RefusedCommand), [row["command"] for row in ROWS["audit_event"] if "command" in row]),
    "proposed command": (_json(Command), [row["body"] for row in ROWS["proposal"] if "body" in row]),
    "held record": (_json(groups.HeldRecord), [row["body"] for row in rows_where("notice", source_id="group")]),
    "why a notice waits": (
        _json(NoticeDetail),
        [row["detail"] for row in ROWS["notice"] if "detail" in row],
    ),
    "group session": (_json(dict[str, groups.MemberAttendance]), [row["told"] for row in ROWS["group_session"]]),
    "subscription's types": (_json(tuple[str, ...]), [row["types"] for row in ROWS["subscription"]]),
    "subscription's courses": (_json(tuple[str, ...]), [row["courses"] for row in ROWS["subscription"] if "courses" in row]),
    "event": (_event, [each["body"] for each in SENT]),
}


@pytest.mark.parametrize("form", FORMS)
def test_what_was_decoded_is_encoded_to_the_bytes_it_had(form):
    again, stored = FORMS[form]
    assert stored
    for text in stored:
        assert again(text) == text.encode()


# Courses


def test_all_of_it_verifies(read):
    async def work(clinic):
        found = await AuditLog(clinic).verify(service_walk.AUDITOR)
        assert (found.ok, found.courses, found.checked, found.erased) == (True, len(ROWS["course"]), len(ROWS["entry"]), 1)
        assert (await AuditLog(clinic).verify(service_walk.AUDITOR, chains_only=True)).ok

    read(work)


def test_every_course_is_the_fold_of_its_journal(read):
    async def work(clinic):
        for row in ROWS["course"]:
            stored, replayed = await clinic.courses.get(row["id"]), journal.replay(await clinic.entries(row["id"]))
            assert replayed == stored.course
            assert says(json.loads(rows.snapshot(replayed)), json.loads(row["snapshot"]))

    read(work)


def says(now: Any, before: Any) -> bool:
    """Whether a snapshot says all that an older one said. It may say more."""
    if isinstance(before, dict):
        return all(name in now and says(now[name], value) for name, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(says(*pair) for pair in zip(now, before, strict=True))
    return now == before


def test_a_course_goes_on(served):
    async def test(api):
        course = course_with("EHR-1")
        answer = await api.fire(course, "review_risk", {"level": "monitored"}, reason="Seen again.")
        assert answer.status_code == 201, answer.text
        assert answer.json()["entry"]["seq"] == one("course", id=course)["version"] + 1

    served(test)


def test_a_course_goes_on_under_a_protocol_that_is_in_no_file_any_more(served):
    """It allows of five sessions in a phase where the version that there is a file of allows of three."""

    async def test(api):
        course = course_with("EHR-4")
        assert one("course", id=course)["protocol_version"] == 99
        assert ("ipt", 99) not in api.clinic.catalogue.protocols
        answer = await api.example(course, "record_session")
        assert answer.status_code == 201, answer.text
        assert len(answer.json()["course"]["sessions"]) == 5

    served(test)


def test_courses_of_version_one_can_be_moved_to_the_version_that_ships_and_go_on(opened):
    async def work(clinic):
        old, new = next(each for each in clinic.protocols if each.key == "ipt@1"), clinic.protocol("ipt", 2)
        assert (old.attention, new.attention.misses) == (None, 2)
        plans = [each async for batch in Mover(clinic, old, new).plans(service_walk.SUPERVISOR) for each in batch]
        assert {plan.move.kind for plan in plans} == {"carries_over"}
        moving = Mover(clinic, old, new).move_clean(service_walk.SUPERVISOR, "The numbers follow their sources.")
        results = [each async for batch in moving for each in batch]
        assert {each.became for each in results} == {"moved"}
        assert (await AuditLog(clinic).verify(service_walk.AUDITOR)).ok

    opened(work)


def test_a_new_course_cannot_be_opened_under_version_one_and_is_told_what_there_is(served):
    async def test(api):
        body = {"client_ref": "EHR-NEW", "protocol": "ipt", "protocol_version": 1, "data": {"source": "General practitioner"}}
        (fault,) = (await api.post("/v1/courses", body)).json()["errors"]
        assert fault["where"] == "protocol"
        assert "ipt@2" in fault["message"]
        assert (await api.open("EHR-NEW"))["protocol_version"] == 2
        group = await api.open("EHR-GROUP", protocol="ipt-group", protocol_version=1)  # for a group that runs under version 1
        assert group["protocol_version"] == 1

    served(test)


def test_refused_commands_are_replayed(read):
    async def work(clinic):
        (candidate,) = (each for each in clinic.protocols if each.key == "ipt@99")
        tried = await Trial(clinic, candidate).run(service_walk.AUDITOR)
        assert (tried.refusals, tried.not_judged, list(tried.allowed_by)) == (3, 0, ["phase_session_cap"])
        assert tried.newly_refused == 0

    read(work)


def test_a_proposal_that_waits_is_cosigned(served):
    async def test(api):
        (waits,) = (await api.get("/v1/proposals?status=waiting", "supervisor")).json()["items"]
        known = one("proposal", status="waiting")
        assert (waits["id"], waits["command"]) == (known["id"], json.loads(known["body"]))
        answer = await api.post(f"/v1/proposals/{waits['id']}/cosign", role="supervisor")
        assert answer.status_code == 201, answer.text
        entry = answer.json()["entry"]
        assert (entry["trigger"], entry["actor"]["person"], entry["cosigned_by"]) == (
            "extend_phase",
            "therapist-1",
            "supervisor-1",
        )

    served(test)


def test_the_audit_log_has_every_record_and_every_entry(read):
    async def work(clinic):
        page = await AuditLog(clinic).page(service_walk.AUDITOR, AuditFilters(), Position(), 1000)
        kept = [record.id for record in page if record.recorded_at < NOW]
        assert sorted(kept) == sorted(row["id"] for table in ("audit_event", "entry") for row in ROWS[table])

    read(work)


# Answers that were kept


@pytest.mark.parametrize("name", ("note", "session"))
def test_a_request_sent_again_under_its_key_gets_its_answer_again_and_writes_nothing(served, name):
    async def test(api):
        answer = await ask_again(api, name)
        assert (answer.status_code, answer.headers["idempotent-replayed"]) == (201, "true"), answer.text
        kept = one("idempotency", body=hashlib.sha256(REQUESTS[name]["body"].encode()).hexdigest())
        assert answer.headers["etag"] == f'"{kept["last_seq"]}"'
        if name == "note":
            assert answer.json()["entry"]["id"] == one("entry", course_id=kept["course_id"], seq=kept["last_seq"])["id"]
        else:
            session = one("group_session", group_id=kept["course_id"], seq=kept["last_seq"])
            became = {course: each["seq"] for course, each in answer.json()["session"]["attendance"].items()}
            assert answer.json()["session"]["id"] == session["id"]
            assert became == {course: each.get("seq") for course, each in json.loads(session["told"]).items()}
        assert await count(api, "entry") == len(ROWS["entry"]) + 1  # the notice that had not been acted on

    served(test)


def test_lines_that_were_imported_are_known(opened):
    async def work(clinic):
        lines = [line.encode() for line in REQUESTS["import"]]
        report = await imports.run(clinic, [*lines, lines[-1]])
        assert (report.accepted, report.known, report.refused) == (1, 3, [])

    opened(work)


# Groups


def test_what_a_members_course_refused_is_retried_from_the_inbox(served):
    async def test(api):
        known = one("notice", source_id="group")
        path = f"/v1/notices/{known['id']}"
        waits = (await api.get(path)).json()
        record = json.loads(known["body"])
        assert (waits["status"], waits["content"], waits["proposes"]["trigger"]) == ("waiting", record, "record_session")
        assert [refusal["rule"] for refusal in waits["refusals"]] == ["attendance_fits_state"]

        before = (dt.datetime.fromisoformat(record["data"]["occurred_at"]) - dt.timedelta(hours=1)).isoformat()
        options = await api.options(known["course_id"])
        for trigger in ("record_consent", "start"):
            answer = await api.fire(known["course_id"], trigger, options[trigger]["example"]["data"], occurred_at=before)
            assert answer.status_code == 201, answer.text
        done = (await api.post(f"{path}/resolve", {"action": "retry"})).json()
        assert (done["status"], done["content"]) == ("applied", None), done
        group = (await api.get(f"/v1/groups/{record['group']}")).json()
        assert group["sessions"][0]["attendance"][known["course_id"]]["seq"] == done["seq"]

    served(test)


# Notices


def test_notices_that_wait_are_in_the_inbox_and_can_be_dismissed(served):
    async def test(api):
        listed = (await api.get("/v1/notices?status=waiting", "supervisor")).json()["items"]
        assert [each["id"] for each in listed] == [row["id"] for row in rows_where("notice", status="waiting")]
        for each in listed:
            detail = json.loads(one("notice", id=each["id"])["detail"])
            assert {name: each[name] for name in detail} == detail
            dismissal = {"action": "dismiss", "reason": "Seen to."}
            done = (await api.post(f"/v1/notices/{each['id']}/resolve", dismissal, "supervisor")).json()
            assert (done["status"], done["why"]) == ("dismissed", "Seen to.")

    served(test)


@pytest.mark.parametrize(("kind", "ref"), (("measure.completed", "EHR-99"), ("fhir.Encounter", "EHR-97")))
def test_a_notice_that_waited_for_its_course_is_applied_once_there_is_one(served, kind, ref):
    async def test(api):
        course = await api.open(ref, occurred_at="2026-02-02T09:00:00Z")
        options = await api.options(course["id"])
        for trigger in ("record_consent", "start"):
            at = {"occurred_at": "2026-02-02T10:00:00Z"}
            assert (await api.fire(course["id"], trigger, options[trigger]["example"]["data"], **at)).status_code == 201
        known = one("notice", client_id=one("client", ref=ref)["id"], type=kind)
        done = (await api.post(f"/v1/notices/{known['id']}/resolve", {"action": "retry"}, "supervisor")).json()
        assert (done["status"], done["course"], done["seq"]) == ("applied", course["id"], 4), done

    served(test)


def test_a_notice_that_was_put_down_and_not_acted_on_is_acted_on_at_the_start(served):
    async def test(api):
        known = one("notice", status="received")
        found = (await api.get(f"/v1/notices/{known['id']}", "supervisor")).json()
        assert (found["status"], found["course"]) == ("applied", course_with("EHR-31"))
        assert found["seq"] == one("course", id=found["course"])["version"] + 1

    served(test)


def test_a_notice_that_came_before_is_known_when_it_comes_again(served):
    async def test(api):
        request = REQUESTS["notice"]
        message, body = request["headers"]["webhook-id"], request["body"]
        signature = Webhook(f"whsec_{SECRET}").sign(message, NOW, body)
        headers = {
            "webhook-id": message,
            "webhook-timestamp": str(int(NOW.timestamp())),
            "webhook-signature": signature,
            "content-type": "application/json",
        }
        answer = await api.client.post(request["path"], content=body.encode(), headers=headers)
        known = one("notice", type="referral.received")
        assert (answer.status_code, answer.json()) == (202, {"id": known["id"], "status": "applied"})
        assert await count(api, "notice") == len(ROWS["notice"])

    served(test)


def test_a_feed_goes_on_where_it_was(served):
    async def test(api):
        text = (VECTORS / "Bundle-r4-notification-id-only.json").read_text(encoding="utf-8")
        later = text.replace('"valueString": "2"', '"valueString": "4"').replace("86009987", "86009988")
        headers = {"authorization": f"Bearer {BEARER}", "content-type": "application/fhir+json"}
        answer = await api.client.post("/v1/ehr/fhir/south", content=later.encode(), headers=headers)
        assert answer.status_code == 202, answer.text
        listed = (await api.get("/v1/notices?status=waiting&limit=200", "supervisor")).json()["items"]
        missing = [each["content"]["missing"] for each in listed if "missing" in (each["content"] or {})]
        assert [(each["event"], each["to"]) for each in missing] == [(3, 3)]

    served(test)


# Deliveries


class Sender:
    """Sends nothing, and keeps what was to be sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str], bytes]] = []

    async def send(self, url, headers, body, now):
        self.sent.append((url, headers, body))
        return SendResult(status=200)

    async def close(self):
        pass


def test_deliveries_that_waited_are_sent_as_they_were_to_be_and_signed_by_the_keys_that_were_given(opened):
    async def work(clinic):
        sender = Sender()
        await Relay(clinic, sender).drain()
        made = [{"url": url, "id": headers["webhook-id"], "body": body.decode()} for url, headers, body in sender.sent]
        assert [each for each in SENT if each not in made] == []
        assert len({(each["url"], each["id"]) for each in made}) == len(made)
        for url, headers, body in sender.sent:
            subscription = one("subscription", url=url)
            keys = [
                signatures.read_key(key["secret"].removeprefix("plain:"))
                for key in rows_where("subscription_key", subscription_id=subscription["id"])
            ]
            assert len(headers["webhook-signature"].split()) == len(keys)
            for key in keys:
                signatures.verify(headers, body, [key], NOW)
        assert await clinic.database.read(_left_waiting) == {row["id"] for row in ROWS["subscription"] if row["status"] != "active"}

    opened(work)


def _left_waiting(connection) -> set[str]:
    """The subscriptions that deliveries still wait for."""
    waiting = sa.select(tables.delivery.c.subscription_id).where(tables.delivery.c.status == "waiting")
    return set(connection.execute(waiting).scalars())


# Tokens


def test_a_token_that_was_given_opens_the_service_and_one_that_was_revoked_does_not(served):
    async def test(api):
        answers = [
            await api.client.get("/v1/courses", headers={"authorization": f"Bearer {token}"}) for token in (TOKEN, LOST_TOKEN)
        ]
        assert [answer.status_code for answer in answers] == [200, 401]
        assert course_with("EHR-1") in {each["id"] for each in answers[0].json()["items"]}

    served(test)
