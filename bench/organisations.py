"""Transitions of eight organisations beside those of one, in the same process over the same database."""

import asyncio
import functools
import json

from bench import copies, goals, product
from bench.figures import Row, row
from bench.run import DEMONSTRATION, Run, details, fault_of, rates

DATABASE = "organisations"
TURNS = 2  # times as many rounds as elsewhere, since the two differ by less than two rounds of one of them
ORGANISATIONS = ("default", *(f"clinic-{number}" for number in range(2, 9)))


def run_all(run: Run) -> list[Row]:
    """The courses of all organisations together are as many as those of the one that is measured beside them."""
    url, each = run.postgres.url(DATABASE), run.sizes.courses // len(ORGANISATIONS)
    run.postgres.create(DATABASE, DEMONSTRATION)
    tokens = [_made(run, url, organisation, each) for organisation in ORGANISATIONS]
    run.postgres.settle(DATABASE)
    rows = []
    with product.serving(url, run.log) as served:
        targets = product.targets(served)
        one, eight = product.notes(tokens[0], run.sizes.courses), product.notes(tokens[0], each, *tokens[1:])
        for clients, goal in goals.ORGANISATIONS.items():
            found = run.rounds(
                {
                    f"{len(ORGANISATIONS)} organisations, {clients} clients": functools.partial(run.load, targets, clients, eight),
                    f"one organisation, {clients} clients": functools.partial(run.load, targets, clients, one),
                },
                TURNS,
            )
            of_eight, of_one = found.values()
            rows.append(
                row(
                    goal,
                    rates(of_eight),
                    rates(of_one),
                    each="/s",
                    against="one organisation",
                    fault=fault_of([*of_eight, *of_one]),
                    details=details("eight", of_eight) + details("one", of_one),
                )
            )
    return rows


def _made(run: Run, url: str, organisation: str, courses: int) -> str:
    """Makes an organisation with copies of a course, whose ids are the same in each. Returns its therapist's token."""
    first = organisation == ORGANISATIONS[0]
    if not first:
        product.cli(url, "organisation", "create", organisation)
    place, count = run.postgres.place(DATABASE), run.sizes.courses if first else courses
    asyncio.run(copies.fill_postgres(place, run.whole, count, lambda _done: None, organisation))
    create = ("token", "create", "--role", "therapist", "--name", product.THERAPIST, "--json")
    token: str = json.loads(product.cli(url, *create, IPT_ORGANISATION=organisation))["token"]
    return token
