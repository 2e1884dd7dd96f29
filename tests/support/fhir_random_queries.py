"""Random searches whose values come from resources that are there, so that they find something."""

import datetime as dt
import random
from typing import Any

from support.fhir_search_model import PARAMETERS, Universe, at

REFERRING = [
    (kind, parameter, target)
    for kind, parameter, target in (
        *(
            (kind, name, "Patient")
            for kind in ("CarePlan", "Encounter", "Observation", "QuestionnaireResponse")
            for name in ("patient", "subject")
        ),
        ("EpisodeOfCare", "patient", "Patient"),
        *(
            (kind, "episode-of-care", "EpisodeOfCare")
            for kind in ("CarePlan", "Encounter", "Observation", "QuestionnaireResponse", "Provenance")
        ),
        ("Observation", "derived-from", "QuestionnaireResponse"),
        ("CarePlan", "instantiates-canonical", "PlanDefinition"),
        *(("Provenance", "target", target) for target in ("EpisodeOfCare", "Encounter", "Observation")),
    )
]
PREFIXES = ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb")
KINDS = (
    "EpisodeOfCare",
    "CarePlan",
    "Encounter",
    "Observation",
    "QuestionnaireResponse",
    "Provenance",
    "PlanDefinition",
    "Patient",
)


def query(chance: random.Random, universe: Universe, kind: str) -> list[tuple[str, str]]:
    """The parameters of one search."""
    parameters = [_filter(chance, universe, kind) for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3)))]
    sortable = [name for name, (of, _) in PARAMETERS[kind].items() if of not in {"reference", "logical"}]
    if kind == "AuditEvent":
        sortable = ["date"]
    if chance.random() < 0.4:
        wanted = chance.sample(sortable, min(len(sortable), chance.choice((1, 1, 2))))
        parameters.append(("_sort", ",".join(chance.choice(("", "-")) + name for name in wanted)))
    for name, known in (("_include", _from(kind)), ("_revinclude", _to(kind))):
        if known and chance.random() < 0.3:
            parameters.append((name, chance.choice(known)))
    if chance.random() < 0.2:
        names = sorted(chance.choice(universe[kind] or [{}]))
        parameters.append(("_elements", ",".join(chance.sample(names, min(len(names), 2)) or ["status"])))
    return parameters


def _from(kind: str) -> list[str]:
    return sorted({f"{kind}:{parameter}" for source, parameter, _ in REFERRING if source == kind})


def _to(kind: str) -> list[str]:
    return sorted({f"{source}:{parameter}" for source, parameter, target in REFERRING if target == kind != "PlanDefinition"})


def _filter(chance: random.Random, universe: Universe, kind: str) -> tuple[str, str]:
    if chance.random() < 0.2 and (known := _to(kind)):
        reference = chance.choice(known)
        source = reference.partition(":")[0]
        inner = _of_parameter(
            chance, universe, source, chance.choice([each for each in PARAMETERS[source] if each not in {"patient", "subject"}])
        )
        return f"_has:{reference}:{inner[0]}", inner[1]
    names = [*PARAMETERS[kind], *(["patient"] if kind == "Provenance" else [])]
    return _of_parameter(chance, universe, kind, chance.choice(names))


def _of_parameter(chance: random.Random, universe: Universe, kind: str, name: str) -> tuple[str, str]:
    if (kind, name) == ("Provenance", "patient"):
        return name, chance.choice(universe["EpisodeOfCare"])["patient"]["reference"]
    of, path = PARAMETERS[kind][name]
    if chance.random() < 0.1:
        return f"{name}:missing", chance.choice(("true", "false"))
    values = [value for each in chance.sample(universe[kind], min(2, len(universe[kind]))) for value in at(each, path)]
    if not values:
        return f"{name}:missing", "true"
    if of == "reference" and name in {"patient", "subject"}:
        return name, chance.choice(values)["reference"]
    texts = [_text(chance, of, value) for value in (values if chance.random() < 0.3 else values[:1])][:3]
    modifier = {"logical": ":identifier", "token": chance.choice(("", "", ":not"))}.get(of, "")
    return f"{name}{modifier}", ",".join(texts)


def _text(chance: random.Random, of: str, value: Any) -> str:
    if of == "date":
        return _date(chance, value)
    if of == "token":
        return _token(chance, value)
    if of == "logical":
        return _token(chance, value.get("identifier", {"value": "nobody"}))
    if of == "reference":
        return _reference(chance, value.get("reference", "EpisodeOfCare/none"))
    if of == "uri":
        return chance.choice((value, value.split("|")[0], value + "x"))
    return chance.choice((value[:5], value[:5].upper(), value, value + "x"))


def _token(chance: random.Random, value: Any) -> str:
    if isinstance(value, str):
        return chance.choice((value, value, f"urn:any|{value}", value + "x"))
    if "coding" in value:
        value = chance.choice(value["coding"])
    code, system = value.get("code") or value.get("value"), value.get("system", "")
    return chance.choice((code, f"{system}|{code}", f"{system}|", f"|{code}", f"urn:other|{code}", f"{code}x"))


def _reference(chance: random.Random, literal: str) -> str:
    bare = literal.split("/_history/", maxsplit=1)[0]
    return chance.choice(
        (literal, bare, bare.partition("/")[2], f"http://ipt/fhir/R4/{bare}", f"Encounter/{bare.partition('/')[2]}")
    )


def _date(chance: random.Random, value: Any) -> str:
    text = (value.get("end") if chance.random() < 0.4 else None) or value["start"] if isinstance(value, dict) else value
    moment = dt.datetime.fromisoformat(text) + chance.choice((0, 0, 0, 1, -1)) * dt.timedelta(days=1)
    shown = chance.choice(
        (
            "%Y",
            "%Y-%m",
            "%Y-%m-%d",
            "%Y-%m-%d",
            "%Y-%m-%dT%H:%M",
            "%Y-%m-%dT%H:%MZ",
            "%Y-%m-%dT%H:%M:%SZ",
            "%Y-%m-%dT%H:%M:%S.%fZ",
            "%Y-%m-%dT%H:%M:%S+00:00",
        )
    )
    return chance.choice(PREFIXES) + moment.strftime(shown)
