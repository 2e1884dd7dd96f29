"""The pages under docs/, as tests read and run them."""

import re
import sqlite3
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    return [text for each, text in FENCE.findall(page(name)) if each == language]


def erase(url: str) -> None:
    """Erases a client from a SQLite database as docs/audit.md says."""
    (statements,) = blocks("audit.md", "sql")
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.executescript(f"BEGIN; {statements} COMMIT;")
    connection.close()


def erase_course(url: str, course: str) -> None:
    """Erases the texts of one course from a SQLite database."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE course_id = ?", (course,))
    connection.commit()
    connection.close()
