"""The result: a table to read, JSON to compare."""

import datetime as dt
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

from bench.figures import Change, Row, short
from bench.processes import ROOT

MEMORY_ONLY = {"tmpfs", "ramfs"}


def machine(folder: Path, postgres: str) -> dict[str, Any]:
    """The machine that was measured. On a file system in memory, every commit would look durable at once."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": f"{platform.system()} {platform.release()}",
        "python": " ".join(sys.version.split()),  # with its build: builds differ in speed by up to a fifth
        "postgres": postgres,
        "file_system": _file_system(folder),
        "load_average": [round(each, 2) for each in os.getloadavg()],
    }


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "CPU")


def _file_system(folder: Path) -> str:
    mounts = [part for part in psutil.disk_partitions(all=True) if folder.resolve().is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "unknown"


def described(machine: dict[str, Any]) -> str:
    text = (
        f"{machine['cores']} × {machine['cpu']}, {machine['memory_gb']} GB, {machine['system']}, Python {machine['python']}, "
        f"{machine['postgres']}, data on {machine['file_system']}, load {machine['load_average'][0]} before"
    )
    return text + (" — WHICH IS MEMORY: NOTHING HERE WAS DURABLE" if machine["file_system"] in MEMORY_ONLY else "")


def result(
    rows: Sequence[Row],
    *,
    machine: dict[str, Any],
    quick: bool,
    ceiling: dict[int, float],
    bytes_a_row: dict[str, dict[str, int]],
    seconds: float,
) -> dict[str, Any]:
    return {
        "made_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "version": importlib.metadata.version("ipt-workflow"),
        "revision": _revision(),
        "quick": quick,
        "seconds": round(seconds),
        "machine": machine,
        "ceiling": ceiling,
        "bytes_a_row": bytes_a_row,
        "rows": [row.as_json() for row in rows],
    }


def _revision() -> str | None:
    """The commit that was measured, with a + if files differ from it."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def keep(result: dict[str, Any], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def print_rows(rows: Sequence[Row], below: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("measure", no_wrap=True)
    for name in ("goal", "measured", "", "median", "against", "spread"):
        table.add_column(name, justify="left" if name == "" else "right", no_wrap=True)
    table.add_column("note", overflow="fold", min_width=20)
    for row in rows:
        table.add_row(*cells(row))
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    console.print(table, markup=False)
    for line in below:
        console.print(line, markup=False)


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table. "measured" is compared with the goal: the median of the ratios, or of the figures if there are no ratios."""
    sign = "≥" if row.better == "more" else "≤"
    unit = f" {row.unit}" if row.unit else ""
    ours, other = row.medians
    return (
        row.measure,
        f"{sign} {row.goal:g}{unit}" if row.goal is not None else "–",
        f"{short(row.value)}{unit}" if row.value is not None else "–",
        {True: "met", False: "missed", None: ""}[row.met],
        f"{short(ours)}{row.each}" if other is not None else "",
        f"{short(other)}{row.each}" if other is not None else "",
        f"{row.spread:.0%} of {len(row.rounds)}" if row.spread is not None else "",
        row.fault or row.note,
    )


def print_changes(changes: Sequence[Change], above: Sequence[str]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("measure", "old", "new", "change", ""):
        table.add_column(name, justify="right" if name in {"old", "new", "change"} else "left")
    for each in changes:
        by = f"{each.by:+.0%}" if each.by is not None else ""
        table.add_row(each.measure, short(each.old), short(each.new), by, each.verdict if each.verdict != "same" else "")
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    for line in above:
        console.print(line, markup=False)
    console.print(table, markup=False)
