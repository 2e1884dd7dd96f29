"""Two results side by side: `python -m bench.compare OLD NEW`. Exits with 1 if a row became worse by more than the noise."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench import report
from bench.figures import changes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="Two results of the bench side by side.")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    files = parser.parse_args(arguments)
    old, new = _read(parser, files.old), _read(parser, files.new)
    found = changes(old["rows"], new["rows"])
    heads = [f"{name}: {each['revision']}, {each['made_at']}, {'quick, ' if each['quick'] else ''}{report.described(each['machine'])}"
             for name, each in (("old", old), ("new", new))]  # fmt: skip
    if old["quick"] != new["quick"]:
        heads.append("One of the two is a quick run. Its sizes differ, so figures may differ too.")
    report.print_changes(found, heads)
    return int(any(each.verdict == "worse" for each in found))


def _read(parser: argparse.ArgumentParser, file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        found["rows"], found["machine"]
    except OSError as error:
        parser.error(f"{file} cannot be read: {error.strerror}")
    except (ValueError, KeyError, TypeError):
        parser.error(f"{file} is not a result of the bench: it must be the JSON that `python -m bench --out FILE` writes")
    return dict(found)


if __name__ == "__main__":
    sys.exit(main())
