"""Validates FHIR R4 for tests: two npm validators, and the rules of BALP's profiles that neither of them checks."""

import atexit
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1] / "ehr" / "fhir" / "node"
BALP = Path(__file__).parents[1] / "vectors" / "balp"


def faults(resources: list[dict[str, Any]]) -> list[list[str]]:
    """The faults of each resource, by both validators and by the profiles that it claims."""
    found = _npm(resources)
    return [
        [
            *(f"medplum: {each}" for each in by_name["medplum"]),
            *(f"fhir: {each}" for each in by_name["fhir"]),
            *balp_faults(resource),
        ]
        for resource, by_name in zip(resources, found, strict=True)
    ]


def by_validator(resource: dict[str, Any]) -> dict[str, list[str]]:
    return {**_npm([resource])[0], "balp": balp_faults(resource)}


def _npm(resources: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
    return _validated(_process(), resources)


@cache
def _process() -> subprocess.Popen[str]:
    """The validators. They start when a test first needs them, since loading FHIR takes long."""
    node = Path(sys.executable).with_name("node")
    assert node.exists(), "node is not installed: make install"
    assert (HERE / "node_modules").is_dir(), "the FHIR validators are not installed: make validators"
    process = subprocess.Popen([node, "validate.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    atexit.register(_stop, process)
    _validated(process, [profile(path.name) for path in sorted(BALP.glob("StructureDefinition-*.json"))])
    return process


def _validated(process: subprocess.Popen[str], request: list[Any]) -> list[Any]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    assert answer, "the validators have stopped; see their output above"
    return json.loads(answer)


def _stop(process: subprocess.Popen[str]) -> None:
    process.communicate()


@cache
def profile(name: str) -> dict[str, Any]:
    return json.loads((BALP / name).read_text(encoding="utf-8"))


def balp_faults(resource: dict[str, Any]) -> list[str]:
    """Faults in slices of the claimed profiles: missing or forbidden elements, and codes outside a bound value set."""
    found = []
    for url in resource.get("meta", {}).get("profile", ()):
        elements = profile(f"StructureDefinition-{url.rpartition('/')[2]}.json")["snapshot"]["element"]
        for slice_ in [each for each in elements if each.get("sliceName") and each["id"].count(".") == 1]:
            found += _slice_faults(resource, elements, slice_)
    return found


def _slice_faults(resource: dict[str, Any], elements: list[dict[str, Any]], slice_: dict[str, Any]) -> list[str]:
    name, field = slice_["id"], slice_["id"].split(".")[1].partition(":")[0]
    members = resource.get(field, [])
    if slice_.get("binding", {}).get("strength") == "required":
        bound = [each for each in members if _bound(each, slice_["binding"]["valueSet"])]
        return [] if len(bound) >= slice_["min"] else [f"{name}: no code of {slice_['binding']['valueSet']}"]
    children = [each for each in elements if each["id"].startswith(f"{name}.") and each["id"].count(".") == 2]
    kind = next((each for each in children if each["id"] == f"{name}.type"), None)
    if kind is None:
        return []
    found = []
    for member in [each for each in members if _belongs(each["type"], kind)]:
        for child in children:
            value, key = member.get(child["id"].rpartition(".")[2]), child["id"]
            found += [f"{key}: is missing"] if child["min"] and value is None else []
            found += [f"{key}: must not be there"] if child["max"] == "0" and value is not None else []
            binding = child.get("binding", {})
            if binding.get("strength") == "required" and value is not None and "ITI/BALP" in binding["valueSet"]:
                found += [] if _bound(value, binding["valueSet"]) else [f"{key}: no code of {binding['valueSet']}"]
    return found


def _belongs(value: dict[str, Any], kind: dict[str, Any]) -> bool:
    """Whether an agent's or entity's type is that of a slice."""
    pattern = kind.get("patternCoding") or kind.get("patternCodeableConcept", {}).get("coding", [None])[0]
    if pattern is None:
        return _bound(value, kind["binding"]["valueSet"]) if "binding" in kind else False
    return any(pattern.items() <= coding.items() for coding in _codings(value))


def _codings(value: dict[str, Any]) -> list[dict[str, Any]]:
    return value.get("coding", [value])


def _bound(value: dict[str, Any], value_set: str) -> bool:
    found = json.loads((BALP / f"ValueSet-{value_set.rpartition('/')[2]}.json").read_text(encoding="utf-8"))
    allowed = {(part["system"], each["code"]) for part in found["compose"]["include"] for each in part.get("concept", ())}
    return any((coding.get("system"), coding.get("code")) in allowed for coding in _codings(value))
