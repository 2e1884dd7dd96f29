"""A whole number that is typed in a form of groups."""

import pytest

from ipt_workflow.web.course.sent import SentForm
from ipt_workflow.web.forms.posted import WHOLE
from ipt_workflow.web.groups.forms import whole


@pytest.mark.parametrize("text", ["²", "①", "٣", "1.5", "-1", "9" * 10])
def test_what_is_no_whole_number_is_said_at_its_field(text):
    number, faults = whole(SentForm({"minutes": [text]}), "minutes")
    assert (number, [(each.name, each.sentence) for each in faults]) == ({}, [("minutes", WHOLE)])


def test_a_whole_number_is_read():
    assert whole(SentForm({"minutes": ["90"]}), "minutes") == ({"minutes": 90}, [])
