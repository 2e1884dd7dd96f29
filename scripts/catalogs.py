"""Keeps the catalogues of the pages' texts: `python scripts/catalogs.py` finds every text and merges it into each language.

Translations that exist stay, texts that are gone go. It also reads a catalogue in which a merge left both sides: run it again after a
conflict. `--check` changes nothing, and fails if a catalogue is not what it would write or lacks a translation. `--open` prints those.
"""

import argparse
import io
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.web import answers, inbox, language, refusals
from ipt_workflow.web.admin import terms
from ipt_workflow.web.audit import words as audit_words
from ipt_workflow.web.forms import labels

WEB = Path(language.__file__).parent
KEYWORDS = {
    "_": None,
    "noted": None,
    "n_": (1, 2),
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
METHODS = [("**/*.py", "python"), ("**/templates/**.html", babel_extract)]
OPTIONS = {"**/templates/**.html": {"trimmed": "true", "trim_blocks": "true", "silent": "false"}}
TRANSLATED = [each for each in language.LANGUAGES if each != "en"]
CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
PLACES = re.compile(r"%\(\w+\)s|\{\w+\}")


def configured() -> Iterator[str]:
    """What the shipped protocols and scales are called, the bands of the scales and their questions."""
    for path in sorted((WEB.parents[1] / "config").glob("*/*.toml")):
        document = toml_table(path)
        yield document["title"]
        yield from (band["label"] for band in document.get("bands", ()))
        yield from document.get("item_texts", ())


# Texts that stand in files of data.
LISTED = (
    *(answers.every_text, refusals.every_text),
    *(labels.every_text, configured),
    *(inbox.every_text,),
    *(audit_words.every_text, terms.every_text),
)


def path_of(tongue: str) -> Path:
    return language.CATALOGUES / tongue / "LC_MESSAGES" / "ipt.po"


def texts() -> Catalog:
    """Every text of the pages."""
    found = Catalog(charset="utf-8")
    for _file, _line, message, _comments, context in extract_from_dir(WEB, METHODS, OPTIONS, KEYWORDS):
        found.add(message, context=context)
    for source in LISTED:
        for each in source():
            if each:
                found.add(each)
    return found


def sides(path: Path) -> Iterator[str]:
    """The versions of a file: as it is, or while it is in conflict as both branches have it."""
    text = path.read_text(encoding="utf-8")
    if not CONFLICT.search(text):
        yield text
        return
    for stage in ("2", "3"):
        yield subprocess.run(
            ["git", "show", f":{stage}:./{path.name}"],
            cwd=path.parent,
            check=True,
            capture_output=True,
            text=True,
            encoding="utf-8",
        ).stdout


def known(tongue: str) -> dict[tuple[object, str | None], Message]:
    """The translations that a catalogue has, from either side of a merge."""
    found: dict[tuple[object, str | None], Message] = {}
    path = path_of(tongue)
    for side in sides(path) if path.is_file() else ():
        for message in read_po(io.BytesIO(side.encode()), locale=tongue):
            if message.id and is_translated(message):
                found.setdefault((message.id, message.context), message)
    return found


def is_translated(message: Message) -> bool:
    return all(message.string) if isinstance(message.string, tuple) else bool(message.string)


def merged(tongue: str) -> Catalog:
    """The catalogue of a language with every text, and the translations that it has."""
    translations, catalog = known(tongue), Catalog(locale=tongue, charset="utf-8")
    for text in texts():
        if text.id:
            before = translations.get((text.id, text.context))
            catalog.add(text.id, before.string if before else None, context=text.context)
    return catalog


def written(catalog: Catalog) -> str:
    """A catalogue as its file: sorted, without what changes by itself."""
    content = io.BytesIO()
    write_po(content, catalog, width=0, no_location=True, omit_header=True, sort_output=True)
    header = (
        f'msgid ""\nmsgstr ""\n"Language: {catalog.locale}\\n"\n"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Plural-Forms: {catalog.plural_forms}\\n"\n\n'
    )
    return header + content.getvalue().decode()


def faults(catalog: Catalog) -> list[str]:
    """Texts without a translation, and translations with other places for values than their text."""
    found = []
    for message in catalog:
        if not message.id:
            continue
        shown = message.id[0] if isinstance(message.id, tuple) else message.id
        if not is_translated(message):
            found.append(f"not translated: {shown}")
            continue
        pairs = zip(message.id, message.string, strict=True) if isinstance(message.id, tuple) else [(message.id, message.string)]
        # the text for one may say the number in words
        if any(set(PLACES.findall(theirs)) - {"%(num)s"} != set(PLACES.findall(ours)) - {"%(num)s"} for ours, theirs in pairs):
            found.append(f"other values than its text: {shown}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and fail if something is to be done")
    parser.add_argument("--open", action="store_true", help="print what is to be translated")
    asked = parser.parse_args()
    failed = False
    for tongue in TRANSLATED:
        catalog, path = merged(tongue), path_of(tongue)
        content, wrong = written(catalog), faults(catalog)
        stale = not path.is_file() or path.read_text(encoding="utf-8") != content
        if not asked.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        elif stale:
            print(f"{path} is stale: run scripts/catalogs.py")
        if asked.open or asked.check:
            print("\n".join(wrong))
        print(f"{tongue}: {len(catalog)} texts, {len(wrong)} to do")
        failed = failed or bool(wrong) or stale
    return int(asked.check and failed)


if __name__ == "__main__":
    sys.exit(main())
