"""Two services on one database, as two processes would be: a notice to both has one effect. On both databases."""

import asyncio

from support import databases, service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.sources import NewSource, Sources, VerifiedSender
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.store import sources

OPERATOR = service_walk.SUPERVISOR.__class__(person="operator", role="admin", via="cli")


def test_a_notice_that_comes_to_both_at_once_has_one_effect(tmp_path, server):
    settings = databases.empty(tmp_path, server)

    async def both():
        clock = VirtualClock(service_walk.START)
        clinics = [await open_clinic(settings, clock) for _ in range(2)]
        try:
            course_id = await service_walk.open_course(clinics[0])
            await service_walk.walk(clinics[0], course_id, "record_consent", "start")
            await Sources(clinics[0]).add(OPERATOR, lambda: NewSource(id="north"))
            source = await clinics[0].database.read(sources.find, "default", "north")
            services = [Notices(clinic) for clinic in clinics]
            at = clock.now().isoformat()
            body = f'{{"type": "appointment.fulfilled", "timestamp": "{at}", "data": {{"client_ref": "EHR-1", "ref": "A/1", "start": "{at}"}}}}'.encode()
            clock.advance(service_walk.dt.timedelta(hours=1))

            def take(index: int, key: str):
                return services[index % 2].receive(VerifiedSender(source, "standard-webhooks", key), body, None, None)

            same = await asyncio.gather(*(take(index, "msg_1") for index in range(8)))
            others = await asyncio.gather(*(take(index, f"msg_{index + 2}") for index in range(6)))
            stored = await clinics[0].courses.get(course_id)
            sealed = await service_walk.fire(clinics[1], course_id, Command("note", {"text": "x"}))
            return same, others, stored.course, sealed
        finally:
            for clinic in clinics:
                await clinic.installation.close()

    same, others, course, _ = asyncio.run(both())
    assert {receipt.id for receipt in same} == {same[0].id}
    assert {receipt.status for receipt in same} == {"applied"}
    assert {(receipt.id, receipt.status) for receipt in others} == {(same[0].id, "applied")}  # the same content: repeats
    assert [session.ref for session in course.sessions] == ["A/1"]


def test_the_same_new_client_in_notices_to_both_at_once_has_one_record(tmp_path, server):
    settings = databases.empty(tmp_path, server)

    async def both():
        clinics = [await open_clinic(settings, VirtualClock(service_walk.START)) for _ in range(2)]
        try:
            await Sources(clinics[0]).add(OPERATOR, lambda: NewSource(id="north"))
            source = await clinics[0].database.read(sources.find, "default", "north")
            services = [Notices(clinic) for clinic in clinics]
            body = b'{"type": "consent.given", "timestamp": "2026-01-05T09:00:00Z", "data": {"client_ref": "EHR-9", "scope": "treatment"}}'
            return await asyncio.gather(
                *(
                    services[index % 2].receive(VerifiedSender(source, "standard-webhooks", f"msg_{index}"), body, None, None)
                    for index in range(8)
                )
            )
        finally:
            for clinic in clinics:
                await clinic.installation.close()

    assert [receipt.status for receipt in asyncio.run(both())] == ["waiting"] * 8
    assert databases.select(settings, "SELECT ref FROM client") == [("EHR-9",)]
