"""A visit or a measure counts once, also if its client or its date changes: of our own types as of FHIR."""

import datetime as dt

import msgspec
import sqlalchemy as sa
from support.ehr_sender import course, inbox, resolve, settled, started, status
from support.fhir_bodies import START, appointment, at, encounter

from ipt_workflow.ehr.notices.message_intake import MessageIntake
from ipt_workflow.store.schema import tables


async def sessions(api, *courses: str) -> list[list[str]]:
    return [[each["attendance"] for each in (await course(api, one))["sessions"]] for one in courses]


async def next_course(api, first: str) -> str:
    """Ends a course, and starts another one of its client two weeks later."""
    data = {"end_code": "49", "last_contact": at(14)[:10], "risk_status": "none", "attempts": 0}
    ended = await api.fire(first, "end_early", data, reason="Moved away.")
    assert ended.status_code == 201, ended.text
    api.clinic.clock.advance(dt.timedelta(days=14))
    return await started(api)


def minutes(number: float) -> dt.datetime:
    return START + dt.timedelta(days=14, minutes=number)


def test_a_session_of_our_own_types_that_moves_to_another_client_is_taken_from_the_first(with_two):
    async def test(api, ehr, first, second):
        async def sent(number: int, minute: float, key: str | None = None) -> str:
            data = {"client_ref": f"EHR-{number}", "ref": "Appointment/1", "start": at(7)}
            return status(await ehr.notify("appointment.fulfilled", data, at=minutes(minute), key=key))

        assert await sent(1, -9) == "applied"
        for _ in range(2):
            assert await sent(2, -8, "msg_2") == "applied"
            assert await sessions(api, first, second) == [[], ["5"]]
        assert await sent(1, -9) in {"ignored", "applied"}  # the first one comes again
        assert await sessions(api, first, second) == [[], ["5"]]
        assert await sent(1, -7) == "applied"
        assert await sessions(api, first, second) == [["5"], []]
        assert await inbox(api) == []

    with_two(test, kind="standard-webhooks")


def test_a_booking_and_a_measure_of_our_own_types_move_as_well(with_two):
    async def test(api, ehr, first, second):
        for number, minute in ((1, -9), (2, -8)):
            ref = f"EHR-{number}"
            await ehr.notify("appointment.booked", {"client_ref": ref, "ref": "A/1", "start": at(21)}, at=minutes(minute))
            scale = {"client_ref": ref, "instrument": "gad7", "total": 9, "taken_at": at(7), "ref": "Form/1"}
            await ehr.notify("measure.completed", scale, at=minutes(minute))
        found = [await course(api, one) for one in (first, second)]
        assert [list(each["measures"]) for each in found] == [[], ["gad7@1"]]
        stored = [(await api.clinic.courses.get(one)).course for one in (first, second)]
        assert [[each.ref for each in one.bookings] for one in stored] == [[], ["A/1"]]
        assert await inbox(api) == []

    with_two(test, kind="standard-webhooks")


def test_a_session_that_waits_for_a_course_waits_no_longer_if_it_moves_to_another_client(with_two):
    async def test(api, ehr, first, _second):
        data = {"ref": "Appointment/1", "start": at(7)}
        assert status(await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-9", **data}, at=minutes(-9))) == "waiting"
        assert status(await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", **data}, at=minutes(-8))) == "applied"
        assert (await inbox(api), await sessions(api, first)) == ([], [["5"]])

    with_two(test, kind="standard-webhooks")


def test_a_withdrawal_of_our_own_types_that_waits_is_retried_for_its_own_client(with_two):
    async def test(api, ehr, first, second):
        data = {"ref": "Appointment/1", "start": at(7)}
        await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-1", **data}, at=minutes(-9))
        seq = (await course(api, first))["sessions"][0]["seq"]
        assert (await api.fire(first, "sign_session", {"session": seq})).status_code == 201
        await ehr.notify("appointment.fulfilled", {"client_ref": "EHR-2", **data}, at=minutes(-8))
        (waits,) = await inbox(api)
        assert (waits["course"], waits["about_seq"]) == (first, seq)
        again = (await resolve(api, waits["id"], action="retry")).json()
        assert (again["status"], again["course"]) == ("waiting", first)
        assert await sessions(api, first, second) == [["5"], ["5"]]

    with_two(test, kind="standard-webhooks")


def test_a_visit_of_an_ended_course_is_corrected_there_although_its_date_is_in_the_next(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(encounter())
        later = await next_course(api, first)
        moved = {"start": at(35), "end": at(35, minutes=45)}
        assert status(await ehr.fhir(encounter(version=2, period=moved))) in {"applied", "waiting"}
        assert await sessions(api, first, later) == [["5"], []]

    with_two(test, kind="bearer")


def test_a_visit_of_an_ended_course_that_is_entered_in_error_without_its_date_is_taken_back_there(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(encounter())
        later = await next_course(api, first)
        void = encounter(version=2, status="entered-in-error")
        del void["period"]
        assert status(await ehr.fhir(void)) == "applied"
        assert await sessions(api, first, later) == [[], []]
        restored = encounter(version=3, period={"start": at(35), "end": at(35, minutes=45)})
        assert status(await ehr.fhir(restored)) == "applied"
        assert (await sessions(api, first, later), await inbox(api)) == ([[], ["5"]], [])

    with_two(test, kind="bearer")


def test_a_booking_of_an_ended_course_is_held_in_the_next(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(appointment(start=at(21), end=at(21, minutes=50)))
        later = await next_course(api, first)
        held = appointment(version=2, status="fulfilled", start=at(35), end=at(35, minutes=50))
        assert status(await ehr.fhir(held)) == "applied"
        assert await sessions(api, first, later) == [[], ["5"]]

    with_two(test, kind="bearer")


def test_a_session_that_is_said_to_be_of_another_course_waits_until_a_person_has_voided_the_first(with_two):
    async def test(api, ehr, first, _second):
        data = {"client_ref": "EHR-1", "ref": "Appointment/1", "start": at(7)}
        await ehr.notify("appointment.fulfilled", data)
        seq = (await course(api, first))["sessions"][0]["seq"]
        later = await next_course(api, first)
        named = {**data, "start": at(35), "course": later}
        assert status(await ehr.notify("appointment.fulfilled", named)) == "waiting"
        (waits,) = await inbox(api)
        assert (waits["course"], waits["about_seq"]) == (first, seq)
        void = {"supersedes": seq, "void": True}
        assert (await api.fire(first, "amend", void, "supervisor", reason="Of the next course.")).status_code == 201
        assert (await resolve(api, waits["id"], action="retry")).json()["status"] == "applied"
        assert await sessions(api, first, later) == [[], ["5"]]

    with_two(test, kind="standard-webhooks")


# Two scales under one reference


def scale(instrument: str, total: int, ref: str = "EHR-1") -> dict:
    return {"client_ref": ref, "instrument": instrument, "total": total, "taken_at": at(7), "ref": "Form/1"}


async def totals(api, course_id: str) -> dict[str, int]:
    return {key: each["last"]["total"] for key, each in (await course(api, course_id))["measures"].items()}


def test_two_scales_of_one_form_are_two_measures_in_any_order(with_two):
    async def test(api, ehr, first, _second):
        assert status(await ehr.notify("measure.completed", scale("phq9", 12), at=minutes(-8))) == "applied"
        assert status(await ehr.notify("measure.completed", scale("gad7@1", 9), at=minutes(-9))) == "applied"
        assert await totals(api, first) == {"phq9@1": 12, "gad7@1": 9}
        assert status(await ehr.notify("measure.completed", scale("gad7", 10), at=minutes(-7))) == "applied"
        assert status(await ehr.notify("measure.completed", scale("phq9", 13), at=minutes(-9))) == "ignored"  # an older one
        assert await totals(api, first) == {"phq9@1": 12, "gad7@1": 10}

    with_two(test, kind="standard-webhooks")


def test_two_scales_of_one_form_both_wait_for_a_course(with_two):
    async def test(api, ehr, _first, _second):
        for instrument, total in (("phq9", 12), ("gad7", 9)):
            assert status(await ehr.notify("measure.completed", scale(instrument, total, "EHR-9"))) == "waiting"
        assert len(await inbox(api)) == 2
        opened = (await api.open("EHR-9"))["id"]
        await settled(api)
        assert (await totals(api, opened), await inbox(api)) == ({"phq9@1": 12, "gad7@1": 9}, [])

    with_two(test, kind="standard-webhooks")


async def kept_before_scales_were_parts(api) -> None:
    await api.clinic.write(lambda connection, _: connection.execute(sa.update(tables.notice).values(part="")))


def test_what_was_kept_before_scales_were_parts_is_the_same_scale_still(with_two):
    async def test(api, ehr, first, _second):
        await ehr.notify("measure.completed", scale("phq9", 12), at=minutes(-9))
        await kept_before_scales_were_parts(api)
        assert status(await ehr.notify("measure.completed", scale("phq9", 11), at=minutes(-10))) == "ignored"
        assert status(await ehr.notify("measure.completed", scale("phq9", 13), at=minutes(-8))) == "applied"
        assert await totals(api, first) == {"phq9@1": 13}

    with_two(test, kind="standard-webhooks")


def test_a_waiting_scale_kept_before_scales_were_parts_is_not_ended_by_another_one(with_two):
    async def test(api, ehr, _first, _second):
        await ehr.notify("measure.completed", scale("phq9", 12, "EHR-9"), at=minutes(-9))
        await kept_before_scales_were_parts(api)
        await ehr.notify("measure.completed", scale("gad7", 9, "EHR-9"), at=minutes(-8))
        assert len(await inbox(api)) == 2
        await ehr.notify("measure.completed", scale("phq9", 13, "EHR-9"), at=minutes(-7))
        opened = (await api.open("EHR-9"))["id"]
        await settled(api)
        assert (await totals(api, opened), await inbox(api)) == ({"phq9@1": 13, "gad7@1": 9}, [])

    with_two(test, kind="standard-webhooks")


# One after the other


def test_a_deletion_that_comes_again_while_its_withdrawal_waits_is_one_notice(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(encounter())
        seq = (await course(api, first))["sessions"][0]["seq"]
        assert (await api.fire(first, "sign_session", {"session": seq})).status_code == 201
        for _ in range(3):
            assert status(await ehr.fhir(None, "DELETE", "/Encounter/E1")) == "waiting"
        assert [each["status"] for each in await inbox(api, query="&status=ignored")] == []
        assert len(await inbox(api)) == 1

    with_two(test, kind="bearer")


def test_a_version_that_another_process_has_overtaken_takes_nothing_back(with_two, monkeypatch):
    """While version 2 is taken, after its own commit, another process takes version 3, which names both clients again."""

    async def test(api, ehr, first, second):
        both = [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in (1, 2)]
        await ehr.fhir(appointment(status="fulfilled", participant=both))
        committed, other = MessageIntake.thing, []

        async def overtaken(self, content, withdrawn=None):
            receipt = await committed(self, content, withdrawn)
            if not other:
                other.append(self)
                body = appointment(version=3, status="fulfilled", participant=both, comment="Both came.")
                contents = self.desk.fhir_reader(self.source).read({"resource": body})
                message = msgspec.structs.replace(self.message, body=b"3", kept=b"{}", contents=contents)
                await MessageIntake(self.desk, self.sender, message, None).things()
            return receipt

        monkeypatch.setattr(MessageIntake, "thing", overtaken)
        await ehr.fhir(appointment(version=2, status="fulfilled", participant=both[:1]))
        assert await sessions(api, first, second) == [["5"], ["5"]]

    with_two(test, kind="bearer")


def test_a_visit_follows_its_course_to_the_client_into_whom_the_record_was_merged(with_two):
    async def test(api, ehr, first, _second):
        await ehr.fhir(encounter())
        merged = await api.fire(first, "relink_client", {"client_ref": "EHR-3", "kind": "merge"}, "supervisor", reason="Merged.")
        assert merged.status_code == 201, merged.text
        assert status(await ehr.fhir(encounter(version=2, subject={"reference": "Patient/EHR-3"}))) == "ignored"
        assert (await sessions(api, first), await inbox(api)) == ([["5"]], [])

    with_two(test, kind="bearer")
