"""Settings: the defaults of `config/service.toml`, which the environment overrides. No default is anywhere else."""

import datetime as dt
import functools
import ipaddress
import os
import re
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

from ipt_workflow.errors import Fault, SettingsInvalid
from ipt_workflow.runtime import database_urls, documents

PREFIX = "IPT_"
CONFIG_DIR = "IPT_CONFIG_DIR"  # read before any setting
FOR_TESTS = "IPT_TEST_"
PACKAGE = Path(__file__).parent.parent
_zones = functools.cache(zoneinfo.available_timezones)  # it reads a directory tree
_PUBLIC_URL = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%-]+)*")
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_OPENING = re.compile(r"^(Input|String) should")  # how pydantic's messages begin
_FERNET_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")


class Settings(pydantic.BaseModel):
    """Each field is documented beside its default in `config/service.toml`."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    config_dir: Path
    database_url: str
    sandbox_database_url: str
    organisation: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    drain_seconds: Annotated[float, Field(ge=0, le=300)]
    public_url: str
    time_zone: str
    log_format: Literal["auto", "json", "console"]
    log_level: Literal["debug", "info", "warning", "error"]
    page_limit_default: Annotated[int, Field(ge=1, le=1000)]
    page_limit_max: Annotated[int, Field(ge=1, le=1000)]
    body_bytes_max: Annotated[int, Field(ge=1024, le=10_485_760)]
    bodies_bytes_max: Annotated[int, Field(ge=1_048_576, le=1_073_741_824)]
    connections_max: Annotated[int, Field(ge=4, le=100_000)]
    head_seconds: Annotated[int, Field(ge=1, le=300)]
    body_seconds: Annotated[int, Field(ge=1, le=3600)]
    answer_seconds: Annotated[int, Field(ge=1, le=3600)]
    long_requests_max: Annotated[int, Field(ge=1, le=100)]
    rate_limit_seconds: Annotated[int, Field(ge=1, le=3600)]
    rate_limit_credential: Annotated[int, Field(ge=0, le=10_000_000)]
    rate_limit_organisation: Annotated[int, Field(ge=0, le=10_000_000)]
    rate_limit_address: Annotated[int, Field(ge=0, le=10_000_000)]
    proxy_networks: str
    log_addresses: bool
    failure_days: Annotated[int, Field(ge=1, le=3650)]
    idempotency_hours: Annotated[int, Field(ge=1, le=720)]
    token_days: Annotated[int, Field(ge=1, le=3650)]
    session_idle_minutes: Annotated[int, Field(ge=1, le=720)]
    session_hours: Annotated[int, Field(ge=1, le=24)]
    reauthentication_minutes: Annotated[int, Field(ge=1, le=60)]
    clock_ahead_seconds: Annotated[int, Field(ge=0, le=3600)]
    export_chunk: Annotated[int, Field(ge=1, le=10_000)]
    public_schema: bool
    fhir_canonical: Annotated[str, Field(pattern=r"^(urn:[a-z0-9][a-z0-9-]{1,31}(:[A-Za-z0-9._-]+)*|https?://[^\s?#|]*[^\s?#|/])$")]
    fhir_patient_system: Annotated[str, Field(pattern=r"^([a-z][a-z0-9+.-]*:[^\s|]+)?$")]
    relay: bool
    relay_poll_seconds: Annotated[float, Field(ge=0.01, le=60)]
    attention_scan_seconds: Annotated[float, Field(ge=0.01, le=3600)]
    delivery_concurrency: Annotated[int, Field(ge=1, le=100)]
    delivery_concurrency_each: Annotated[int, Field(ge=1, le=100)]
    delivery_timeout_seconds: Annotated[float, Field(ge=0.1, le=60)]
    delivery_retry_seconds: str
    delivery_disable_hours: Annotated[int, Field(ge=1, le=8760)]
    delivery_days: Annotated[int, Field(ge=1, le=3650)]
    delivery_ports: str
    delivery_networks: str
    secret_keys: str
    client_keys: bool
    log_key_file: str
    log_policy_file: str
    verifier: bool
    verifier_database_url: str
    development: bool
    commit_batch_max: Annotated[int, Field(ge=1, le=1000)]
    commit_queue_max: Annotated[int, Field(ge=1, le=100_000)]
    commit_patience_seconds: Annotated[float, Field(gt=0, le=300)]
    database_connections: Annotated[int, Field(ge=1, le=100)]
    statement_seconds: Annotated[float, Field(gt=0, le=300)]
    notice_bytes_max: Annotated[int, Field(ge=1024, le=33_554_432)]
    notices_waiting_max: Annotated[int, Field(ge=1, le=1_000_000)]

    @pydantic.field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if not is_zone(value):
            raise ValueError("must be an IANA time zone such as Europe/Berlin")
        return value

    @pydantic.field_validator("page_limit_max")
    @classmethod
    def _holds_the_default(cls, value: int, info: pydantic.ValidationInfo) -> int:
        default = info.data.get("page_limit_default", value)
        if value < default:
            raise ValueError(
                f"is {value}, less than page_limit_default ({default}): raise page_limit_max or lower page_limit_default"
            )
        return value

    @pydantic.field_validator("database_url", "sandbox_database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        database_urls.parse(value)
        return value

    @pydantic.field_validator("verifier_database_url")
    @classmethod
    def _known_database_or_none(cls, value: str) -> str:
        if value:
            database_urls.parse(value)
        return value

    @pydantic.field_validator("public_url")
    @classmethod
    def _known_address(cls, value: str) -> str:
        if value and not _PUBLIC_URL.fullmatch(value):
            raise ValueError(
                "must be the address at which callers reach this service, such as https://clinic.example/ipt: "
                "http or https, a host, and perhaps a path, without a slash at the end, a user, a query or a fragment"
            )
        return value

    @pydantic.field_validator("delivery_retry_seconds")
    @classmethod
    def _known_waits(cls, value: str) -> str:
        if not 1 <= len(listed(value)) <= 20 or not all(_SECONDS.fullmatch(each) for each in listed(value)):
            raise ValueError("must be 1 to 20 numbers of seconds, separated by commas, such as 5,300,1800")
        return value

    @pydantic.field_validator("delivery_ports")
    @classmethod
    def _known_ports(cls, value: str) -> str:
        if not listed(value) or not all(each.isascii() and each.isdigit() and 0 < int(each) < 65536 for each in listed(value)):
            raise ValueError("must be ports, separated by commas, such as 443,8443")
        return value

    @pydantic.field_validator("delivery_networks", "proxy_networks")
    @classmethod
    def _known_networks(cls, value: str) -> str:
        for each in listed(value):
            try:
                ipaddress.ip_network(each)
            except ValueError:
                raise ValueError(f"must be networks, separated by commas: {each} is no network such as 10.20.0.0/16") from None
        return value

    @pydantic.field_validator("secret_keys")
    @classmethod
    def _known_keys(cls, value: str) -> str:
        if not all(_FERNET_KEY.fullmatch(each) for each in listed(value)):
            raise ValueError("must be Fernet keys, separated by commas, each 32 bytes in URL-safe base64")
        return value

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        return zoneinfo.ZoneInfo(self.time_zone)

    @property
    def session_idle(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.session_idle_minutes)

    @property
    def session_length(self) -> dt.timedelta:
        return dt.timedelta(hours=self.session_hours)

    @property
    def reauthentication(self) -> dt.timedelta:
        return dt.timedelta(minutes=self.reauthentication_minutes)

    @property
    def protocols(self) -> Path:
        return self.config_dir / "protocols"

    @property
    def instruments(self) -> Path:
        return self.config_dir / "instruments"

    @property
    def notices(self) -> Path:
        return self.config_dir / "notices.toml"

    @property
    def retention(self) -> Path:
        """Examples of retention policies."""
        return self.config_dir / "retention.toml"


def listed(value: str) -> tuple[str, ...]:
    """The items of a setting that is a list, separated by commas."""
    return tuple(each.strip() for each in value.split(",") if each.strip())


def default_config_dir() -> Path:
    """The `config/` of the source tree, or the copy in an installed wheel."""
    beside = PACKAGE.parent / "config"
    return beside if (beside / "service.toml").is_file() else PACKAGE / "_config"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings in force. Raises SettingsInvalid with every fault."""
    environment = os.environ if environ is None else environ
    config_dir = Path(environment.get(CONFIG_DIR) or default_config_dir())
    variables = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name != CONFIG_DIR and not name.startswith(FOR_TESTS)
    }
    defaults, faults = _file(config_dir / "service.toml")
    unread = bool(faults)
    if "config_dir" in defaults:
        faults.append(Fault("service.toml: config_dir", f"can be set only by the variable {CONFIG_DIR}: remove the line"))
    try:
        made = Settings(**{**defaults, **variables, "config_dir": config_dir})
    except pydantic.ValidationError as error:
        faults += [_fault(each, variables) for each in error.errors() if not (unread and each["type"] == "missing")]
    if faults:
        raise SettingsInvalid(faults)
    return made


def is_zone(text: str) -> bool:
    """Whether this is the name of an IANA time zone."""
    return text in _zones()


def _file(path: Path) -> tuple[dict[str, Any], list[Fault]]:
    try:
        return documents.toml_table(path), []
    except OSError:
        return {}, [
            Fault(CONFIG_DIR, f"has no readable {path.name}: it must name a folder like the config/ that comes with this software")
        ]
    except ValueError as error:
        return {}, [Fault(path.name, f"is not TOML: {error}")]


def _fault(error: Any, variables: Mapping[str, str]) -> Fault:
    """pydantic's own message as a fault of the variable or the line. It never repeats the value, which may be a secret."""
    name = ".".join(str(part) for part in error["loc"])
    where = PREFIX + name.upper() if name in variables else f"service.toml: {name}"
    if error["type"] == "extra_forbidden":
        return Fault(where, "is not a setting; config/service.toml lists them all")
    if error["type"] == "missing":
        return Fault(where, "is missing; copy it from the config/ that comes with this software")
    return Fault(where, _OPENING.sub("must", error["msg"].removeprefix("Value error, ")))
