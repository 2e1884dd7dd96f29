"""The main pages beside the API's answer for one course, with a therapist of some forty courses; and at a hundred thousand courses beside a
thousand. On both databases.
"""

import contextlib
import functools
import http.client
import json
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from bench import copies, goals, product
from bench.copies import COURSE_ID
from bench.figures import Goal, Row, row
from bench.processes import HOST, BenchFailed
from bench.run import Load, Run, details, fault_of

DEVELOPMENT = {"IPT_DEVELOPMENT": "true"}  # so that one-time links sign in
USUAL = 20  # copies of a course: with those of the demonstration, what one therapist has
SECONDS = {"seconds": 2.0, "warm_up": 0.5}  # many pages are measured
PAGES = {
    "my day": ("therapist", "/"),
    "courses": ("therapist", "/courses"),
    "a course": ("therapist", f"/courses/{COURSE_ID}"),
    "session note": ("therapist", f"/courses/{COURSE_ID}/session"),
    "history": ("therapist", f"/courses/{COURSE_ID}/history"),
    "supervision": ("supervisor", "/"),
    "audit": ("auditor", "/"),
}
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')
_LOADED = re.compile(r'(?:href|src)="([^"]*/static/[^"]+)"')


class Contender:
    """A process of the service over so many courses, with a cookie for each role."""

    def __init__(self, run: Run, port: int, courses: int, links: Mapping[str, str], token: str) -> None:
        self._run, self.port, self._courses, self._token = run, port, courses, token
        self._cookies = {role: signed_in(port, path) for role, path in links.items()}

    def page(self, name: str) -> Load:
        role, path = PAGES[name]
        return self._load(path, {"Cookie": self._cookies[role], "Accept": "text/html"})

    def api(self) -> Load:
        return self._load(f"/v1/courses/{COURSE_ID}", {"Authorization": f"Bearer {self._token}"})

    def first_page(self) -> int:
        """The bytes of the therapist's first page and of everything that it loads, compressed."""
        headers = {"Cookie": self._cookies["therapist"], "Accept-Encoding": "gzip"}
        plain = _get(self.port, "/", {"Cookie": self._cookies["therapist"]}).decode()
        return sum(len(_get(self.port, path, headers)) for path in ("/", *_LOADED.findall(plain)))

    def _load(self, path: str, headers: Mapping[str, str]) -> Load:
        requests = {"paths": [path], "headers": headers, "courses": self._courses}
        return self._run.load([self.port], 1, requests, **SECONDS)


def run_all(run: Run) -> list[Row]:
    return [*_postgresql(run), *_sqlite(run)]


def _counts(run: Run) -> tuple[int, int, int]:
    return USUAL, run.sizes.courses, run.sizes.page_courses


def _postgresql(run: Run) -> list[Row]:
    urls = {}
    for courses in _counts(run):
        name = f"pages_{courses}"
        run.database(name, run.whole, courses)
        urls[courses] = run.postgres.url(name)
    return _rows(run, "PostgreSQL", urls)


def _sqlite(run: Run) -> list[Row]:
    urls = {}
    for courses in _counts(run):
        file = run.folder / f"pages-{courses}.db"
        urls[courses] = f"sqlite:///{file}"
        product.cli(urls[courses], "db", "upgrade")
        product.demonstration(urls[courses])
        run.progress.step(f"{courses} courses on SQLite")
        copies.fill_sqlite(file, copies.Template(copies.read_sqlite(file, product.WHOLE, product.THERAPIST)), courses)
    return _rows(run, "SQLite", urls)


def _rows(run: Run, database: str, urls: Mapping[int, str]) -> list[Row]:
    _, few_courses, many_courses = urls
    with contextlib.ExitStack() as stack:
        served = {
            courses: stack.enter_context(product.serving(url, run.log, settings=DEVELOPMENT))[0] for courses, url in urls.items()
        }
        usual, few, many = (_contender(run, served[courses].port, courses, url) for courses, url in urls.items())
        measured = run.rounds(
            {
                f"GET of a course, {database}": usual.api,
                **{f"{name}, {database}": functools.partial(usual.page, name) for name in PAGES},
                **{f"{name} at {few_courses}, {database}": functools.partial(few.page, name) for name in PAGES},
                **{f"{name} at {many_courses}, {database}": functools.partial(many.page, name) for name in PAGES},
            }
        )
        size = row(goals.FIRST_PAGE[database], [usual.first_page() / 1000], each=" kB")
    api = measured[f"GET of a course, {database}"]
    rows = [size]
    for name in PAGES:
        at_few, at_many = (measured[f"{name} at {courses}, {database}"] for courses in (few_courses, many_courses))
        rows += [
            _row(goals.PAGES[database, name], measured[f"{name}, {database}"], api, "p50_ms", "GET of a course"),
            _row(goals.PAGES_GROWN[database, name], at_many, at_few, "p99_ms", f"{few_courses} courses"),
        ]
    return rows


def _row(goal: Goal, ours: list[Load], other: list[Load], figure: str, against: str) -> Row:
    return row(
        goal,
        [each.get(figure, 0.0) for each in ours],
        [each.get(figure, 1.0) for each in other],
        each=" ms",
        against=against,
        note="1 client",
        fault=fault_of([*ours, *other]),
        details=details("ours", ours) + details("other", other),
    )


def _contender(run: Run, port: int, courses: int, url: str) -> Contender:
    made = json.loads(product.cli(url, "demo", "--json", **DEVELOPMENT))
    return Contender(run, port, courses, made["links"], made["tokens"]["therapist"])


def signed_in(port: int, link: str) -> str:
    """Uses a one-time link as a browser does. Returns the cookies of the session that it begins."""
    jar: dict[str, str] = {}
    page = _exchange(port, "GET", link, jar)
    form = urllib.parse.urlencode(_HIDDEN.findall(page.decode()))
    path = urllib.parse.urlsplit(link).path
    _exchange(port, "POST", path, jar, form)
    return _cookies(jar)


def _exchange(port: int, method: str, path: str, jar: dict[str, str], form: str | None = None) -> bytes:
    host = f"localhost:{port}"
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    headers |= {"Cookie": _cookies(jar)} if jar else {}
    headers |= {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request(method, path, form, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= 400:
        raise BenchFailed(f"{method} {path.partition('?')[0]} was answered with {answer.status}")
    for value in answer.headers.get_all("Set-Cookie") or ():
        name, _, rest = value.partition("=")
        jar[name] = rest.partition(";")[0]
    return content


def _get(port: int, path: str, headers: Mapping[str, str]) -> bytes:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", path, headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise BenchFailed(f"GET {Path(path).name} was answered with {answer.status}")
    return content


def _cookies(jar: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in jar.items() if value)
