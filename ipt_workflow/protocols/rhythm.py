"""The Social Rhythm Metric: how regular the times of daily activities are in a week (Monk 1990, 1994; domain.md 2.1).

An activity counts if it was done on at least three days. Its habitual time is the mean of its times, without those further than
1.5 standard deviations from the mean of all. Every day within 45 minutes of the habitual time is a hit. The score is hits divided
by activities, from 0 to 7.

Times go round the clock: ten to midnight and twenty past are half an hour apart. An activity's times are therefore put in a row that
begins after the widest gap between them. If several gaps are equally wide, the row with the most hits counts. Neither the order of the
days nor a shift of all times by the same amount changes a score. Numbers stay exact, so that every computer hashes them alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

DAY = 24 * 60
LEAST_DAYS = 3
OUTLIER = Fraction(3, 2)  # standard deviations
NEAR = 45  # minutes

# The five of Monk 2002 (F15), and the seventeen of Monk 1990: fifteen and two of the client's own (F16, F17; the second television
# programme from memory).
ACTIVITIES: Mapping[str, tuple[str, ...]] = {
    "srm5": ("out_of_bed", "first_contact", "start_of_day", "dinner", "to_bed"),
    "srm17": (
        "out_of_bed",
        "first_contact",
        "morning_beverage",
        "breakfast",
        "first_outside",
        "start_of_day",
        "lunch",
        "nap",
        "dinner",
        "exercise",
        "evening_snack",
        "evening_news",
        "evening_programme",
        "own_activity_a",
        "own_activity_b",
        "last_home",
        "to_bed",
    ),
}


class Regularity(msgspec.Struct, frozen=True):
    """The hits of all activities that were done often enough, and the number of these activities."""

    hits: int
    activities: int

    @property
    def score(self) -> Fraction | None:
        """From 0 to 7. None, not 0, if no activity was done often enough."""
        return Fraction(self.hits, self.activities) if self.activities else None


def minutes(clock_time: str) -> int:
    """`HH:MM` as minutes from midnight."""
    hours, _, rest = clock_time.partition(":")
    return int(hours) * 60 + int(rest)


def regularity(days: Iterable[Mapping[str, str]]) -> Regularity:
    """A week's regularity, from the times (`HH:MM`) of each day by activity."""
    times: dict[str, list[int]] = {}
    for day in days:
        for activity, at in day.items():
            times.setdefault(activity, []).append(minutes(at))
    kept = [each for each in times.values() if len(each) >= LEAST_DAYS]
    return Regularity(hits=sum(hits(each) for each in kept), activities=len(kept))


def hits(times: Sequence[int]) -> int:
    """The number of days on which an activity was done near its habitual time."""
    return max(_hits(row) for row in _rows(times))


def _hits(row: Sequence[int]) -> int:
    """The days near the habitual time, which is the mean of the usual times."""
    usual = _usual(row)
    total, count = sum(usual), len(usual)
    return sum(abs(time * count - total) <= NEAR * count for time in row)


def _usual(row: Sequence[int]) -> list[int]:
    """The times without outliers. The standard deviation is that of a sample (n - 1).

    Both sides are compared times n squared, in whole numbers: exactly, and for a tenth of what fractions cost.
    """
    total, count = sum(row), len(row)
    far = [(time * count - total) ** 2 for time in row]
    most = OUTLIER.numerator**2 * sum(far)
    return [time for time, each in zip(row, far, strict=True) if OUTLIER.denominator**2 * (count - 1) * each <= most]


def _rows(times: Sequence[int]) -> list[list[int]]:
    """The times in a row that begins after the widest gap around the clock. One row for each of the widest gaps."""
    around = sorted(times)
    gaps = [(later - earlier) % DAY for earlier, later in zip(around[-1:] + around[:-1], around, strict=True)]
    if len(set(around)) == 1:
        return [around]
    widest = max(gaps)
    starts = [index for index, gap in enumerate(gaps) if gap == widest]
    return [around[start:] + [time + DAY for time in around[:start]] for start in starts]


def met(days: Iterable[Mapping[str, str]], targets: Mapping[str, tuple[str, int]]) -> tuple[int, int]:
    """How many times met their target, and how many have one. A target is `HH:MM` and the minutes allowed to either side."""
    apart = [
        (distance(minutes(at), minutes(targets[activity][0])), targets[activity][1])
        for day in days
        for activity, at in day.items()
        if activity in targets
    ]
    return sum(far <= within for far, within in apart), len(apart)


def distance(one: int, other: int) -> int:
    """Minutes between two times of day, the shorter way around the clock."""
    apart = abs(one - other) % DAY
    return min(apart, DAY - apart)
