"""Whoever reads a page reads it in their language and their zone, and every text of the pages is in every language."""

import datetime as dt
import importlib.util
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from babel.messages.catalog import Catalog

from ipt_workflow.web import language
from ipt_workflow.web.language import Reader, _, accepted, clock, day, moment, n_, number, short_day

ROOT = Path(__file__).parents[2]
NOON = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("catalogs_script", ROOT / "scripts" / "catalogs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def read_by():
    """Says who reads, until the test ends."""
    token = language._reader.set(language.ANYBODY)
    yield lambda tongue, zone="UTC": language._reader.set(Reader(tongue, ZoneInfo(zone)))
    language._reader.reset(token)


@pytest.mark.parametrize(
    ("header", "tongue"),
    (
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("fr, en;q=0.4, de;q=0.7", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr", "en"),
        ("de;q=x, en;q=0.1", "en"),
        ("*", "en"),
    ),
)
def test_the_browsers_first_language_that_the_pages_speak_is_taken(header, tongue):
    assert accepted(header) == tongue


@pytest.mark.parametrize(
    ("tongue", "zone", "read"),
    (
        ("en", "UTC", ("5 January 2026", "Mon 5 Jan", "12:00", "5 Jan 2026, 12:00", "1,234.5")),
        ("de", "Europe/Berlin", ("5. Januar 2026", "Mo., 5. Jan.", "13:00", "05.01.2026, 13:00", "1.234,5")),
    ),
)
def test_days_times_and_numbers_are_written_as_the_reader_writes_them(read_by, tongue, zone, read):
    read_by(tongue, zone)
    assert (day(NOON), short_day(NOON), clock(NOON), moment(NOON), number(1234.5)) == read


def test_a_moment_near_midnight_falls_on_the_readers_day(read_by):
    read_by("en", "Pacific/Auckland")
    assert day(NOON.replace(hour=20)) == "6 January 2026"
    assert day(dt.date(2026, 1, 5)) == "5 January 2026"


@pytest.mark.parametrize("text", ["", "100 % of it", "%", "%s"])
def test_a_text_of_others_without_values_stays_as_it_is(read_by, text):
    read_by("de", "UTC")
    assert (_(text), language.gettext(text)) == (text, text)


def test_a_text_that_no_catalogue_has_is_english(read_by):
    read_by("de")
    assert _("No such text: %(what)s", what=1) == "No such text: 1"
    assert n_("%(num)s such text", "%(num)s such texts", 2) == "2 such texts"


@pytest.mark.parametrize("tongue", [each for each in language.LANGUAGES if each != "en"])
def test_every_text_is_translated(script, tongue):
    catalog = script.merged(tongue)
    assert script.faults(catalog) == [], "translate these in ipt_workflow/web/catalogs"
    assert script.path_of(tongue).read_text(encoding="utf-8") == script.written(catalog), "run scripts/catalogs.py"


def test_a_translation_that_loses_a_value_is_found(script):
    catalog = Catalog(locale="de")
    catalog.add("Sign in as %(person)s", "Anmelden")
    catalog.add(("%(num)s day", "%(num)s days"), ("ein Tag", "%(num)s Tage"))
    catalog.add("Nothing")
    assert script.faults(catalog) == ["other values than its text: Sign in as %(person)s", "not translated: Nothing"]


def test_translations_of_both_branches_are_kept_in_a_conflict(script, tmp_path, monkeypatch):
    def git(*words, check=True):
        identity = ("-c", "user.name=x", "-c", "user.email=x@x.example")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=check, capture_output=True)

    def branch(name, one, two):
        git("checkout", "-q", "-B", name, "start")
        path.write_text(f'msgid "a"\nmsgstr "{one}"\n\nmsgid "b"\nmsgstr "{two}"\n')
        git("commit", "-qam", name)

    path = tmp_path / "ipt.po"
    monkeypatch.setattr(script, "path_of", lambda _tongue: path)
    git("init", "-q")
    path.write_text('msgid "a"\nmsgstr ""\n\nmsgid "b"\nmsgstr ""\n')
    git("add", ".")
    git("commit", "-qm", "start")
    git("branch", "start")
    branch("ours", "", "zwei")
    branch("theirs", "eins", "other")
    git("checkout", "-q", "ours")
    git("merge", "theirs", check=False)
    assert "<<<<<<<" in path.read_text()
    assert {key[0]: message.string for key, message in script.known("de").items()} == {"a": "eins", "b": "zwei"}
