"""Snapshots of courses are the same bytes whether a course was decided on or folded from its journal."""

import msgspec
import pytest
from msgspec import structs
from support.course_walk import STAGES, Walk, reach

from ipt_workflow.course import Course
from ipt_workflow.course import course as shapes
from ipt_workflow.store.commits.rows import snapshot

OMITTING = [
    each
    for each in vars(shapes).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__struct_config__.omit_defaults
]


@pytest.mark.parametrize("shape", OMITTING, ids=lambda shape: shape.__name__)
def test_what_leaves_out_defaults_has_no_string_among_them(shape):
    assert [field.name for field in structs.fields(shape) if isinstance(field.default, str)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_the_course_and_the_fold_of_its_journal_are_the_same_bytes(stage):
    walk = reach(stage)
    assert snapshot(walk.c) == snapshot(walk.replay())


def test_a_risk_that_was_reviewed_as_none_is_the_same_bytes_in_the_fold_of_the_journal():
    walk = Walk().in_initial()
    walk.fire("raise_risk", data={"level": "monitored"})
    walk.fire("review_risk", data={"level": "none"})
    assert walk.c.risk.level == "none"
    assert snapshot(walk.c) == snapshot(walk.replay())


def test_a_snapshot_that_was_read_is_written_as_the_same_bytes():
    written = snapshot(reach("in_middle").c)
    read = msgspec.json.decode(written, type=Course)
    assert snapshot(read) == written
