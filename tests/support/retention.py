"""Clients whose records are due for retention, and the people who decide."""

import datetime as dt

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.course.triggers import Command
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.log_months import bounds
from ipt_workflow.service.privacy.policies import RetentionPolicies
from ipt_workflow.service.privacy.retention import NewRetentionDecision, Retention
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import log_months
from ipt_workflow.store import retention as stored
from ipt_workflow.store.log_months import StoredReaping
from ipt_workflow.values.faults import shaped
from support import service_walk

ADMIN = Principal(person="admin-1", role="admin", via="cli")
DECADES = dt.timedelta(days=21 * 366)  # after which an English record is due
ENDING = {"end_code": "11", "last_contact": "2026-01-05", "attempts": 2, "risk_status": "none"}
DEATH = {"end_code": "49", "last_contact": "2026-01-05"}


def policy(name: str = "england", **more: str) -> NewRetentionPolicy:
    """A floor of twenty years after the last contact, unless told otherwise."""
    given = {"kind": "record", "jurisdiction": "GB-ENG", "bound": "floor", "period": "P20Y", "anchor": "last_contact"}
    return shaped(NewRetentionPolicy, {"name": name, "citation": "The Code.", **given, **more})


async def adopt(clinic: Clinic, *policies: NewRetentionPolicy) -> None:
    for each in policies:
        await RetentionPolicies(clinic).adopt(ADMIN, lambda each=each: each)


async def closed(clinic: Clinic, ref: str, ending: dict = ENDING) -> str:
    """The id of a client whose only course was started, and has ended."""
    course = await service_walk.open_course(clinic, ref)
    await service_walk.walk(clinic, course, "record_consent", "start")
    await service_walk.fire(clinic, course, Command("end_early", ending, reason="They moved away."))
    client = await clinic.read(stored_courses.client_id, ref)
    assert client is not None
    return client


async def due(clinic: Clinic, *refs: str) -> list[str]:
    """The ids of clients whose records are due since the last weeks. The clock shows what it did before."""
    now = clinic.clock.now()
    clinic.clock.set(now - dt.timedelta(days=60))
    clients = [await closed(clinic, ref) for ref in refs]
    clinic.clock.set(now)
    await adopt(clinic, policy(period="P1M"))
    return clients


async def keep(clinic: Clinic, *clients: str) -> None:
    """Decides to keep records that are due."""
    given = {"decision": "keep", "ground": "claims", "until": clinic.clock.now().date().isoformat()}
    new = shaped(NewRetentionDecision, {**given, "clients": [{"client": each} for each in clients]})
    await Retention(clinic).decide(ADMIN, lambda: new)


async def walk(clinic: Clinic) -> None:
    """A policy that has ended, a decision, and a month of the audit log that was removed. Once more, others of each."""
    number = len(await clinic.read(stored.decisions, "", 10))
    clients = await due(clinic, f"EHR-due-{number}")
    await keep(clinic, *clients)
    await RetentionPolicies(clinic).end(ADMIN, policy().name)
    month = f"2020-0{number + 1}"
    starts, ends = bounds(month)
    reaped = StoredReaping(
        kind="access_log",
        month=month,
        starts_at=starts,
        ends_at=ends,
        records=0,
        policies="gone",
        positions=b"[]",
        checkpoint_size=0,
        checkpoint="",
        person=ADMIN.person,
        role=ADMIN.role,
        via=ADMIN.via,
        decided_at=clinic.clock.now(),
    )
    await clinic.write(log_months.reap, ("read",), reaped, clinic.event(ADMIN, "config", "audit log reaped"))
