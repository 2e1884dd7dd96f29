"""FHIR search a second time, over the JSON of all resources and without the service: as the specification says it, and slowly.

It knows a parameter by its type and by where its values are. A resource is a document; a universe lists all, by kind and in order.
"""

import datetime as dt
from typing import Any

Universe = dict[str, list[dict[str, Any]]]
SECOND = dt.timedelta(seconds=1)
TICK = dt.timedelta(microseconds=1)
FAR = dt.datetime.max.replace(tzinfo=dt.UTC)

COMMON = {"_id": ("token", "id"), "_lastUpdated": ("date", "meta.lastUpdated")}
OF_CLIENT = {"patient": ("reference", "subject"), "subject": ("reference", "subject")}
BY_ID = {"episode-of-care": ("reference", "#course")}  # R4 has no such element there: the id begins with the course's
PARAMETERS: dict[str, dict[str, tuple[str, str]]] = {
    "EpisodeOfCare": COMMON | {
        "patient": ("reference", "patient"), "status": ("token", "status"), "date": ("date", "period"), "type": ("token", "type"),
        "care-manager": ("logical", "careManager"), "organization": ("logical", "managingOrganization"),
        "identifier": ("token", "identifier"),
    },
    "CarePlan": COMMON | OF_CLIENT | BY_ID | {
        "status": ("token", "status"), "category": ("token", "category"), "date": ("date", "period"),
        "instantiates-canonical": ("uri", "instantiatesCanonical"), "activity-code": ("token", "activity.detail.code"),
    },
    "Encounter": COMMON | OF_CLIENT | {
        "episode-of-care": ("reference", "episodeOfCare"), "date": ("date", "period"), "status": ("token", "status"),
        "class": ("token", "class"), "type": ("token", "type"), "participant": ("logical", "participant.individual"),
    },
    "Observation": COMMON | OF_CLIENT | BY_ID | {
        "code": ("token", "code"), "category": ("token", "category"), "date": ("date", "effectiveDateTime"),
        "status": ("token", "status"), "derived-from": ("reference", "derivedFrom"),
    },
    "QuestionnaireResponse": COMMON | OF_CLIENT | BY_ID | {
        "questionnaire": ("uri", "questionnaire"), "authored": ("date", "authored"), "status": ("token", "status"),
    },
    "Provenance": COMMON | BY_ID | {
        "target": ("reference", "target"), "recorded": ("date", "recorded"), "agent": ("logical", "agent.who"),
    },
    "PlanDefinition": {
        "_id": ("token", "id"), "url": ("uri", "url"), "version": ("token", "version"), "status": ("token", "status"),
        "title": ("string", "title"),
    },
    "Patient": {"_id": ("token", "id")},
    "AuditEvent": {
        "_id": ("token", "id"), "date": ("date", "recorded"), "action": ("token", "action"), "outcome": ("token", "outcome"),
        "type": ("token", "type"), "subtype": ("token", "subtype"), "agent": ("logical", "agent.who"),
        "entity": ("reference", "entity.what"), "entity-role": ("token", "entity.role"),
    },
}  # fmt: skip
MANDATORY = {
    "EpisodeOfCare": {"status", "patient"},
    "CarePlan": {"status", "intent", "subject"},
    "Encounter": {"status", "class"},
    "Observation": {"status", "code"},
    "QuestionnaireResponse": {"status"},
    "Provenance": {"target", "recorded", "agent"},
    "PlanDefinition": {"status"},
    "Patient": set(),
    "AuditEvent": {"type", "recorded", "agent", "source"},
}


def found(universe: Universe, kind: str, parameters: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """The matches of a search, in the order that `_sort` wants. Parameters that shape the answer are left aside."""
    filters = [(name, value) for name, value in parameters if not name.startswith("_") or name.startswith(("_id", "_has", "_last"))]
    matches = universe[kind]
    for name, value in filters:
        if name.startswith("_has:"):
            had = _had(universe, name, value)
            matches = [each for each in matches if local(each) in had]
        else:
            matches = [each for each in matches if _fits(universe, each, name, value)]
    if kind == "AuditEvent":  # the log in its order, or backwards
        return matches[::-1] if dict(parameters).get("_sort") == "-date" else matches
    for part in reversed(dict(parameters).get("_sort", "").split(",")):
        if part:
            matches = _sorted(matches, kind, part)
    return matches


def _had(universe: Universe, name: str, value: str) -> set[str]:
    """The resources, as `Type/id`, to which those refer that fit what follows `_has`."""
    _, kind, reference, inner = name.split(":", 3)
    return {led for each in universe[kind] if _fits(universe, each, inner, value) for led in led_to(universe, each, reference)}


def _fits(universe: Universe, resource: dict[str, Any], name: str, value: str) -> bool:
    bare, _, modifier = name.partition(":")
    if (resource["resourceType"], bare) == ("Provenance", "patient"):
        episode = next(each for each in universe["EpisodeOfCare"] if each["id"] == resource["id"].split(".")[0])
        return _fits(universe, episode, name, value)
    kind, path = PARAMETERS[resource["resourceType"]][bare]
    values = at(resource, path)
    if modifier == "missing":
        return (values == []) == (value == "true")
    one = any(_same(kind, modifier, wanted, each) for wanted in value.split(",") for each in values)
    return not one if modifier == "not" else one


def at(resource: dict[str, Any], path: str) -> list[Any]:
    """All values at a path, through lists."""
    if path == "#course":
        return [{"reference": f"EpisodeOfCare/{resource['id'].split('.')[0]}"}]
    values: list[Any] = [resource]
    for step in path.split("."):
        next_values = [each[step] for each in values if step in each]
        values = [item for each in next_values for item in (each if isinstance(each, list) else [each])]
    return values


def _same(kind: str, modifier: str, wanted: str, value: Any) -> bool:
    if kind == "date":
        return _same_date(wanted, value)
    if kind == "token":
        return _same_token(wanted, value)
    if kind == "logical" or modifier == "identifier":
        return "identifier" in value and _same_token(wanted, value["identifier"])
    if kind == "reference":
        return _same_reference(wanted, value.get("reference", ""))
    if kind == "uri":
        return wanted == value or wanted == value.split("|")[0]
    return value.lower().startswith(wanted.lower())


def _same_token(wanted: str, value: Any) -> bool:
    if isinstance(value, dict) and "coding" in value:
        return any(_same_token(wanted, each) for each in value["coding"])
    if isinstance(value, str):  # a code whose system the element implies
        return wanted.rsplit("|", maxsplit=1)[-1] == value
    code, system = value.get("code") or value.get("value"), value.get("system", "")
    if "|" not in wanted:
        return wanted == code
    of_system, of_code = wanted.rsplit("|", 1)
    return of_system == system and of_code in {"", code}


def _same_reference(wanted: str, literal: str) -> bool:
    if not literal:
        return False
    unversioned = literal.split("/_history/", maxsplit=1)[0]
    if "/_history/" in wanted:
        return wanted.endswith(literal) and "/_history/" in literal
    return wanted.split("/")[-2:] == unversioned.split("/") or wanted == unversioned.split("/")[1]


def _same_date(wanted: str, value: Any) -> bool:
    prefix, text = (wanted[:2], wanted[2:]) if wanted[:2].isalpha() else ("eq", wanted)
    low, high = _range(text)
    if isinstance(value, dict):
        start = _moment(value["start"])
        end = _moment(value["end"]) + TICK if "end" in value else FAR
    else:
        start = _moment(value)
        end = start + TICK
    within = low <= start and end <= high
    return {
        "eq": within,
        "ne": not within,
        "gt": end > high,
        "lt": start < low,
        "ge": end > low,
        "le": start < high,
        "sa": start >= high,
        "eb": end <= low,
    }[prefix]


def _moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _range(text: str) -> tuple[dt.datetime, dt.datetime]:
    """The stretch of time that a date means: from its first moment to the first moment after it."""
    if "T" in text:
        zoned = text if text.endswith("Z") or text[-6] in "+-" else text + "Z"
        clock = zoned[11:-1] if zoned.endswith("Z") else zoned[11:-6]
        start = _moment(zoned)
        length = {5: dt.timedelta(minutes=1), 8: SECOND}.get(len(clock), TICK)
        return start, start + length
    parts = [int(part) for part in text.split("-")]
    start = dt.datetime(*[*parts, 1, 1][:3], tzinfo=dt.UTC)
    if len(parts) == 3:
        return start, start + dt.timedelta(days=1)
    if len(parts) == 2:
        return start, (start + dt.timedelta(days=31)).replace(day=1)
    return start, start.replace(year=parts[0] + 1)


def _sorted(resources: list[dict[str, Any]], kind: str, part: str) -> list[dict[str, Any]]:
    """Those without a value come last in either direction. Of several values the first in the order counts."""
    descending = part.startswith("-")
    kind_of, path = PARAMETERS[kind][part.lstrip("-")]
    keyed = [([text for value in at(each, path) for text in _texts(kind_of, value)], each) for each in resources]
    having = [(max(texts) if descending else min(texts), each) for texts, each in keyed if texts]
    having.sort(key=lambda pair: pair[0], reverse=descending)  # equal ones keep their order either way
    return [each for _, each in having] + [each for texts, each in keyed if not texts]


def _texts(kind: str, value: Any) -> list[str]:
    if kind == "date":
        return [_moment(value["start"] if isinstance(value, dict) else value).astimezone(dt.UTC).isoformat(timespec="microseconds")]
    if isinstance(value, str):
        return [value.lower()]
    return [each.get("code") or each.get("value") for each in value.get("coding", [value])]


def local(resource: dict[str, Any]) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def led_to(universe: Universe, resource: dict[str, Any], parameter: str) -> set[str]:
    """The resources to which a resource refers by a parameter, as `Type/id`."""
    kind, path = PARAMETERS[resource["resourceType"]][parameter]
    if kind == "uri":
        wanted = set(at(resource, path))
        return {local(each) for each in universe["PlanDefinition"] if f"{each['url']}|{each['version']}" in wanted}
    return {each["reference"].split("/_history/")[0] for each in at(resource, path) if "reference" in each}


def included(universe: Universe, matches: list[dict[str, Any]], parameters: list[tuple[str, str]]) -> set[str]:
    """What matches bring with them, as `Type/id`, without the matches."""
    names = {local(each) for each in matches}
    brought: set[str] = set()
    for name, value in parameters:
        kind, parameter = [*value.split(":"), ""][:2]
        if name == "_include":
            brought |= {led for each in matches for led in led_to(universe, each, parameter)}
        if name == "_revinclude":
            brought |= {local(each) for each in universe[kind] if led_to(universe, each, parameter) & names}
    there = {local(each) for resources in universe.values() for each in resources}
    return (brought & there) - names


def part(resource: dict[str, Any], elements: str) -> dict[str, Any]:
    """A resource with some elements only."""
    kept = {*elements.split(","), *MANDATORY[resource["resourceType"]], "resourceType", "id"} - {"meta"}
    meta = {name: value for name, value in resource.get("meta", {}).items() if name != "profile"}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED", "display": "subsetted"}
    return {name: value for name, value in resource.items() if name in kept} | {"meta": meta | {"tag": [tag]}}
