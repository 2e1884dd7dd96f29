"""Transitions with the tree over the log, which is signed, beside those of the same service without a tree."""

import shutil
from pathlib import Path

from bench import goals, product
from bench.figures import Goal, Row, row
from bench.run import Run, details, fault_of, rates

CLIENTS = 16
DATABASES = ("log_tree", "log_treeless")


def run_all(run: Run) -> list[Row]:
    file, tokens = run.sqlite()
    treeless = run.folder / "treeless.db"
    shutil.copyfile(file, treeless)
    keys = run.folder / "log.keys"
    rows = [_row(run, goals.LOG["SQLite"], (f"sqlite:///{file}", f"sqlite:///{treeless}"), tokens["therapist"], keys)]
    urls = [run.postgres.url(run.database(name, run.whole, run.sizes.courses)) for name in DATABASES]
    return [_row(run, goals.LOG["PostgreSQL"], (urls[0], urls[1]), run.tokens["therapist"], keys), *rows]


def _row(run: Run, goal: Goal, urls: tuple[str, str], token: str, keys: Path) -> Row:
    """Each has a database of its own: the relay of one would number the events of the other."""
    keyed = {"IPT_LOG_KEY_FILE": str(keys)}
    product.cli(urls[0], "log", "key", **keyed)
    requests = product.notes(token, run.sizes.courses)
    with (
        product.serving(urls[0], run.log, settings=keyed) as tree,
        product.serving(urls[1], run.log, command=product.TREELESS) as treeless,
    ):
        found = run.rounds(
            {
                f"{goal.key}, with the tree": lambda: run.load(product.targets(tree), CLIENTS, requests),
                f"{goal.key}, without": lambda: run.load(product.targets(treeless), CLIENTS, requests),
            }
        )
    with_tree, without = found.values()
    return row(
        goal,
        rates(with_tree),
        rates(without),
        each="/s",
        against="without the tree",
        note=f"{CLIENTS} clients",
        fault=fault_of([*with_tree, *without]),
        details=details("tree", with_tree) + details("treeless", without),
    )
