"""No form, whoever sends it and whatever it holds, meets an error of the service's own; nothing that was typed becomes a part of a page's
code; and no cache keeps an answer.

The forms are those that people find who follow the links of their role, with their own fields; and every route of a page with fields of
all of them. What is sent is chosen by chance, the same in every run.
"""

import random
import re
import traceback
from collections import Counter
from typing import NamedTuple

import httpx
import pytest
from support import databases
from support.html_tree import parsed

from ipt_workflow.api import problems
from ipt_workflow.service import demo
from ipt_workflow.web.app import routers

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
ROLES = ("therapist", "supervisor", "auditor", "admin")
OF_ONE_KIND = 2  # pages that are looked at of each kind
LIKE = 2  # forms that are fuzzed of each kind
TIMES = 4  # that each is sent
MARK = "pwn7"  # in what must never be code
ENDS = re.compile("/sign-out|/sessions/|/role$|/access-token$")  # forms that end the session itself
NASTY = (
    *("", " ", "\x00", "a\x00b", "\r\n", "a\rb", "\x1b[31m", "\x85\u2028", "\ufeff", "\u202e", "💥", "ﬀ", "e\u0301", "x" * 20_000),
    *("²", "٣", "１２", "-1", "0", "1", "007", "1_0", "1e9", "1e309", "NaN", "9" * 9, "9" * 30, "9" * 5000, "0x10", "1,5", "½"),
    *("0001-01-01", "9999-12-31", "2026-02-30", "2026-W01-1", "20260301", "0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00"),
    *("2026-03-29T02:30", "1900-01-01T00:00", "2199-12-31T23:59", "2026-01-01T10:00+00:00:01", "24:00", "31/12/9999"),
    *(
        "true",
        "false",
        "None",
        "null",
        "[]",
        "{}",
        '{"keys": 1}',
        '{"keys": [{}]}',
        "[" * 2000,
        "\\",
        "%s %(x)s {0} {{7*7}}",
        "'--",
    ),
    *(
        f"<script>{MARK}</script>",
        f'"><svg onload={MARK}>',
        f"' autofocus onfocus={MARK} x='",
        f"javascript:{MARK}",
        f"]]>{MARK}<!--",
    ),
    *(
        "http://[",
        "http://127.0.0.1/",
        "//evil.example",
        "/\\evil.example",
        "../../etc/passwd",
        "Europe",
        "Europe/Berlin",
        "localtime",
    ),
    *("therapist-1", "supervisor-1", "admin-1", "nobody", "EHR-1", "phq9", "dismiss", "retry", "csv", "5", "2", "3"),
)
PART = re.compile(r"\{(\w+)\}")
PLACES = ("none", "1", "0", "999999999", "default", "ipt", "EHR-1", "%C2%B2", "a%2Fb")
NAMES = (
    *(
        "_key",
        "_version",
        "_add",
        "_discard",
        "_propose",
        "_override",
        "_why",
        "_do",
        "_scale",
        "reason",
        "occurred_at",
        "how",
        "client",
    ),
    *(
        "outcome",
        "at",
        "label",
        "action",
        "client_ref",
        "protocol",
        "therapist",
        "course",
        "_shown",
        "discussed.COURSE",
        "actions.COURSE",
    ),
    *(
        "verdict",
        "comment",
        "since",
        "until",
        "kind",
        "person",
        "after",
        "format",
        "member",
        "attendance.COURSE",
        "minutes",
        "id",
        "name",
    ),
    *(
        "roles",
        "supervisors",
        "zone",
        "language",
        "title",
        "jwks",
        "scopes",
        "url",
        "types",
        "signatures",
        "overlap_hours",
        "all_of_it",
    ),
    *(
        "text",
        "items.0.a",
        "days.0.on",
        "people.0.name",
        "people.1.closeness",
        "scale.phq9.1",
        "scale.phq9.total",
        "record.attendance",
    ),
    *(
        "risk.level",
        "sign.techniques",
        "appointment",
        "starts",
        "colleague",
        "key",
        "answer",
        "code",
        "password",
        "secret",
        "courses",
        "start",
    ),
)


class FoundForm(NamedTuple):
    """A form on a page: where it goes, and the fields that it has, with their values."""

    action: str
    fields: tuple[tuple[str, str], ...]


async def forms_of(browser) -> dict[str, list[FoundForm]]:
    """The forms that somebody finds who follows the links from the start page, by their kind. Every page on the way is looked at."""
    found: dict[str, list[FoundForm]] = {}
    seen, kinds, ahead = set(), Counter(), ["/", "/me"]
    while ahead:
        path = ahead.pop(0)
        kind = ID.sub("N", path.partition("?")[0])
        if path in seen or kinds[kind] == OF_ONE_KIND:
            continue
        seen.add(path)
        kinds[kind] += 1
        await browser.open(path)
        assert (browser.status < 500, code_in(browser.answer.text)) == (True, ""), path
        for form in browser.tree.all("form", method="post"):
            made = FoundForm(form.get("action") or path, tuple(fields_of(form)))
            of_kind = found.setdefault(ID.sub("N", made.action), [])
            if len(of_kind) < LIKE and made not in of_kind:
                of_kind.append(made)
        hrefs = (each["href"].partition("#")[0] for each in browser.tree.all("a") if each.get("href"))
        ahead += [href for href in hrefs if href.startswith("/")]
    return found


def fields_of(form):
    for each in form.all("input", "select", "textarea", "button"):
        if each.get("name") and each["name"] != "_csrf_token":
            options = [one.get("value", one.text) for one in each.all("option")] if each.tag == "select" else [each.get("value")]
            yield from ((each["name"], value) for value in options)


def typed(chance, fields, names):
    """Pairs for a form: some of its fields as they are, some with something nasty, some left out, some twice, some that it has not."""
    pairs = []
    for name, value in fields:
        how = chance.random()
        if (name.startswith("_") and how < 0.7) or how < 0.4:
            pairs.append((name, value))
        elif how < 0.85:
            pairs.append((name, chance.choice(NASTY)))
    if pairs and chance.random() < 0.3:
        pairs.append((chance.choice(pairs)[0], chance.choice(NASTY)))
    pairs += [(chance.choice(names), chance.choice(NASTY)) for _ in range(chance.randrange(3))]
    return pairs


class Fuzz:
    """Sends forms in somebody's name, and remembers every answer that must not be."""

    def __init__(self, browser, raised) -> None:
        self.browser = browser
        self.raised = raised
        self.faults = {}
        self.sent = 0

    async def send(self, path, pairs) -> None:
        token = self.browser.cookies.get("__Host-csrf", "")
        answer = await self.browser.client.post(
            path,
            content=str(httpx.QueryParams([*pairs, ("_csrf_token", token)])),
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Cookie": "; ".join(f"{name}={value}" for name, value in self.browser.cookies.items()),
                "Sec-Fetch-Site": "same-origin",
                "Accept": "text/html",
            },
        )
        self.browser.client.cookies.clear()
        self.sent += 1
        fault = fault_in(answer)
        if fault:
            short = [(name, value[:60]) for name, value in pairs]
            self.faults.setdefault((ID.sub("N", path), fault), (path, short, self.raised[-1:]))


def fault_in(answer) -> str:
    if answer.status_code >= 500 and not (answer.status_code == 503 and "retry-after" in answer.headers):  # one is busy by design
        return str(answer.status_code)
    if answer.headers.get("cache-control") != "no-store":
        return f"{answer.status_code}: Cache-Control {answer.headers.get('cache-control')}"
    if answer.status_code in {302, 303} and not re.fullmatch(r"/(?!/)[!-\[\]-~]*", answer.headers["location"]):
        return f"goes to {answer.headers['location']}"
    if answer.headers.get("content-type", "").startswith("text/html") and answer.text:
        return code_in(answer.text)
    return ""


def code_in(text) -> str:
    try:
        tree = parsed(text)
    except AssertionError as error:
        return str(error)
    for each in tree.walk():
        if each.tag == "script" and MARK in "".join(map(str, each.children)):
            return "a script"
        for name, value in each.attributes.items():
            if (
                name.startswith("on")
                or name == "style"
                or (name in {"href", "action", "src"} and value.startswith(("javascript", "//", "http")))
            ):
                return f"{each.tag} {name}={value}"
    return ""


@pytest.fixture
def settings(server, tmp_path):
    """Each test runs on both databases, which take different texts."""
    return databases.empty(tmp_path, server)


@pytest.fixture
def raised(monkeypatch):
    """What the service did not mean to raise."""
    found = []
    log = problems.log_unexpected

    def note(error):
        found.append("".join(traceback.format_exception(error)[-6:]))
        log(error)

    monkeypatch.setattr(problems, "log_unexpected", note)
    return found


@pytest.mark.matrix(4)
@pytest.mark.parametrize("role", ROLES)
def test_no_address_of_a_form_meets_an_error(browse, raised, settings, role):
    async def test(site):
        course = (await (await site.api()).open())["id"]
        browser = await (await site.visitor(f"{role}-1", role)).open("/")
        chance, fuzz = random.Random(23), Fuzz(browser, raised)
        given = {
            "course_id": [course],
            "trigger": ["note", "record_inventory", "record_measure", "book_series", "begin_middle", "x"],
        }
        for path in forms_addresses(settings):
            if ENDS.search(path):
                continue
            for _ in range(2):
                address = PART.sub(lambda part: chance.choice(given.get(part[1], PLACES)), path)
                pairs = [(chance.choice(NAMES).replace("COURSE", course), chance.choice(NASTY)) for _ in range(chance.randrange(8))]
                await fuzz.send(address, pairs)
        assert (fuzz.faults, fuzz.sent > 100) == ({}, True)

    browse(test)


def forms_addresses(settings):
    signed_in, opened, _ = routers(settings)
    return sorted(route.path_format for each in (signed_in, opened) for route in each.routes if "POST" in route.methods)


@pytest.mark.rest
@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ROLES)
def test_no_form_that_somebody_finds_meets_an_error(browse, raised, role):
    async def test(site):
        await demo.make(site.clinic)
        browser = await site.visitor(f"{role}-1", role)
        forms = await forms_of(browser)
        names = sorted({name for of_kind in forms.values() for form in of_kind for name, _ in form.fields})
        chance, fuzz = random.Random(23), Fuzz(browser, raised)
        for kind in sorted(forms):
            for form in forms[kind] if not ENDS.search(kind) else ():
                for _ in range(TIMES):
                    await fuzz.send(form.action, typed(chance, form.fields, names))
        assert (fuzz.faults, fuzz.sent > 20) == ({}, True)
        assert await forms_of(browser)  # pages show what was kept of it

    browse(test)
