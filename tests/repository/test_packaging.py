"""What is shipped: locks, wheel, import contracts, and that no file tells of the machine it was written on."""

import json
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ipt_workflow

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME, DEV, GENERATORS = (ROOT / "requirements" / f"{name}.txt" for name in ("runtime", "dev", "generators"))
# Written so that this file does not match itself.
REGISTRIES = re.compile(r"\b(?:pypi\.(?:org|python)|pythonhosted\.[o]rg|npmjs\.(?:org|com)|deb\.debian\.[o]rg|crates\.[i]o)")
MACHINE_PATHS = re.compile(r"(?<![\w.:-])/(?:work|root|home|opt/wheels)/")


def files() -> Iterator[Path]:
    """What is committed, and what would be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return (path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file())


def locked(lock: Path) -> dict[str, str]:
    """Version by name."""
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*])?==([^ ;]+)", lock.read_text(), re.MULTILINE))


@pytest.mark.parametrize("pattern", [REGISTRIES, MACHINE_PATHS], ids=["registry hosts", "machine paths"])
def test_no_file_names_a_registry_host_or_a_path_of_the_machine(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path.relative_to(ROOT)}: {hit.group()}" for path in files() for hit in pattern.finditer(path.read_text(errors="ignore"))
    ]
    assert found == []


@pytest.mark.parametrize("lock", [RUNTIME, DEV, GENERATORS], ids=lambda lock: lock.name)
def test_every_locked_package_has_hashes_and_comes_from_wherever_the_installer_is_told(lock: Path) -> None:
    text = lock.read_text()
    requirements = [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.strip().startswith("#")]
    assert requirements
    assert [
        line for line in requirements if not re.match(r"\S+==\S+( ; [^-]+)?( +--hash=sha256:[0-9a-f]{64})+$", line.rstrip())
    ] == []
    assert "://" not in text


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        (RUNTIME, PROJECT["project"]["dependencies"]),
        (DEV, [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["dev"]]),
        (GENERATORS, PROJECT["dependency-groups"]["generators"]),
    ],
    ids=["runtime.txt", "dev.txt", "generators.txt"],
)
def test_the_lock_answers_what_pyproject_asks_for(lock: Path, declared: list[str]) -> None:
    versions = locked(lock)
    asked = [Requirement(each) for each in declared]
    assert [str(each) for each in asked if versions.get(canonicalize_name(each.name), "0") not in each.specifier] == []


def test_what_is_tested_is_what_is_run() -> None:
    assert locked(RUNTIME).items() <= locked(DEV).items()


def test_the_package_knows_its_version() -> None:
    assert ipt_workflow.__version__ == PROJECT["project"]["version"]


def test_imports_keep_to_the_contracts() -> None:
    """In a process of its own: import-linter configures logging, and disables the loggers that exist."""
    command = [Path(sys.executable).parent / "lint-imports", "--config", ROOT / "pyproject.toml", "--no-cache"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_made_from_the_sdist_carries_config_and_finds_it(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(installed)
    carried = {
        path.relative_to(installed / "ipt_workflow/_config") for path in (installed / "ipt_workflow/_config").rglob("*.toml")
    }
    assert carried == {path.relative_to(ROOT / "config") for path in (ROOT / "config").rglob("*.toml")}
    assert (installed / "ipt_workflow/py.typed").is_file()
    assert list((installed / "ipt_workflow/store/schema/migrations").rglob("*.mako"))
    assert "ipt-verify" in next(installed.glob("*.dist-info/entry_points.txt")).read_text(encoding="utf-8")

    asked = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ipt_workflow.runtime.settings import load; print(load({}).config_dir)"
    )
    told = subprocess.run(
        [sys.executable, "-I", "-c", asked, str(installed)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert Path(told.stdout.strip()) == installed / "ipt_workflow/_config"


@pytest.fixture(scope="module")
def sbom(wheel: Path) -> str:
    """The bill of materials in the wheel, where PEP 770 puts it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if ".dist-info/sboms/" in each]
        assert name.endswith("/ipt-workflow.cdx.json")
        return archive.read(name).decode()


def test_the_wheel_carries_a_bill_of_materials_that_the_schema_of_cyclonedx_accepts(sbom: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(sbom) is None
    assert validator.validate_str(sbom.replace('"bomFormat"', '"format"')) is not None, "the schema is not applied"


def test_the_bill_of_materials_names_what_is_locked_and_what_needs_it(sbom: str) -> None:
    bill = json.loads(sbom)
    listed = {each["name"]: each["version"] for each in bill["components"]}
    assert listed == locked(RUNTIME)
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "ipt-workflow",
        ipt_workflow.__version__,
    )
    needs = {each["ref"].partition("@")[0]: each["dependsOn"] for each in bill["dependencies"]}
    reached, ahead = set(), ["pkg:pypi/ipt-workflow"]
    while ahead:
        each = ahead.pop()
        if each not in reached:
            reached.add(each)
            ahead += [other.partition("@")[0] for other in needs[each]]
    elsewhere = {each["name"] for each in bill["components"] if "properties" in each}  # on other platforms
    assert {each.removeprefix("pkg:pypi/") for each in reached} == {"ipt-workflow", *listed} - (
        elsewhere - {"uvloop", "cffi", "pycparser"}
    )
    assert [each["name"] for each in bill["components"] if "licenses" not in each and each["name"] not in elsewhere] == []


def test_nothing_is_locked_that_nothing_uses(sbom: str) -> None:
    """The server's extras bring a reloader, WebSockets and files of variables, which this service has no use for."""
    assert locked(RUNTIME).keys().isdisjoint({"watchfiles", "websockets", "python-dotenv"})
