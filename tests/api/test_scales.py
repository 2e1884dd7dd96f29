"""Over HTTP: which scales count, what their totals may be, and how old a baseline may be."""

import datetime as dt

from support.http_client import START

WEEK = dt.timedelta(days=7)
PAPERS = (
    "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation",
    "assign_sick_role", "select_focus", "agree_contract",
)  # fmt: skip
LAST_PAPERS = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role")
NO_OTHER_SCALES = {"rules": ["baseline_of_every_aim"], "reason": "The clinic has the BDI-II alone."}
NONE_AT_THE_END = {"rules": ["end_of_every_aim"], "reason": "The clinic has the BDI-II alone."}


async def measured(api, course, instrument, total, **more):
    return await api.fire(course, "record_measure", {"instrument": instrument, "total": total, **more})


def refused(answer, rule):
    assert answer.status_code == 409, answer.text
    return next(each for each in answer.json()["refusals"] if each["rule"] == rule)


async def session(api, clock, course):
    clock.advance(WEEK)
    await api.walk(course, "record_session", "sign_session")


def test_a_clinic_that_measures_with_the_bdi_alone_leads_a_course_from_start_to_completion(api, clock):
    async def walk(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        await session(api, clock, course)
        assert (await measured(api, course, "bdi2", 31)).status_code == 201
        await api.walk(course, *PAPERS)
        assert (await api.fire(course, "begin_middle", override=NO_OTHER_SCALES)).status_code == 201
        for _ in range(8):
            await session(api, clock, course)
        await api.walk(course, "announce_ending", "begin_final")
        for _ in range(3):
            await session(api, clock, course)
        assert refused(await api.fire(course, "complete", {"outcome": "response", "end_code": "46"}), "end_measured")
        assert (await measured(api, course, "bdi2", 9)).status_code == 201
        await api.walk(course, *LAST_PAPERS)
        done = await api.fire(course, "complete", {"outcome": "response", "end_code": "46"}, override=NONE_AT_THE_END)
        assert done.status_code == 201, done.text
        bdi = done.json()["course"]["measures"]["bdi2@1"]
        assert (bdi["baseline"]["total"], bdi["last"]["total"], bdi["change"]["improvement"]) == (31, 9, 22)

    api(walk, clock)


def test_a_missing_baseline_names_the_scales_that_would_count(api):
    async def walk(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        assert (await measured(api, course, "lsas", 60)).status_code == 201  # known, and not one of this protocol's
        lacking = refused(await api.fire(course, "begin_middle"), "baseline_measured")
        assert "Any of these counts: phq9, gad7, bdi2, hrsd17, qids and epds." in lacking["message"]
        assert lacking["parameters"]["scales"] == ["phq9", "gad7", "bdi2", "hrsd17", "qids", "epds"]
        assert (await measured(api, course, "qids", 14)).status_code == 201
        answer = await api.fire(course, "begin_middle")
        assert "baseline_measured" not in {each["rule"] for each in answer.json()["refusals"]}

    api(walk)


def test_a_score_of_january_is_no_baseline_of_a_course_begun_in_march(api, clock):
    async def walk(api):
        course = (await api.open())["id"]
        assert (await measured(api, course, "phq9", 19, taken_at=START.isoformat())).status_code == 201
        clock.advance(9 * WEEK)
        await api.walk(course, "record_consent", "start")
        lacking = refused(await api.fire(course, "begin_middle"), "baseline_measured")
        assert lacking["message_id"] == "measured.baseline_too_old"
        late = (START + 5 * WEEK - dt.timedelta(days=1)).isoformat()  # told after the start: a day too old for four weeks
        assert (await measured(api, course, "phq9", 18, taken_at=late)).status_code == 201
        assert refused(await api.fire(course, "begin_middle"), "baseline_measured")
        fresh = await measured(api, course, "phq9", 15, taken_at=(START + 5 * WEEK).isoformat())
        phq9 = fresh.json()["course"]["measures"]["phq9@1"]
        assert (phq9["count"], phq9["baseline"]["total"]) == (3, 15)

    api(walk, clock)


def test_a_mean_is_told_as_it_is_and_a_whole_number_stays_whole(api):
    async def walk(api):
        course = (await api.open(protocol="ipt-bulimia", data={"source": "GP", "indication": "bulimia_nervosa"}))["id"]
        await api.walk(course, "record_consent", "start")
        for told, kept in ((4.2, 4.2), (4, 4), (4.0, 4)):
            answer = await measured(api, course, "edeq", told)
            assert answer.status_code == 201, answer.text
            found = answer.json()["course"]["measures"]["edeq@2"]["last"]["total"]
            assert (found, type(found)) == (kept, type(kept))
        too_fine = await measured(api, course, "edeq", 4.205)
        assert (too_fine.status_code, too_fine.json()["errors"][0]["where"]) == (422, "data.total")
        assert (await measured(api, course, "edeq", 420)).status_code == 422
        assert (await measured(api, course, "phq9", 12.5)).status_code == 422
        assert (
            await measured(api, course, "edeq@1", 420)
        ).status_code == 201  # by its own name, the version that took it times 100
        assert (await api.get("/v1/audit/verify", "auditor")).json()["ok"]

    api(walk)


def test_a_session_that_names_no_medium_has_the_protocols(api, clock):
    async def walk(api):
        course = (await api.open(protocol="ipt-telephone"))["id"]
        await api.walk(course, "record_consent", "start")
        told = await api.fire(course, "record_session", {"attendance": "5"})
        assert told.status_code == 201, told.text
        assert told.json()["entry"]["structural"]["medium"] == "telephone"
        clock.advance(WEEK)
        assert refused(await api.fire(course, "record_session", {"attendance": "5", "medium": "face_to_face"}), "medium_allowed")
        ours = (await api.open("EHR-2"))["id"]
        await api.walk(ours, "record_consent", "start")
        assert "medium" not in (await api.fire(ours, "record_session", {"attendance": "5"})).json()["entry"]["structural"]

    api(walk, clock)
