"""A withdrawal that waits acts on its own client and its own thing, whatever else its message says."""

from support.ehr_sender import course, inbox, journal, resolve
from support.fhir_bodies import appointment, at, form
from support.received import GAD7, coded, item


def both(*numbers: int) -> list[dict]:
    return [{"actor": {"reference": f"Patient/EHR-{number}"}} for number in numbers]


async def held(api, *courses: str) -> list[list[int]]:
    return [[each["seq"] for each in (await course(api, one))["sessions"]] for one in courses]


def test_a_retried_withdrawal_is_about_its_own_client_and_none_of_the_others(with_two):
    async def test(api, ehr, first, second):
        session = {"attendance": "5", "minutes": 50}
        recorded = await api.fire(second, "record_session", session, occurred_at=at(7))
        assert recorded.status_code == 201, recorded.text
        await ehr.fhir(appointment(status="fulfilled", participant=both(1, 2)))
        await ehr.fhir(appointment(version=2, status="fulfilled", participant=both(1)))
        (waits,) = await inbox(api)
        ((seq,),) = await held(api, second)
        assert (waits["course"], waits["about_seq"], waits["proposes"]) == (second, seq, None)
        assert waits["content"] == {"withdrawn": "Appointment/A1"}
        assert waits["why"].startswith(f"Entry {seq} does not come from this source alone.")
        again = (await resolve(api, waits["id"], action="retry")).json()
        assert (again["status"], again["course"], again["why"]) == ("waiting", second, waits["why"])
        void = {"supersedes": seq, "void": True}
        assert (await api.fire(second, "amend", void, reason="Not there.")).status_code == 201
        done = (await resolve(api, waits["id"], action="retry")).json()
        assert (done["status"], done["course"]) == ("ignored", second)
        assert [len(each) for each in await held(api, first, second)] == [1, 0]
        assert await inbox(api) == []

    with_two(test)


def test_a_correction_that_leaves_out_the_thing_of_the_notice_is_refused(with_two):
    async def test(api, ehr, first, _second):
        two = {**form([0] * 8 + [None]), "item": [*form([0] * 8 + [None])["item"], *(item(code, coded("?")) for code in GAD7)]}
        await ehr.fhir(two)
        (waits,) = [each for each in await inbox(api) if each["proposes"]["data"]["instrument"].startswith("gad7")]
        before = await journal(api, first)
        corrected = {"resource": form([0] * 9)}
        answer = await resolve(api, waits["id"], action="correct", reason="Wrong form.", data=corrected)
        assert (answer.status_code, answer.json()["errors"][0]["where"]) == (422, "data"), answer.text
        assert await journal(api, first) == before
        assert waits["id"] in [each["id"] for each in await inbox(api)]

    with_two(test)
