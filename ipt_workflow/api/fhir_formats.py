"""Which form of answer a caller accepts. This service has one: FHIR R4 as JSON."""

from collections.abc import Iterable

from litestar.exceptions import HTTPException

from ipt_workflow.api.fhir_outcomes import FHIR_JSON
from ipt_workflow.api.requests import ApiRequest

JSON = frozenset({FHIR_JSON, "application/json", "text/json"})
FORMATS = JSON | {"json"}
VERSIONS = frozenset({"4.0", "4.0.1"})


class NotAcceptable(HTTPException):
    status_code = 406


def require_format(request: ApiRequest) -> None:
    """Raises NotAcceptable unless the caller accepts JSON of R4. `_format` takes precedence over `Accept`."""
    requested = request.query_params.get("_format")
    if requested is not None:
        require_named(requested)
    elif not _accepted(request.headers.get("accept", "")):
        raise NotAcceptable


def require_named(requested: str) -> None:
    """Raises NotAcceptable unless a value of `_format` names JSON. In a URL that is not encoded, `+` arrives as a space."""
    name, parameters = _media_range(requested.strip().replace(" ", "+"))
    if name not in FORMATS or not _is_r4(parameters):
        raise NotAcceptable


def _accepted(header: str) -> bool:
    """The most exact range that fits decides. Another name for JSON also fits, unless our own is refused with `q=0`."""
    ranges = [(name, _quality(parameters)) for name, parameters in map(_media_range, header.split(",")) if _is_r4(parameters)]
    if not header.strip():
        return True
    ours = [quality for name, quality in ranges if name == FHIR_JSON]
    others = [quality for name, quality in ranges if name in JSON and name != FHIR_JSON]
    for fitting in (ours, _wanted(others), *([q for name, q in ranges if name == wide] for wide in ("application/*", "*/*"))):
        if fitting:
            return max(fitting) > 0
    return False


def _wanted(qualities: Iterable[float]) -> list[float]:
    """Refusing another name for JSON does not refuse ours."""
    return [quality for quality in qualities if quality > 0]


def _media_range(text: str) -> tuple[str, dict[str, str]]:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    pairs = (each.partition("=") for each in parameters)
    return name, {key.strip(): value.strip().strip('"') for key, _, value in pairs}


def _is_r4(parameters: dict[str, str]) -> bool:
    return parameters.get("fhirversion", "4.0") in VERSIONS


def _quality(parameters: dict[str, str]) -> float:
    try:
        return float(parameters.get("q", "1"))
    except ValueError:
        return 1.0
