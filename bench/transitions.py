"""Transitions a second on PostgreSQL and on SQLite, each beside the database alone, and beside two peers."""

import asyncio
import contextlib
import functools
import shutil
from collections.abc import Mapping

from bench import goals, limits, peer, product, sqlite_loop
from bench.copies import COURSE_ID
from bench.figures import Goal, Row, failed, row
from bench.limits import Script
from bench.peer import Peer
from bench.processes import BenchFailed, module, resident_mb
from bench.run import TRANSITIONS, TRANSITIONS_LIMIT, Load, Run, details, fault_of, rates

PER_SECOND = "/s"


def _row(goal: Goal, ours: list[Load], other: list[float], against: str, others: list[Load] | None = None) -> Row:
    fault = fault_of(ours) or (f"{against}: {found}" if (found := fault_of(others or [])) else None)
    rounds = details("service", ours) + (details(against, others) if others else [])
    p99 = max(load.get("p99_ms", 0.0) for load in ours)
    return row(
        goal, rates(ours), other, each=PER_SECOND, against=against, note=f"p99 up to {p99:.0f} ms", fault=fault, details=rounds
    )


def postgresql(run: Run) -> list[Row]:
    """One process of the service ÷ pgbench, and two ÷ pgbench, at each number of clients."""
    return [*_beside_pgbench(run, 1, goals.POSTGRESQL), *_beside_pgbench(run, 2, goals.POSTGRESQL_TWO)]


def _beside_pgbench(run: Run, processes: int, all_goals: Mapping[int, Goal]) -> list[Row]:
    courses, token = run.sizes.courses, run.tokens["therapist"]
    rows = []
    with product.serving(run.transitions(), run.log, processes) as served:
        course = COURSE_ID.format(course=1)
        entry = product.fire(served[0].port, token, course, product.NOTE)
        place = run.postgres.place(TRANSITIONS)
        script = Script(asyncio.run(limits.sample_postgres(place, course, entry["seq"], token)), courses)
        for clients, goal in all_goals.items():
            bench = functools.partial(
                limits.pgbench, run.postgres, TRANSITIONS_LIMIT, script, clients, run.sizes.seconds, run.folder
            )
            ours = functools.partial(run.load, product.targets(served), clients, product.notes(token, courses))
            names = f"pgbench, {clients} clients", f"service of {processes}, {clients} clients"
            pgbench, loads = run.rounds(dict(zip(names, (bench, ours), strict=True))).values()
            if processes == 1:
                run.memory.append(resident_mb(served[0].pid))
            rows.append(_row(goal, loads, pgbench, "pgbench"))
    return rows


def sqlite(run: Run) -> list[Row]:
    """One process of the service ÷ a loop without concurrency, at each number of clients."""
    courses, limit = run.sizes.courses, run.folder / "limit.db"
    file, tokens = run.sqlite()
    token = tokens["therapist"]
    shutil.copyfile(file, limit)
    with product.serving(f"sqlite:///{file}", run.log) as served:
        course = COURSE_ID.format(course=1)
        entry = product.fire(served[0].port, token, course, product.NOTE)
        sample = sqlite_loop.packed(limits.sample_sqlite(file, course, entry["seq"], token))
        job = {"file": str(limit), "sample": sample, "courses": courses, "seconds": run.sizes.seconds}
        requests = product.notes(token, courses)
        found = run.rounds(
            {
                "sqlite3 loop": lambda: module("sqlite_loop", job)["per_second"],
                **{
                    str(clients): functools.partial(run.load, product.targets(served), clients, requests)
                    for clients in goals.CLIENTS_SQLITE
                },
            }
        )
    return [_row(goal, found[str(clients)], found["sqlite3 loop"], "sqlite3 loop") for clients, goal in goals.SQLITE.items()]


def peers(run: Run) -> list[Row]:
    """Two processes of the service ÷ two of each peer, over PostgreSQL."""
    token, courses, loads = run.tokens["therapist"], run.sizes.courses, {}
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(product.serving(run.transitions(), run.log, peer.WORKERS))
        loads["service"] = functools.partial(run.load, product.targets(served), requests=product.notes(token, courses))
        faults = {}
        for each in (peer.DJANGO, peer.FASTAPI):
            run.progress.step(f"{each.name}: installed and filled")
            try:
                serving = stack.enter_context(_peer(run, each))
                loads[each.name] = functools.partial(run.load, [serving.port], requests=serving.requests)
            except BenchFailed as error:
                faults[each.name] = str(error)
        rows: dict[Goal, Row] = {}
        for clients in goals.CLIENTS_PEERS:
            found = run.rounds(
                {f"{name}, {clients} clients": functools.partial(load, clients=clients) for name, load in loads.items()}
            )
            by_name = dict(zip(loads, found.values(), strict=True))
            for each, all_goals in ((peer.DJANGO, goals.DJANGO), (peer.FASTAPI, goals.FASTAPI)):
                goal = all_goals[clients]
                theirs = by_name.get(each.name)
                rows[goal] = (
                    _row(goal, by_name["service"], rates(theirs), each.name, theirs) if theirs else failed(goal, faults[each.name])
                )
    return [rows[goal] for all_goals in (goals.DJANGO, goals.FASTAPI) for goal in all_goals.values()]


def _peer(run: Run, each: Peer) -> contextlib.AbstractContextManager[peer.Serving]:
    run.postgres.create(each.folder)
    return peer.serving(each, run.postgres.place(each.folder), run.sizes.courses, run.folder / f"{each.folder}.log")
