"""Notices that older versions stored and did not settle: all are handled at the start, and an error in one holds up no other."""

import msgspec
from support.ehr_sender import Ehr, course, inbox, journal, started, status
from support.fhir_bodies import LOINC, START, form

from ipt_workflow.ehr.notices import unsettled
from ipt_workflow.errors import StaleVersion
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import notices as stored

GAD7 = ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7")


def two_scales(form_id: str) -> dict:
    answer = [{"valueCoding": {"system": LOINC, "code": "LA6569-3"}}]
    found = form([1] * 8 + [0], form_id)
    found["item"] += [{"linkId": f"/{code}", "answer": answer} for code in GAD7]
    return found


async def left_behind(api, ehr, *resources: dict) -> None:
    """Stores messages as version 0.18 did before it handled them."""
    await started(api)
    for resource in resources:
        kept = {**resource, "subject": {"reference": "Patient/EHR-9"}}
        assert status(await ehr.fhir(kept)) == "waiting"
    await api.clinic.write(_unsettle, {each["id"]: msgspec.json.encode({"resource": each}) for each in resources})


def _unsettle(connection, _organisation: str, bodies: dict[str, bytes]) -> None:
    for name, body in bodies.items():
        values = {"status": "received", "body": body, "part": "", "ordinal": None, "awaits_course": False, "detail": None}
        where = stored.notice.c.resource == f"QuestionnaireResponse/{name}"
        connection.execute(stored.notice.update().where(where, stored.notice.c.part == "scale phq9").values(**values))
        connection.execute(stored.notice.delete().where(where, stored.notice.c.part == "scale gad7"))


def run(api, test) -> None:
    async def inside(api):
        ehr = await Ehr.register(api, kind="bearer")
        return await test(api, ehr, api.services.notices)

    api(inside, VirtualClock(START))


def test_all_are_handled_however_many_there_are(api, monkeypatch):
    async def test(api, ehr, notices):
        await left_behind(api, ehr, *(form([1] * 8 + [0], f"Q{number}") for number in range(5)))
        monkeypatch.setattr(stored, "RECOVERED_MAX", 2)
        assert await unsettled.recover(notices) == 5
        assert await api.clinic.read(stored.unsettled) == []

    run(api, test)


def test_an_error_in_one_holds_up_no_other_and_a_course_that_moved_on_is_read_again(api, monkeypatch):
    async def test(api, ehr, notices):
        await left_behind(api, ehr, form([1] * 8 + [0], "Q1"), form([1] * 8 + [0], "Q2"))
        settle, overtaken = notices.settle, [StaleVersion(1)]

        async def troubled(notice, *sent, **more):
            if notice.resource == "QuestionnaireResponse/Q1":
                raise RuntimeError("unexpected")
            if overtaken:
                raise overtaken.pop()
            await settle(notice, *sent, **more)

        monkeypatch.setattr(notices, "settle", troubled)
        assert await unsettled.recover(notices) == 2
        assert [each.resource for each in await api.clinic.read(stored.unsettled)] == ["QuestionnaireResponse/Q1"]

    run(api, test)


def test_of_several_scales_the_first_is_handled_and_the_entry_says_so(api):
    async def test(api, ehr, notices):
        await left_behind(api, ehr, two_scales("Q1"))
        await unsettled.recover(notices)
        (opened,) = (await api.get("/v1/courses", "supervisor")).json()["items"]
        assert list((await course(api, opened["id"]))["measures"]) == ["phq9@1"]
        assert unsettled.FIRST_ALONE in (await journal(api, opened["id"]))[-1]["reason"]
        assert await inbox(api) == []

    run(api, test)
