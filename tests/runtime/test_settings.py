"""Settings: one file of defaults, the environment over it, and no start with a fault."""

import subprocess
import sys
import tomllib
import zoneinfo
from pathlib import Path

import pydantic
import pytest

from ipt_workflow.errors import SettingsInvalid
from ipt_workflow.runtime import settings
from ipt_workflow.runtime.settings import Settings, load

SERVICE_TOML = settings.default_config_dir() / "service.toml"


def faults(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return {fault.where: fault.message for fault in caught.value.faults}


def config_dir(folder: Path, *, add: str = "", without: str = "") -> str:
    """A copy of the defaults with a line more, or a setting less."""
    kept = [line for line in SERVICE_TOML.read_text().splitlines() if not without or not line.startswith(without)]
    (folder / "service.toml").write_text("\n".join([*kept, add]))
    return str(folder)


def test_every_default_is_the_one_in_service_toml() -> None:
    loaded = load({}).model_dump(exclude={"config_dir"})
    assert loaded == tomllib.loads(SERVICE_TOML.read_text())


def test_no_setting_has_a_second_default_in_the_code() -> None:
    assert all(field.is_required() for field in Settings.model_fields.values())


def test_every_setting_is_documented_by_the_comment_above_it() -> None:
    blocks = SERVICE_TOML.read_text().split("\n\n")[1:]
    assert all(block.startswith("# ") for block in blocks)


def test_the_environment_takes_precedence_over_the_file() -> None:
    loaded = load({"IPT_PORT": "9000", "IPT_PUBLIC_SCHEMA": "false"})
    assert loaded.port == 9000
    assert loaded.public_schema is False


def test_names_that_are_not_ours_are_left_alone() -> None:
    assert load({"PORT": "1", "IPTABLES": "x", "IPT_TEST_POSTGRES_URL": "postgresql:///x"}) == load({})


def test_all_faults_are_listed_at_once_by_the_name_that_set_them() -> None:
    found = faults({"IPT_PROT": "9000", "IPT_PORT": "many", "IPT_TIME_ZONE": "Mars/Olympus", "IPT_LOG_LEVEL": "loud"})
    assert set(found) == {"IPT_PROT", "IPT_PORT", "IPT_TIME_ZONE", "IPT_LOG_LEVEL"}
    assert "Europe/Berlin" in found["IPT_TIME_ZONE"]
    assert "'debug', 'info', 'warning' or 'error'" in found["IPT_LOG_LEVEL"]


def test_a_name_that_only_begins_like_a_known_one_is_refused() -> None:
    assert set(faults({"IPT_CONFIG_DIRECTORY": "elsewhere"})) == {"IPT_CONFIG_DIRECTORY"}


def test_the_message_names_the_fault_and_not_the_value() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load({"IPT_DATABASE_URL": "mysql://someone:secret@host/name"})
    assert "IPT_DATABASE_URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_importing_the_settings_loads_no_database_library() -> None:
    code = "import sys, ipt_workflow.runtime.settings; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/ipt.db",
        "sqlite:////srv/ipt.db",
        "sqlite:///var/ipt.db?mode=ro",
        "postgresql://ipt@db/ipt",
        "postgresql://ipt:p/a#s?s@db:5432/ipt?sslmode=require",
        "postgresql://[::1]:5432/ipt",
        "postgresql:///ipt?host=/run/pg",
    ],
)
def test_sqlite_files_and_postgresql_are_understood(url: str) -> None:
    assert load({"IPT_DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ipt.db",
        "sqlite://",
        "sqlite:///?mode=ro",
        "SQLITE:///ipt.db",
        "mysql://db/ipt",
        "sqlite+aiosqlite:///ipt.db",
        "postgresql+asyncpg://db/ipt",
        "postgresql://db:port/ipt",
    ],
)
def test_other_databases_and_urls_that_name_a_driver_are_refused(url: str) -> None:
    assert set(faults({"IPT_DATABASE_URL": url})) == {"IPT_DATABASE_URL"}


def test_the_default_page_may_not_be_larger_than_the_largest() -> None:
    found = faults({"IPT_PAGE_LIMIT_DEFAULT": "100", "IPT_PAGE_LIMIT_MAX": "99"})
    assert "less than page_limit_default (100)" in found["IPT_PAGE_LIMIT_MAX"]


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("IPT_DELIVERY_RETRY_SECONDS", "", "numbers of seconds"),
        ("IPT_DELIVERY_RETRY_SECONDS", "5,soon", "numbers of seconds"),
        ("IPT_DELIVERY_RETRY_SECONDS", ",".join(["5"] * 21), "1 to 20"),
        ("IPT_DELIVERY_PORTS", "", "443,8443"),
        ("IPT_DELIVERY_PORTS", "443,0", "443,8443"),
        ("IPT_DELIVERY_PORTS", "99999", "443,8443"),
        ("IPT_DELIVERY_NETWORKS", "10.0.0.1/8", "no network"),
        ("IPT_DELIVERY_NETWORKS", "hospital", "no network"),
        ("IPT_SECRET_KEYS", "secret", "Fernet keys"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused_with_an_example_of_a_right_one(name: str, value: str, fault: str) -> None:
    assert fault in faults({name: value})[name]


def test_keys_that_are_none_are_not_repeated() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load({"IPT_SECRET_KEYS": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_a_key_of_the_file_that_is_no_setting_is_refused(tmp_path: Path) -> None:
    assert set(faults({"IPT_CONFIG_DIR": config_dir(tmp_path, add="prot = 1")})) == {"service.toml: prot"}


def test_a_setting_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    assert "is missing" in faults({"IPT_CONFIG_DIR": config_dir(tmp_path, without="port")})["service.toml: port"]


def test_the_config_folder_is_named_by_the_environment_alone(tmp_path: Path) -> None:
    found = faults({"IPT_CONFIG_DIR": config_dir(tmp_path, add='config_dir = "x"')})
    assert set(found) == {"service.toml: config_dir"}


@pytest.mark.parametrize(("text", "where"), [(None, "IPT_CONFIG_DIR"), ("port = ", "service.toml")])
def test_a_file_that_cannot_be_read_is_named_beside_the_other_faults(tmp_path: Path, text: str | None, where: str) -> None:
    if text is not None:
        (tmp_path / "service.toml").write_text(text)
    assert set(faults({"IPT_CONFIG_DIR": str(tmp_path), "IPT_PORT": "many"})) == {where, "IPT_PORT"}


def test_protocols_and_instruments_are_folders_of_the_config_folder(tmp_path: Path) -> None:
    loaded = load({"IPT_CONFIG_DIR": config_dir(tmp_path)})
    assert (loaded.protocols, loaded.instruments) == (tmp_path / "protocols", tmp_path / "instruments")


def test_the_time_zone_is_ready_to_use() -> None:
    assert load({"IPT_TIME_ZONE": "Europe/Berlin"}).zone == zoneinfo.ZoneInfo("Europe/Berlin")


def test_settings_do_not_change_once_loaded() -> None:
    loaded = load({})
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        loaded.port = 1
