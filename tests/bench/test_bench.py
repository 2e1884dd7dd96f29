"""What the bench makes of its measurements. That it measures is shown by running it."""

import json

import pytest

from bench import compare, report
from bench.figures import Goal, changes, failed, percentile, row, short

MORE = Goal(key="rate", measure="transitions/s ÷ the limit", better="more", goal=0.5, stretch=0.8)
LESS = Goal(key="p99", measure="p99, many ÷ few", better="less", goal=1.3)
OPEN = Goal(key="peer", measure="transitions/s ÷ a peer", better="more")


def kept(key, value, better="more", spread=0.0, fault=None):
    return {"key": key, "measure": key, "better": better, "value": value, "spread": spread, "fault": fault}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(share, expected):
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_one_value_is_every_percentile():
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0


def test_nothing_has_no_percentile():
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_ratio_is_taken_round_by_round_and_its_median_told():
    made = row(MORE, [100, 300, 80], [200, 400, 200])
    assert made.rounds == (0.5, 0.75, 0.4)
    assert made.value == 0.5
    assert made.medians == (100, 200)
    assert made.spread == pytest.approx(0.7)


def test_rounds_that_do_not_belong_together_are_not_compared():
    with pytest.raises(ValueError, match="zip"):
        row(MORE, [1, 2], [1])


@pytest.mark.parametrize(
    ("goal", "value", "met"), [(MORE, 0.5, True), (MORE, 0.49, False), (LESS, 1.3, True), (LESS, 1.31, False), (OPEN, 9.0, None)]
)
def test_a_goal_is_met_from_its_own_side(goal, value, met):
    assert row(goal, [value]).met is met


def test_figures_that_do_not_count_meet_no_goal():
    made = row(MORE, [900], [1000], fault="not every answer was 2xx: 503 × 2")
    assert made.value == 0.9
    assert made.met is False


def test_what_could_not_be_measured_is_a_row_that_says_why():
    made = failed(MORE, "the service did not come up")
    assert (made.value, made.spread, made.met, made.fault) == (None, None, False, "the service did not come up")
    assert report.cells(made)[-1] == "the service did not come up"


def test_a_line_of_the_table_tells_goal_ratio_both_medians_and_spread():
    assert report.cells(row(MORE, [500, 600, 700], [1000, 1000, 1000], each="/s", note="p99 9 ms")) == (
        "transitions/s ÷ the limit", "≥ 0.5", "0.60", "met", "600/s", "1 000/s", "33% of 3", "p99 9 ms",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "–"), (0.0061, "0.006"), (0.372, "0.37"), (1.06, "1.06"), (21.2, "21.2"), (414.4, "414"), (9449.0, "9 449")],
)
def test_a_figure_is_told_with_the_digits_that_count(value, told):
    assert short(value) == told


def test_two_results_are_compared_by_key_and_direction():
    old = [kept("a", 1.0), kept("b", 1.0, "less"), kept("c", 1.0), kept("d", 1.0)]
    new = [kept("a", 1.5), kept("b", 1.5, "less"), kept("c", 1.1), kept("e", 1.0)]
    assert {each.key: each.verdict for each in changes(old, new)} == {
        "a": "better", "b": "worse", "c": "same", "d": "only old", "e": "only new",
    }  # fmt: skip


def test_a_change_within_the_spread_of_the_rounds_is_none():
    assert [each.verdict for each in changes([kept("a", 1.0, spread=0.6)], [kept("a", 1.5)])] == ["same"]


def test_a_figure_that_did_not_count_is_not_compared():
    assert [each.verdict for each in changes([kept("a", 1.0)], [kept("a", 2.0, fault="503")])] == ["only old"]


def result(*rows):
    machine = {
        "cpu": "CPU", "cores": 2, "memory_gb": 4, "system": "Linux", "python": "3.11", "postgres": "18", "file_system": "ext4",
        "load_average": [0.1],
    }  # fmt: skip
    return {"revision": "abc", "made_at": "2026-01-05T09:00:00+00:00", "quick": True, "machine": machine, "rows": list(rows)}


def test_comparing_fails_only_where_something_became_worse(tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(result(kept("a", 1.0))))
    new.write_text(json.dumps(result(kept("a", 0.5))))
    assert compare.main([str(old), str(new)]) == 1
    assert "worse" in capsys.readouterr().out
    assert compare.main([str(new), str(old)]) == 0


def test_a_file_that_is_not_a_result_is_refused(tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(SystemExit) as stopped:
        compare.main([str(other), str(other)])
    assert stopped.value.code == 2
    assert "is not a result of the bench" in capsys.readouterr().err


def test_data_in_memory_is_said_to_be_so():
    machine = result()["machine"]
    assert "NOTHING HERE WAS DURABLE" in report.described({**machine, "file_system": "tmpfs"})
    assert "DURABLE" not in report.described(machine)
