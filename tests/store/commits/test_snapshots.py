"""The same course always gives the same snapshot, however it came about: from its own snapshot and one entry, or from all its entries."""

import msgspec
import pytest
from support import service_walk

from ipt_workflow.course import course
from ipt_workflow.course.triggers import Command
from ipt_workflow.service.audit.verification import verify

STRUCTS = [each for each in vars(course).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]


def test_every_struct_with_a_text_among_its_defaults_keeps_the_default_itself():
    with_text = {each for each in STRUCTS if any(isinstance(default, str) for default in each.__struct_defaults__)}
    assert with_text == {course.Booking, course.SickRole, course.SeenRisk, course.Risk}
    assert all(issubclass(each, course.DefaultText) for each in with_text)


@pytest.mark.parametrize(
    "risk", (course.Risk(level="".join(("no", "ne"))), msgspec.json.decode('{"level":"none"}', type=course.Risk))
)
def test_a_text_equal_to_the_default_is_left_out(risk):
    assert msgspec.json.encode(risk) == b"{}"


@pytest.mark.parametrize(
    ("trigger", "data"),
    (
        ("raise_risk", {"level": "none"}),
        ("review_risk", {"level": "none", "plan": "Asked again."}),
    ),
)
def test_a_default_that_was_given_verifies(tmp_path, trigger, data):
    async def given(clinic):
        opened = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, opened, "record_consent", "start")
        await service_walk.fire(clinic, opened, Command(trigger, data))
        await service_walk.walk(clinic, opened, "note")
        assert (await verify(clinic)).ok

    service_walk.database(tmp_path, given)
