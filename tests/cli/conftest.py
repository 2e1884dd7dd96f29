"""An empty database that the command line imports into."""

import os

import pytest
from support import databases
from support.imported import Imported


@pytest.fixture
def imported(tmp_path, monkeypatch) -> Imported:
    for name in [name for name in os.environ if name.startswith("IPT_")]:
        monkeypatch.delenv(name)
    settings = databases.empty(tmp_path)
    monkeypatch.setenv("IPT_DATABASE_URL", settings.database_url)
    return Imported(settings, tmp_path)
