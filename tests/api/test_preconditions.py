"""`If-Match` names a version, strongly or weakly: a proxy that compresses an answer weakens its ETag."""

import pytest


@pytest.mark.parametrize(("form", "status"), [('"{}"', 201), ("{}", 201), ('W/"{}"', 201), (' W/"{}" ', 201), ('W/"{}1"', 412)])
def test_a_course_is_written_at_the_version_that_the_header_names(api, form, status):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start")
        waiver = {"trigger": "waive_sick_role", "reason": "Not wanted."}
        assert (await api.post(f"/v1/courses/{course}/proposals", waiver, If_Match=form.format(3))).status_code == status
        body = (await api.options(course))["record_session"]["example"]
        assert (await api.post(f"/v1/courses/{course}/transitions", body, If_Match=form.format(3))).status_code == status

    api(test)


def test_a_group_is_written_at_a_weak_version(api):
    async def test(api):
        made = await api.post("/v1/groups", {"protocol": "ipt-group", "label": "G-1"})
        path = made.headers["location"]
        course = (await api.open(protocol="ipt-group"))["id"]
        assert (await api.post(f"{path}/members", {"course": course}, If_Match='W/"7"')).status_code == 412
        assert (await api.post(f"{path}/members", {"course": course}, If_Match='W/"1"')).status_code == 201

    api(test)
