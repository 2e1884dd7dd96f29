"""Tables as CSV for spreadsheets, in which no cell runs as a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would run a cell that begins like this


def csv_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """Rows as CSV in UTF-8. None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
