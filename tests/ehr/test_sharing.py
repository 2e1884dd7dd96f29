"""Consent to sharing binds what an EHR reads, by every way: over /v1 and /fhir, in lists, searches, counts and histories."""

SHARING = {"scope": "sharing", "who": "client"}
SEARCHES = (
    "/fhir/R4/EpisodeOfCare",
    "/fhir/R4/EpisodeOfCare?_sort=-_id",
    "/fhir/R4/Encounter?_include=Encounter:subject",
    "/fhir/R4/Patient",
    "/fhir/R4/EpisodeOfCare/_history",
)


async def opened(api) -> tuple[str, str]:
    """A course of which sharing will be withdrawn, and one that stays shared."""
    ids = []
    for ref in ("EHR-1", "EHR-2"):
        course = (await api.open(ref))["id"]
        await api.walk(course, "record_consent", "start", "record_session")
        ids.append(course)
    return ids[0], ids[1]


async def listed(api, path: str, who: str = "ehr") -> str:
    answer = await api.get(path, who)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_course_whose_sharing_is_withdrawn_does_not_exist_for_an_ehr_until_it_is_given_again(api):
    async def test(api):
        withheld, shared = await opened(api)
        read = [f"/v1/courses/{withheld}{part}" for part in ("", "/options", "/transitions", "/transitions/1")]
        read += [
            f"/v1/courses/{withheld}/snapshot",
            f"/fhir/R4/EpisodeOfCare/{withheld}",
            f"/fhir/R4/EpisodeOfCare/{withheld}/_history",
        ]
        read += [f"/fhir/R4/EpisodeOfCare/{withheld}/_history/2"]
        read = [path for path in read if (await api.get(path, "ehr")).status_code != 405]
        before = [(await api.get(path, "ehr")).status_code for path in read]
        assert 200 in before

        await api.fire(withheld, "withdraw_consent", SHARING)
        for path in read:
            assert (await api.get(path, "ehr")).status_code == 404, path
        for path in ("/v1/courses", *SEARCHES):
            text = await listed(api, path)
            assert (withheld in text, shared in text) == (False, True), path
            assert withheld in await listed(api, path, "supervisor")
        for ref, found in (("EHR-1", 0), ("EHR-2", 1)):
            answer = await api.post("/v1/courses/search", {"client_ref": ref}, "ehr")
            assert len(answer.json()["items"]) == found
            query = {"patient:identifier": ref, "_summary": "count"}
            answer = await api.client.post("/fhir/R4/EpisodeOfCare/_search", data=query, headers=api.headers("ehr"))
            assert answer.json()["total"] == found
        refused = (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert {tuple(each["rules"]) for each in refused} == {("hidden",)}

        await api.fire(withheld, "record_consent", SHARING)
        assert [(await api.get(path, "ehr")).status_code for path in read] == before
        assert withheld in await listed(api, "/v1/courses")

    api(test)


def test_an_ehr_that_withdraws_sharing_is_shown_nothing_of_the_course_after_it(api):
    async def test(api):
        course, _ = await opened(api)
        answer = await api.fire(course, "withdraw_consent", SHARING, role="ehr")
        assert answer.status_code == 201, answer.text
        assert set(answer.json()) == {"entry"}
        again = await api.fire(course, "record_consent", SHARING, role="ehr")
        assert again.status_code == 404

    api(test)
