"""The goals, as agreed before the first measurement. Ratios are taken in one run, on one machine."""

from bench.figures import Goal

CLIENTS = (1, 16, 64)
CLIENTS_SQLITE = (16, 64)
CLIENTS_PEERS = (16, 64)
DATABASES = ("PostgreSQL", "SQLite")


def _clients(count: int) -> str:
    return f"{count} client" + ("s" if count > 1 else "")


def _more(key: str, measure: str, goal: float | None, stretch: float | None) -> Goal:
    return Goal(key=key, measure=measure, better="more", goal=goal, stretch=stretch)


def _less(key: str, measure: str, goal: float, stretch: float, unit: str = "") -> Goal:
    return Goal(key=key, measure=measure, better="less", goal=goal, stretch=stretch, unit=unit)


POSTGRESQL = {
    clients: _more(f"postgresql-{clients}", f"transitions/s, PostgreSQL ÷ pgbench, {_clients(clients)}", goal, stretch)
    for clients, goal, stretch in zip(CLIENTS, (0.78, 0.62, 0.95), (0.90, 0.75, 1.10), strict=True)
}
POSTGRESQL_TWO = {
    clients: _more(
        f"postgresql-{clients}-two", f"transitions/s, PostgreSQL ÷ pgbench, {_clients(clients)}, two processes", None, None
    )
    for clients in CLIENTS[1:]
}
ORGANISATIONS = {
    clients: _more(
        f"organisations-{clients}", f"transitions/s of 8 organisations ÷ of one, PostgreSQL, {_clients(clients)}", 0.9, 1.0
    )
    for clients in CLIENTS
}
SQLITE = {
    clients: _more(f"sqlite-{clients}", f"transitions/s, SQLite ÷ a tight sqlite3 loop, {_clients(clients)}", goal, stretch)
    for clients, goal, stretch in zip(CLIENTS_SQLITE, (0.75, 0.80), (0.85, 0.90), strict=True)
}
MINIMAL = {
    database: _more(f"minimal-{database.lower()}", f"transitions/s, return=minimal ÷ whole answers, {database}", 1.1, 1.2)
    for database in DATABASES
}
LOG = {
    database: _more(f"log-{database.lower()}", f"transitions/s, with the tree ÷ without, {database}", 0.9, 0.97)
    for database in DATABASES
}
NOTICES = {
    database: _more(f"notices-{database.lower()}", f"signed notices/s ÷ transitions/s, {database}, 16 clients", 0.5, 0.8)
    for database in DATABASES
}
NOTICE_P50 = {
    database: _less(f"notice-p50-{database.lower()}", f"p50 of a notice ÷ of a transition, {database}, 1 client", 2, 1.3)
    for database in DATABASES
}
BUNDLE = _less("bundle", "a Bundle of 1000 entries ÷ 1000 transitions, 16 clients", 2, 1.2)
BUNDLE_READS = _less("bundle-reads", "p99 of reads beside Bundles ÷ at rest", 3, 1.5)
DJANGO = {
    clients: _more(f"django-{clients}", f"transitions/s ÷ Django + DRF + django-viewflow, {_clients(clients)}", goal, stretch)
    for clients, goal, stretch in zip(CLIENTS_PEERS, (5, 8), (8, 13), strict=True)
}
FASTAPI = {
    clients: _more(f"fastapi-{clients}", f"transitions/s ÷ FastAPI + SQLModel + transitions, {_clients(clients)}", None, None)
    for clients in CLIENTS_PEERS
}
DELIVERIES = {
    database: {
        subscriptions: _more(
            f"deliveries-{database.lower()}-{subscriptions}",
            f"deliveries/s of a relay, {database} ÷ transitions/s, {subscriptions} subscription{'s' if subscriptions > 1 else ''}",
            goal,
            stretch,
        )
        for subscriptions, goal, stretch in ((1, 0.5, 0.8), (10, 0.8, 1.2))
    }
    for database in ("SQLite", "PostgreSQL")
}
ARRIVALS = {
    database: {
        share: _less(
            f"arrival-{database.lower()}-{round(share * 100)}",
            f"p{round(share * 100)} from 201 to arrival, {database} ÷ of the transition",
            goal,
            stretch,
        )
        for share, goal, stretch in ((0.5, 20, 5), (0.99, 30, 10))
    }
    for database in ("SQLite", "PostgreSQL")
}
MANY = _less("many-courses", "p99 of a transition, 1M ÷ 1k courses", 1.3, 1.15)
CASELOAD = _less("caseload", "p99 of the caseload, 1M ÷ 1k courses", 1.3, 1.15)
FHIR_SEARCH = _less("fhir-search", "p99 of a FHIR search, 1M ÷ 1k courses", 1.3, 1.15)
SHOWN = ("my day", "courses", "a course", "session note", "history", "supervision", "audit")  # the main pages
PAGES = {
    (database, name): _less(
        f"page-{database.lower()}-{name.replace(' ', '-')}", f"p50 of the page {name} ÷ of GET of a course, {database}", 6, 4
    )
    for database in DATABASES
    for name in SHOWN
}
PAGES_GROWN = {
    (database, name): _less(
        f"page-{database.lower()}-{name.replace(' ', '-')}-many",
        f"p99 of the page {name}, 100k ÷ 1k courses, {database}",
        1.3,
        1.15,
    )
    for database in DATABASES
    for name in SHOWN
}
FIRST_PAGE = {
    database: _less(f"first-page-{database.lower()}", f"the first page and what it loads, compressed, {database}", 60, 40, "kB")
    for database in DATABASES
}
PAGE = _less("deep-page", "p99 of a page of the audit log, deep ÷ first", 2, 1.2)
EXPORT = _more("export", "rows/s of the audit export ÷ psql \\copy", 0.5, 0.7)
VERIFY = {
    1: _more("verify-1", "entries/s of audit verify --chains ÷ raw SHA-256, 1 process", 0.20, 0.3),
    2: _more("verify-2", "entries/s of audit verify --chains ÷ raw SHA-256, 2 processes", 0.35, 0.5),
}
VERIFY_NEW = _less("verify-new", "audit verify --kept: a million old entries and a thousand new ÷ a thousand alone", 3, 1.5)
FIRE = _less("fire", "fire: decide and seal", 150, 60, "µs")
READY = _less("ready", "start to ready", 1.5, 1.0, "s")
MEMORY = _less("memory", "resident memory of a process, after load", 150, 110, "MB")
