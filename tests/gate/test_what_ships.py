"""All claims hold for every form that ships. Random walks confirm that courses with equal features behave the same."""

import random
import tomllib
from functools import cache
from pathlib import Path

import pytest
from support.faulty_protocols import ROOT, ipt
from support.random_courses import chosen, compared

from ipt_workflow import gate
from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.exploration import Exploration, judged
from ipt_workflow.gate.ladder import rungs, through
from ipt_workflow.gate.walks import SICK_ROLE_GIVEN, walk
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.files import read_definition

FILES = (*sorted((ROOT / "config" / "protocols").glob("*.toml")), ROOT / "tests" / "config" / "group-of-eight.toml")
WALKS, WALKS_MAX, ENOUGH = 5, 40, 10
_forms = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def every_form(test):
    return pytest.mark.matrix(10)(_forms(test))


@cache
def of_file(path: Path) -> Protocol:
    return read_definition(tomllib.loads(path.read_text(encoding="utf-8")), ipt().instruments)


@cache
def explored(path: Path) -> Exploration:
    exploration = Exploration(Driver(CourseMachine(of_file(path))))
    exploration.run()
    return exploration


@every_form
def test_everything_that_is_claimed_holds(path):
    report = judged(explored(path))
    assert report.findings == ()
    assert report.ok
    assert all(report.holds(claim) for claim in gate.CLAIMS)


@every_form
def test_courses_that_are_taken_for_the_same_go_on_the_same_way(path):
    """The exploration predicts the moves of random courses: any triggers, in any order, with any answers."""
    exploration, compared_times, walked = explored(path), 0, 0
    while walked < WALKS or (compared_times < ENOUGH and walked < WALKS_MAX):
        compared_times += _walked_at_random(exploration, random.Random(f"{path.stem} {walked}"))
        walked += 1
    assert compared_times >= ENOUGH, "too few courses could be compared for the test to mean anything"
    assert judged(exploration).findings == ()


def _walked_at_random(exploration: Exploration, chance: random.Random) -> int:
    """Walks one course. Returns how often it could be compared with one that was explored."""
    spot, times = exploration.driver.open(), 0
    for _ in range(120):
        if not spot.course.open:
            break
        times += compared(exploration, spot)
        spot = chosen(exploration.driver, spot, chance)
    return times


@every_form
def test_what_is_left_out_of_the_paperwork_counts_alone_and_together_alike(path):
    """Leaving out several papers gives the refusals of leaving out each of them, so one at a time is enough."""
    driver, chance = Driver(CourseMachine(of_file(path))), random.Random(path.stem)
    for name, spot in walk(driver, SICK_ROLE_GIVEN).entries.items():
        papers = rungs(driver, name, spot)
        alone = {paper: _refused_by(driver, name, spot, [paper]) for paper in papers}
        for _ in range(6):
            left_out = chance.sample(papers, min(len(papers), chance.randint(2, 4)))
            together = _refused_by(driver, name, spot, left_out)
            assert together == set().union(*(alone[paper] for paper in left_out)), (name, left_out)


def _refused_by(driver: Driver, name: str, spot, left_out) -> set[str]:
    ready = through(driver, name, spot, without=frozenset(left_out))
    return {refusal.rule for refusal in driver.refusals(ready)}
