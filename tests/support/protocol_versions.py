"""Folders of configuration with further versions of the default protocol. Each is made from its file by replacing some text."""

import shutil
from pathlib import Path

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.settings import Settings

CONFIG = Path(__file__).parents[2] / "config"
SMALLER_CAP = ("sessions_max = 3\nsessions_max_extended = 4 ", "sessions_max = 2\nsessions_max_extended = 3 ")
LARGER_CAP = ("sessions_max = 3\nsessions_max_extended = 4 ", "sessions_max = 5\nsessions_max_extended = 6 ")
HARD_TIMELINE = ('soft = ["timeline"]', "soft = []")


def write(folder: Path, number: int, *replaced: tuple[str, str], name: str = "") -> Path:
    """Writes the file of a version into a folder."""
    text = (CONFIG / "protocols" / "ipt.toml").read_text(encoding="utf-8")
    for old, new in (("version = 2\n", f"version = {number}\n"), *replaced):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = folder / (name or f"ipt@{number}.toml")
    file.write_text(text, encoding="utf-8")
    return file


def config(folder: Path, *replaced: tuple[str, str], number: int = 3) -> Path:
    """A folder of configuration with this version beside the one that ships."""
    shutil.copytree(CONFIG, folder)
    write(folder / "protocols", number, *replaced)
    return folder


def settings_with(settings: Settings, folder: Path) -> Settings:
    """The same database with another folder of configuration."""
    return configuration.load({"IPT_DATABASE_URL": settings.database_url, "IPT_RELAY": "false", "IPT_CONFIG_DIR": str(folder)})
