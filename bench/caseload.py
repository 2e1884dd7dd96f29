"""Lists at a million courses beside a thousand: a therapist's caseload, and the search of the FHIR facade."""

import functools

from bench import goals
from bench.copies import COURSE_ID
from bench.figures import Goal, Row, row
from bench.run import Load, Run, details, fault_of

CLIENTS = 4
CASELOADS = ("/v1/courses", "/v1/courses?phase=initial", "/v1/courses?attention=overdue")
SEARCHES = (
    "/fhir/R4/EpisodeOfCare?status=active&_count=20",
    f"/fhir/R4/EpisodeOfCare?identifier=urn:uuid:{COURSE_ID}",
    f"/fhir/R4/CarePlan?episode-of-care=EpisodeOfCare/{COURSE_ID}",
    "/fhir/R4/CarePlan?activity-code=initial&_count=20",
)


def rows(run: Run, few: tuple[int, int], many: tuple[int, int]) -> list[Row]:
    """`few` and `many` are a port of the service each, and the number of copied courses behind it."""
    return [_row(run, goals.CASELOAD, few, many, CASELOADS), _row(run, goals.FHIR_SEARCH, few, many, SEARCHES)]


def _row(run: Run, goal: Goal, few: tuple[int, int], many: tuple[int, int], paths: tuple[str, ...]) -> Row:
    headers = {"Authorization": f"Bearer {run.tokens['therapist']}"}

    def load(port: int, courses: int) -> Load:
        return run.load([port], CLIENTS, {"paths": paths, "headers": headers, "courses": courses})

    found = run.rounds({f"{goal.key} at {at[1]} courses": functools.partial(load, *at) for at in (few, many)})
    at_few, at_many = found.values()
    return row(
        goal,
        [each.get("p99_ms", 0.0) for each in at_many],
        [each.get("p99_ms", 1.0) for each in at_few],
        each=" ms",
        against=f"{few[1]} courses",
        note=f"at {many[1]:,} courses, {CLIENTS} clients".replace(",", " "),
        fault=fault_of([*at_many, *at_few]),
        details=details("many", at_many) + details("few", at_few),
    )
