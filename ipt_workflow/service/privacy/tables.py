"""The reports about a client as rows of tables."""

from collections.abc import Iterable

import msgspec

from ipt_workflow.journal.disclosures import DisclosureView
from ipt_workflow.service.privacy.access_reports import ReportedAccess
from ipt_workflow.values.spreadsheets import csv_rows

OF_ACCESSES = ("first_at", "last_at", "times", "name", "person", "role", "kind", "action", "basis", "purpose", "rules")
OF_DISCLOSURES = ("first_at", "last_at", "times", "recipient", "address", "what", "purpose", "authorised", "way")


def accesses_csv(items: Iterable[ReportedAccess]) -> bytes:
    """An access report as CSV, with a line of headings."""
    return csv_rows([OF_ACCESSES, *(_row(each, OF_ACCESSES) for each in items)])


def disclosures_csv(items: Iterable[DisclosureView]) -> bytes:
    """Disclosures as CSV, with a line of headings."""
    return csv_rows([OF_DISCLOSURES, *(_row(each, OF_DISCLOSURES) for each in items)])


def _row(item: msgspec.Struct, columns: Iterable[str]) -> list[object]:
    fields = msgspec.to_builtins(item)
    return ["; ".join(value) if isinstance(value := fields[name], tuple | list) else value for name in columns]
