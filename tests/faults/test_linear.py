"""The checker itself: it accepts histories that one register could have given, and rejects all others."""

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.linear import Operation, fault


def read(version, invoked, answered):
    return Operation(kind="read", outcome="ok", invoked=invoked, answered=answered, version=version)


def write(expected, version, invoked, answered, entries=1):
    return Operation(
        kind="write", outcome="ok", invoked=invoked, answered=answered, expected=expected, version=version, entries=entries
    )


def stale(expected, version, invoked, answered):
    return Operation(kind="write", outcome="refused", invoked=invoked, answered=answered, expected=expected, version=version)


def lost_sight_of(expected, invoked, entries=1):
    return Operation(kind="write", outcome="unknown", invoked=invoked, expected=expected, entries=entries)


GOOD = {
    "nothing": [],
    "one after another": [write(1, 2, 0, 1), read(2, 2, 3), write(2, 3, 4, 5)],
    "several entries at once": [write(1, 3, 0, 1, entries=2), read(3, 2, 3)],
    "one wins and one is stale": [write(1, 2, 0, 5), stale(1, 2, 0, 5)],
    "a read beside a write sees either": [write(1, 2, 0, 5), read(1, 1, 2), read(2, 3, 4)],
    "an answer that came late": [write(1, 2, 0, 9), write(2, 3, 1, 2), read(3, 3, 4)],
    "writes on whatever version": [write(None, 3, 0, 5), write(None, 2, 0, 5)],
    "what was lost sight of took effect": [lost_sight_of(1, 0), read(2, 3, 4)],
    "what was lost sight of took effect late": [lost_sight_of(1, 0), read(1, 1, 2), read(2, 3, 4)],
    "what was lost sight of had no effect": [lost_sight_of(1, 0), write(1, 2, 1, 2), read(2, 3, 4)],
    "one of two lost sight of took effect": [lost_sight_of(None, 0), lost_sight_of(None, 0, entries=3), read(4, 1, 2)],
}
BAD = {
    "a lost update": [write(1, 2, 0, 5), write(1, 2, 0, 5)],
    "a lost update among others": [write(1, 2, 0, 1), write(2, 3, 2, 6), write(2, 3, 2, 6), read(3, 7, 8)],
    "a doubled write": [write(1, 2, 0, 1), read(3, 2, 3)],
    "a doubled retry": [write(None, 2, 0, 1), write(None, 4, 2, 3)],
    "half of what was together": [write(1, 3, 0, 5, entries=2), read(2, 1, 2)],
    "a stale read after an acknowledgement": [write(1, 2, 0, 1), read(1, 2, 3)],
    "a version that goes back": [write(1, 2, 0, 9), read(2, 1, 2), read(1, 3, 4)],
    "a write that was acknowledged and is gone": [write(1, 2, 0, 1), write(1, 2, 2, 3)],
    "a refusal of the present version": [stale(1, 1, 0, 1)],
    "a refusal by a version that was never there": [stale(1, 4, 0, 1)],
    "an effect before its request": [read(2, 0, 1), write(1, 2, 2, 3)],
    "an effect of nobody": [read(2, 0, 1)],
    "what was lost sight of took effect twice": [lost_sight_of(None, 0), read(3, 1, 2)],
    "what was lost sight of took effect on another version": [lost_sight_of(1, 3), write(1, 2, 0, 1), read(3, 4, 5)],
}


@pytest.mark.parametrize("name", GOOD)
def test_what_one_register_could_have_answered_is_accepted(name):
    assert fault(GOOD[name], start=1) is None


@pytest.mark.parametrize("name", BAD)
def test_what_no_register_could_have_answered_is_rejected(name):
    assert fault(BAD[name], start=1)


def test_the_fault_says_where_the_search_got_stuck():
    assert "after 1 of 2 operations, at version 2" in (fault(BAD["a stale read after an acknowledgement"], start=1) or "")


@st.composite
def histories(draw, most=30, unknown=True):
    """A history of one register: operations one after another, each sent some time before and answered some time after its effect."""
    state, made = 1, []
    for moment in range(draw(st.integers(0, most))):
        invoked, answered = moment - draw(st.integers(0, 4)), moment + draw(st.integers(0, 4))
        what = draw(
            st.sampled_from(("read", "write", "blind", "stale", "lost", "never") if unknown else ("read", "write", "blind"))
        )
        entries = draw(st.integers(1, 3))
        expected = None if what == "blind" else state
        if what == "read":
            made.append(read(state, invoked, answered))
        elif what == "stale":
            made.append(stale(state - 1, state, invoked, answered))
        elif what == "never":
            made.append(lost_sight_of(draw(st.sampled_from((None, state, state + 1))), invoked, entries))
        else:
            state += entries
            made.append(
                lost_sight_of(expected, invoked, entries) if what == "lost" else write(expected, state, invoked, answered, entries)
            )
    return made


@given(histories())
def test_every_history_of_a_register_is_accepted(made):
    assert fault(made, start=1) is None


@given(histories(unknown=False), st.data())
def test_a_history_with_an_acknowledgement_too_many_is_rejected(made, data):
    acknowledged = [each for each in made if each.kind == "write"]
    if acknowledged:
        twice = data.draw(st.sampled_from(acknowledged))
        assert fault([*made, msgspec.structs.replace(twice, name="again")], start=1)


@given(histories(unknown=False), st.integers(1, 3))
def test_a_history_that_ends_beside_what_was_acknowledged_is_rejected(made, aside):
    last = max([1, *(each.version for each in made)])
    assert fault([*made, read(last + aside, 100, 101)], start=1), "doubled"
    assert fault([*made, read(last - aside, 100, 101)], start=1) or last - aside == last, "lost"
    assert fault([*made, read(last, 100, 101), read(last - aside, 102, 103)], start=1), "went back"


operations = st.builds(
    lambda kind, outcome, invoked, took, version, expected, entries: Operation(
        kind=kind,
        outcome="ok" if kind == "read" else outcome,
        invoked=invoked,
        answered=None if kind == "write" and outcome == "unknown" else invoked + took,
        version=version,
        expected=expected,
        entries=entries,
    ),
    st.sampled_from(("read", "write")),
    st.sampled_from(("ok", "ok", "refused", "unknown")),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from((None, 1, 2, 3)),
    st.integers(1, 2),
)


@settings(max_examples=300)
@given(st.lists(operations, max_size=5))
def test_it_agrees_with_trying_every_order(made):
    assert (fault(made, start=1) is None) == any(explains(order) for order in orders(made))


def orders(made):
    certain = [each for each in made if each.outcome != "unknown"]
    doubtful = [each for each in made if each.outcome == "unknown"]
    for number in range(len(doubtful) + 1):
        for some in itertools.combinations(doubtful, number):
            yield from itertools.permutations([*certain, *some])


def explains(order):
    state = 1
    for position, each in enumerate(order, start=1):
        if any(later.answered is not None and later.answered < each.invoked for later in order[position:]) or not each.fits(state):
            return False
        state += each.changes
    return True
