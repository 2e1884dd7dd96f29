"""The pages under docs/, as tests read and run them."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy.erasures import Erasures
from support import databases, service_walk

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The blocks of code of a page in one language."""
    return [text for each, text in FENCE.findall(page(name)) if each == language]


def erase(url: str) -> None:
    """Erases the client EHR-4711, as `client erase` does, in a thread: a test may have an event loop of its own."""

    async def work(clinic: Clinic) -> None:
        new = NewErasure(client_ref="EHR-4711", ground="objection")
        await Erasures(clinic).erase(Principal(person="admin-1", role="admin", via="cli"), lambda: new)

    with ThreadPoolExecutor() as thread:
        thread.submit(service_walk.with_clinic, databases.settings_of(url), work).result()


def erase_course(url: str, course: str) -> None:
    """Erases the texts of one course from a SQLite database."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("UPDATE entry_data SET salt = NULL, sealed = NULL WHERE course_id = ?", (course,))
    connection.commit()
    connection.close()
