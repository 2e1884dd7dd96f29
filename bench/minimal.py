"""Transitions whose answer has no course (`Prefer: return=minimal`), beside those with whole answers, of the same process."""

from bench import goals, product
from bench.figures import Row, row
from bench.run import Run, details, fault_of, rates

CLIENTS = 16


def run_all(run: Run) -> list[Row]:
    file, tokens = run.sqlite()
    return [
        _row(run, "PostgreSQL", run.transitions(), run.tokens["therapist"]),
        _row(run, "SQLite", f"sqlite:///{file}", tokens["therapist"]),
    ]


def _row(run: Run, database: str, url: str, token: str) -> Row:
    whole = product.notes(token, run.sizes.courses)
    minimal = {**whole, "headers": {**whole["headers"], "Prefer": "return=minimal"}}
    with product.serving(url, run.log) as served:
        port = served[0].port
        found = run.rounds(
            {
                f"whole answers on {database}": lambda: run.load([port], CLIENTS, whole),
                f"minimal answers on {database}": lambda: run.load([port], CLIENTS, minimal),
            }
        )
    of_whole, of_minimal = found.values()
    return row(
        goals.MINIMAL[database],
        rates(of_minimal),
        rates(of_whole),
        each="/s",
        against="whole answers",
        note=f"{CLIENTS} clients",
        fault=fault_of([*of_minimal, *of_whole]),
        details=details("minimal", of_minimal) + details("whole", of_whole),
    )
