"""Puts a list of what the wheel runs with into the wheel, as CycloneDX JSON: `….dist-info/sboms/ipt-workflow.cdx.json` (PEP 770).

Hatchling calls this at each build. The list names what `requirements/runtime.txt` locks. Licences, and what needs what, come from the
packages that are installed where the wheel is built; `make wheel` has them all.
"""

import datetime as dt
import importlib.metadata
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

Document = dict[str, Any]


class SbomHook(BuildHookInterface):
    """The build hook of `pyproject.toml`."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        project = self.metadata.core
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / f"{project.name}.cdx.json"
        lock = Path(self.root) / "requirements" / "runtime.txt"
        path.write_text(
            json.dumps(document(project.name, project.version, project.license_expression, project.dependencies, lock), indent=1)
        )
        build_data["sbom_files"].append(str(path))

    def finalize(self, *_: Any) -> None:
        if self.target_name == "wheel":
            self.folder.cleanup()


def document(name: str, version: str, licence: str, dependencies: list[str], lock: Path) -> Document:
    """The bill of materials of a package whose dependencies are locked."""
    locked = {canonicalize_name(each.name): each for each in requirements(lock)}
    versions = {each: str(requirement.specifier).removeprefix("==") for each, requirement in locked.items()}
    ours = {"type": "application", "bom-ref": ref(name, version), "name": name, "version": version, "purl": ref(name, version)}
    needed = {name: dependencies} | {each: needs(each) for each in sorted(locked)}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {version} {versions}").urn,
        "version": 1,
        "metadata": {"timestamp": moment(), "component": {**ours, "licenses": [{"expression": licence}]}},
        "components": [component(each, versions[each], locked[each]) for each in sorted(locked)],
        "dependencies": [
            {
                "ref": ref(each, versions.get(each, version)),
                "dependsOn": [ref(other, versions[other]) for other in sorted(applying(needed, each)) if other in versions],
            }
            for each in needed
        ],
    }


def requirements(lock: Path) -> Iterator[Requirement]:
    for line in lock.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if line.strip():
            yield Requirement(line.partition(" --hash")[0])


def component(name: str, version: str, requirement: Requirement) -> Document:
    made: Document = {
        "type": "library",
        "bom-ref": ref(name, version),
        "name": name,
        "version": version,
        "purl": ref(name, version),
    }
    if requirement.marker:
        made["properties"] = [{"name": "cdx:python:package:required-if", "value": str(requirement.marker)}]
    if licence := licence_of(name):
        made["licenses"] = [licence]
    return made


def ref(name: str, version: str) -> str:
    """The package URL, which is also the id within the document."""
    return f"pkg:pypi/{canonicalize_name(name)}@{version}"


def licence_of(name: str) -> Document | None:
    """What an installed package says of its licence: an SPDX expression, or a name."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    if expression := metadata.get("License-Expression"):
        return {"expression": expression}
    classifiers = [each.rpartition(" :: ")[2] for each in metadata.get_all("Classifier", []) if each.startswith("License")]
    named = [*classifiers, *metadata.get("License", "").splitlines()]  # some packages put the whole text there
    return {"license": {"name": named[0]}} if named else None


def needs(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def applying(needed: dict[str, list[str]], name: str) -> set[str]:
    """What a package needs where the wheel is built, with the extras that any other package asks it for."""
    asked = {extra for names in needed.values() for each in chosen(names, {""}) if each.name == name for extra in each.extras}
    return {canonicalize_name(each.name) for each in chosen(needed[name], asked | {""})}


def chosen(names: list[str], extras: set[str]) -> list[Requirement]:
    found = (Requirement(each) for each in names)
    return [each for each in found if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in extras)]


def moment() -> str:
    """The time of the build; with SOURCE_DATE_EPOCH, that time, so that the same source makes the same wheel."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    made = dt.datetime.fromtimestamp(int(epoch), dt.UTC) if epoch else dt.datetime.now(dt.UTC)
    return made.strftime("%Y-%m-%dT%H:%M:%SZ")
