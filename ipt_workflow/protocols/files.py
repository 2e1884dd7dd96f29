"""Loads `config/protocols` and `config/instruments` strictly, and reports every fault of every file at once.

A malformed table does not keep the others from being checked. Faults that only follow from a malformed value are left out,
so that each fault listed is one to mend.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import msgspec

from ipt_workflow.errors import Fault, ProtocolInvalid
from ipt_workflow.protocols.checks import (
    KnownRules,
    canonical_faults,
    evidence_faults,
    instrument_faults,
    name_faults,
    order_faults,
    protocol_faults,
)
from ipt_workflow.protocols.definition import Protocol, ProtocolFile
from ipt_workflow.protocols.instruments import Instrument, InstrumentFile
from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.values.canonical import canonical
from ipt_workflow.values.faults import FILE, error_faults, properties, schema_errors

Spec = TypeVar("Spec", bound=msgspec.Struct)
Check = Callable[[dict[str, Any]], list[Fault]]


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Every protocol and instrument the service knows. `files`: the name of each protocol's file."""

    protocols: dict[tuple[str, int], Protocol]
    instruments: dict[str, Instrument]
    files: dict[tuple[str, int], str]

    def get(self, protocol_id: str, version: int | None = None) -> Protocol:
        """A protocol, at its latest version unless one is named. Raises KeyError."""
        return self.latest(protocol_id) if version is None else self.protocols[protocol_id, version]

    def latest(self, protocol_id: str) -> Protocol:
        """Raises KeyError."""
        versions = [version for known, version in self.protocols if known == protocol_id]
        if not versions:
            raise KeyError(protocol_id)
        return self.protocols[protocol_id, max(versions)]


class _File(msgspec.Struct, frozen=True):
    """A file as written. `key` is its id and version where both can be read; `spec` is None if faulty."""

    name: str
    key: tuple[str, int] | None
    source: dict[str, Any]
    spec: Any


def load_catalogue(protocols: Path | Sequence[Path], instrument_dir: Path, known: KnownRules) -> Catalogue:
    """Reads a folder of protocols, or a list of protocol files, and the folder of instruments.

    A protocol may name the rules and artefacts in `known`. Raises ProtocolInvalid with every fault of every file.
    """
    faults: list[Fault] = []
    instrument_files = _read_files(instrument_dir, InstrumentFile, instrument_faults, faults)
    aims = {f"{file.key[0]}@{file.key[1]}": file.source.get("aim") for file in instrument_files if file.key}
    check = partial(protocol_faults, known=known, instruments=aims)
    protocol_files = _read_files(protocols, ProtocolFile, check, faults)
    if faults:
        raise ProtocolInvalid(faults)
    loaded = [Instrument(**_fields(file.spec), digest=digest(file.source)) for file in instrument_files]
    instruments = {instrument.key: instrument for instrument in loaded}
    loaded_protocols = [_protocol(file.spec, file.source, instruments) for file in protocol_files]
    return Catalogue(
        protocols={(protocol.id, protocol.version): protocol for protocol in loaded_protocols},
        instruments=instruments,
        files={file.key: file.name for file in protocol_files if file.key},
    )


def read_definition(source: dict[str, Any], instruments: dict[str, Instrument]) -> Protocol:
    """The protocol of a stored definition, which was checked before it was stored. Its digest is that of its file."""
    return _protocol(msgspec.convert(source, ProtocolFile), source, instruments)


def digest(source: dict[str, Any]) -> str:
    """SHA-256 (hex) of the RFC 8785 form of a TOML document as written."""
    return hashlib.sha256(canonical(source)).hexdigest()


def check_unchanged(catalogue: Catalogue, stored: Iterable[tuple[str, int, str]]) -> None:
    """Raises ProtocolInvalid if a file has changed since its protocol (id, version, digest) was stored.

    The file of a stored protocol may be gone: its courses run from the stored definition.
    """
    faults = []
    for protocol_id, version, stored_digest in stored:
        protocol = catalogue.protocols.get((protocol_id, version))
        if protocol is None or protocol.digest == stored_digest:
            continue
        message = (
            f"{protocol.key} was changed after it was first used: its digest was {stored_digest} and is now "
            f"{protocol.digest}. Undo the change, or save it as a new version: version = {version + 1}"
        )
        faults.append(Fault(f"{catalogue.files[protocol_id, version]}: version", message))
    if faults:
        raise ProtocolInvalid(faults)


def _protocol(spec: ProtocolFile, source: dict[str, Any], instruments: dict[str, Instrument]) -> Protocol:
    return Protocol(**_fields(spec), digest=digest(source), source=source, instruments=instruments)


def _fields(spec: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(spec, name) for name in spec.__struct_fields__}


# Reading one file


def _read_files(source: Path | Sequence[Path], struct: type[Spec], check: Check, faults: list[Fault]) -> list[_File]:
    paths = sorted(source.glob("*.toml")) if isinstance(source, Path) else sorted(source)
    if isinstance(source, Path) and not paths:
        faults.append(Fault(f"{source.name}/", "has no .toml file"))
    files: list[_File] = []
    for path in paths:
        try:
            document = toml_table(path)
        except (ValueError, OSError) as error:
            faults.append(Fault(path.name, f"cannot be read as TOML: {error}"))
            continue
        file, found = _read(path.stem, document, struct, check)
        twin = next((other.name for other in files if file.key and other.key == file.key), None)
        if twin:
            found.append(Fault("version", f"{twin} has the same id and version: each needs its own"))
        faults += [Fault(f"{path.name}: {fault.where}", fault.message) for fault in found]
        files.append(file)
    return files


def _read(stem: str, source: dict[str, Any], struct: type[Spec], check: Check) -> tuple[_File, list[Fault]]:
    errors = schema_errors(struct, source)
    shape = [fault for error in errors for fault in error_faults(error, "", FILE)]
    judged = _without_unknown_keys(source, errors)
    malformed = {fault.where: fault for fault in [*shape, *canonical_faults(source)]}
    other = [*name_faults(stem, source), *order_faults(judged), *evidence_faults(judged), *check(judged)]
    unsound = dict.fromkeys(fault for fault in other if fault.where not in malformed)
    faults = sorted([*malformed.values(), *unsound], key=lambda fault: fault.where)
    protocol_id, version = source.get("id"), source.get("version")
    key = (protocol_id, version) if isinstance(protocol_id, str) and isinstance(version, int) else None
    spec = None if faults else msgspec.convert(source, struct)
    return _File(f"{stem}.toml", key, source, spec), faults


def _without_unknown_keys(source: dict[str, Any], errors: list[jsonschema.ValidationError]) -> dict[str, Any]:
    """A copy of the document without its unknown keys, so that the rest of each table can be checked."""
    if not errors:
        return source
    judged = copy.deepcopy(source)
    for error in errors:
        if error.validator == "additionalProperties":
            table: Any = judged
            for part in error.absolute_path:
                table = table[part]
            for name in set(table) - set(properties(error)):
                del table[name]
    return judged
