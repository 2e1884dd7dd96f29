"""`python -m bench [--quick] [--only PART …] [--out FILE]`: measures everything in one run, and prints one table."""

import argparse
import datetime as dt
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from bench import (
    alone,
    audit,
    bundles,
    ceiling,
    deliveries,
    goals,
    kept,
    log,
    minimal,
    notices,
    organisations,
    pages,
    postgres,
    report,
    scale,
    transitions,
)
from bench.figures import Goal, Row, failed, short
from bench.processes import BenchFailed
from bench.run import Progress, Run, prepared
from bench.sizes import FULL, QUICK

RESULTS = Path(__file__).parent / "results"
# The parts: name, title, function that measures, and goals to mark as failed if it fails.
PARTS: tuple[tuple[str, str, Callable[[Run], list[Row]], Sequence[Goal]], ...] = (
    (
        "postgresql",
        "transitions on PostgreSQL",
        transitions.postgresql,
        (*goals.POSTGRESQL.values(), *goals.POSTGRESQL_TWO.values()),
    ),
    ("organisations", "transitions of several organisations", organisations.run_all, tuple(goals.ORGANISATIONS.values())),
    ("sqlite", "transitions on SQLite", transitions.sqlite, tuple(goals.SQLITE.values())),
    ("minimal", "answers without the course", minimal.run_all, tuple(goals.MINIMAL.values())),
    ("log", "the tree over the log", log.run_all, tuple(goals.LOG.values())),
    ("notices", "signed notices", notices.run_all, (*goals.NOTICES.values(), *goals.NOTICE_P50.values())),
    ("bundles", "Bundles of FHIR resources", bundles.run_all, (goals.BUNDLE, goals.BUNDLE_READS)),
    ("peers", "the peers", transitions.peers, (*goals.DJANGO.values(), *goals.FASTAPI.values())),
    (
        "deliveries",
        "deliveries",
        deliveries.run_all,
        tuple(goal for each in (goals.DELIVERIES, goals.ARRIVALS) for of in each.values() for goal in of.values()),
    ),
    ("scale", "many courses", scale.run_all, (goals.MANY, goals.PAGE, goals.CASELOAD, goals.FHIR_SEARCH)),
    ("pages", "pages", pages.run_all, (*goals.FIRST_PAGE.values(), *goals.PAGES.values(), *goals.PAGES_GROWN.values())),
    ("audit", "export and verification", audit.run_all, (goals.EXPORT, *goals.VERIFY.values())),
    ("kept", "verification from a kept checkpoint", kept.run_all, (goals.VERIFY_NEW,)),
    ("fire", "fire", alone.fire, (goals.FIRE,)),
    ("start", "start and memory", alone.start, (goals.READY, goals.MEMORY)),
)


def main() -> int:
    arguments = _arguments()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _stopped)
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        del os.environ[name]  # the service is measured with its default settings
    folder = Path(tempfile.mkdtemp(prefix="ipt-bench-"))
    try:
        return _run(arguments, folder)
    except BenchFailed as error:
        sys.stderr.write(f"Nothing could be measured. {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Stopped. All started processes are ended.\n")
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures the service beside the database alone and beside its peers."
    )
    parser.add_argument("--quick", action="store_true", help="shorter and smaller, in about five minutes")
    parser.add_argument("--only", nargs="+", choices=[name for name, *_ in PARTS], metavar="PART", help="some parts: %(choices)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the result here; default: a new file under bench/results/")
    return parser.parse_args()


def _stopped(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    started, rows = time.monotonic(), []
    parts = [part for part in PARTS if not arguments.only or part[0] in arguments.only]
    progress = Progress(len(parts) + 2)
    with postgres.running(folder / "postgres") as server:
        described = report.machine(folder, server.version)
        progress.part("the load generator's own ceiling")
        reached = ceiling.measured(goals.CLIENTS, folder / "ceiling.log")
        run = prepared(QUICK if arguments.quick else FULL, folder, server, progress)
        for _, title, measure, part_goals in parts:
            progress.part(title)
            rows += _measured(run, measure, part_goals)
    seconds = time.monotonic() - started
    result = report.result(
        rows, machine=described, quick=arguments.quick, ceiling=reached, bytes_a_row=run.bytes_a_row, seconds=seconds
    )
    file = arguments.out or RESULTS / f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H%M%SZ}.json"
    report.keep(result, file)
    below = [
        f"Machine: {report.described(described)}",
        _ceiling(reached),
        *_bytes(run),
        f"{seconds / 60:.1f} minutes; kept in {file}",
    ]
    report.print_rows(rows, below)
    return int(any(row.met is False for row in rows))


def _measured(run: Run, measure: Callable[[Run], list[Row]], part_goals: Sequence[Goal]) -> list[Row]:
    """The rows of a part. If it fails, each of its goals gets a row that says why, and the run continues."""
    try:
        return measure(run)
    except BenchFailed as error:
        run.progress.step(f"failed: {error}")
        return [failed(goal, str(error)) for goal in part_goals]


def _ceiling(reached: dict[int, float]) -> str:
    rates = ", ".join(f"{short(rate)}/s at {clients}" for clients, rate in reached.items())
    return f"The load generator reaches, against a fixed answer: {rates} clients"


def _bytes(run: Run) -> list[str]:
    sizes = (f"{table} {size['table']} + {size['indexes']}" for table, size in run.bytes_a_row.items())
    return [f"Bytes a row on PostgreSQL, table + indexes: {', '.join(sizes)}"] if run.bytes_a_row else []


if __name__ == "__main__":
    sys.exit(main())
