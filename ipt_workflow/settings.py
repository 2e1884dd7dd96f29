"""Settings: `config/service.toml`, over which the environment takes precedence. Every default stands in that file alone."""

import os
import tomllib
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import sqlalchemy as sa
from pydantic import Field

from ipt_workflow.errors import Fault, SettingsInvalid

PREFIX = "IPT_"
NOT_SETTINGS = ("IPT_CONFIG_DIR", "IPT_TEST_")  # the first is read before any setting, the others by the tests
PACKAGE = Path(__file__).parent


class Settings(pydantic.BaseModel):
    """Each field is documented beside its default in `config/service.toml`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    config_dir: Path
    database_url: str
    organisation: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    time_zone: str
    log_format: Literal["auto", "json", "console"]
    log_level: Literal["debug", "info", "warning", "error"]
    page_limit_default: Annotated[int, Field(ge=1, le=1000)]
    page_limit_max: Annotated[int, Field(ge=1, le=1000)]
    body_bytes_max: Annotated[int, Field(ge=1024, le=10_485_760)]
    idempotency_hours: Annotated[int, Field(ge=1, le=720)]
    token_days: Annotated[int, Field(ge=1, le=3650)]
    clock_ahead_seconds: Annotated[int, Field(ge=0, le=3600)]
    export_chunk: Annotated[int, Field(ge=1, le=10_000)]
    public_schema: bool

    @pydantic.field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise ValueError("must be an IANA time zone such as Europe/Berlin")
        return value

    @pydantic.field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        try:
            backend = sa.make_url(value).get_backend_name()
        except (sa.exc.ArgumentError, ValueError):
            backend = ""
        if backend not in {"sqlite", "postgresql"}:
            raise ValueError("must be sqlite:///… or postgresql://…")
        return value

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    @property
    def protocols(self) -> Path:
        return self.config_dir / "protocols"

    @property
    def instruments(self) -> Path:
        return self.config_dir / "instruments"


def default_config_dir() -> Path:
    """The `config/` of the source tree, or the copy that an installed wheel carries."""
    beside = PACKAGE.parent / "config"
    return beside if (beside / "service.toml").is_file() else PACKAGE / "_config"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises SettingsInvalid with every fault."""
    environment = os.environ if environ is None else environ
    config_dir = Path(environment.get("IPT_CONFIG_DIR") or default_config_dir())
    told = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and not name.startswith(NOT_SETTINGS)
    }
    faults: list[Fault] = []
    values = {**_file(config_dir / "service.toml", faults), **told, "config_dir": config_dir}
    if faults:
        raise SettingsInvalid(faults)
    try:
        return Settings(**values)
    except pydantic.ValidationError as error:
        raise SettingsInvalid([_fault(each, told) for each in error.errors()]) from None


def _file(path: Path, faults: list[Fault]) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(
            Fault("IPT_CONFIG_DIR", f"has no {path.name}: it must name a folder like the config/ this software comes with")
        )
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(Fault(path.name, f"is not TOML: {error}"))
    return {}


def _fault(error: Any, told: Mapping[str, str]) -> Fault:
    name = ".".join(str(part) for part in error["loc"])
    where = PREFIX + name.upper() if name in told else f"service.toml: {name}"
    if error["type"] == "extra_forbidden":
        return Fault(where, "is no setting; config/service.toml lists them all")
    return Fault(where, error["msg"].removeprefix("Value error, "))
