"""Tampers with a database as somebody can who knows the password of its owner, so that everybody can see that `ipt_verify.py` finds it.

    python scripts/tamper.py DATABASE_URL ORGANISATION TAMPERING [--from DATABASE_URL]

A forger here is thorough: guards are put back, and hashes, counters, columns, leaves and tiles are set right as far as the tampering
says, but for what the courses' rows note of attention. What they do not have is the key of the log. Use it on copies alone.
"""

import argparse
import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.journal import GENESIS, Entry, entry_hash
from ipt_workflow.journal.proof import ipt_verify, leaves, tree
from ipt_workflow.service.audit import log_keys
from ipt_workflow.store import log
from ipt_workflow.store.commits import rows
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import guards, row_security, tables
from ipt_workflow.store.units import CourseChange
from ipt_workflow.values.canonical import canonical

SOMEBODY = "somebody-else"
Row = dict[str, Any]


@contextmanager
def unguarded(connection: sa.Connection) -> Iterator[None]:
    """Without the triggers that refuse changes, which are there again afterwards."""
    if connection.dialect.name == "postgresql":
        for verb in ("DISABLE", "ENABLE"):
            if verb == "ENABLE":
                yield
            for table in guards.KEYS:
                connection.exec_driver_sql(f"ALTER TABLE {table} {verb} TRIGGER USER")
        return
    for name, _ in guards.sqlite():
        connection.exec_driver_sql(f"DROP TRIGGER {name}")
    yield
    for _, statement in guards.sqlite():
        connection.exec_driver_sql(statement)


class Forger:
    """Somebody who may change every row of an organisation."""

    def __init__(self, connection: sa.Connection, organisation: str) -> None:
        self.connection = connection
        self.organisation = organisation

    def all(self, table: sa.Table, *where: Any) -> list[Row]:
        """Rows in the order of the table's key."""
        found = sa.select(table).where(table.c.organisation == self.organisation, *where).order_by(*table.primary_key.columns)
        return [dict(row) for row in self.connection.execute(found).mappings()]

    def delete(self, table: sa.Table, *where: Any) -> None:
        self.connection.execute(sa.delete(table).where(table.c.organisation == self.organisation, *where))

    def insert(self, table: sa.Table, new: list[Row]) -> None:
        if new:
            self.connection.execute(sa.insert(table), new)

    def update(self, table: sa.Table, values: Row, *where: Any) -> None:
        self.connection.execute(sa.update(table).where(table.c.organisation == self.organisation, *where).values(values))

    # A course

    def course(self) -> str:
        """The course with the most entries."""
        return max(self.all(tables.course), key=lambda row: (row["version"], row["id"]))["id"]

    def entries(self, course: str) -> list[Row]:
        """The entries of a course, each with its salt and sealed text."""
        texts = {row["seq"]: row for row in self.all(tables.entry_data, tables.entry_data.c.course_id == course)}
        return [{**texts[row["seq"]], **row} for row in self.all(tables.entry, tables.entry.c.course_id == course)]

    def rewrite(self, course: str, entries: list[Row]) -> None:
        """Puts these entries in the place of a course's, with seqs, hashes, columns and the course's row set right."""
        for table in (tables.entry, tables.entry_data):
            self.delete(table, table.c.course_id == course)
        before = GENESIS
        made: list[Entry] = []
        for seq, row in enumerate(entries, start=1):
            written = {**json.loads(row["canonical"]), "seq": seq, "prev_hash": before}
            entry = journal.read(canonical(written), salt=row["salt"], sealed=row["sealed"])
            before = entry.hash
            made.append(entry)
            beside = {name: row[name] for name in rows.BESIDE_THE_BYTES if name != "canonical"}
            self.insert(tables.entry, [{**rows.entry_columns(entry), "canonical": entry.canonical, **beside}])
            self.insert(tables.entry_data, [rows.entry_data(entry, None)])
        self._set_course_right(course, made)

    def _set_course_right(self, course: str, entries: list[Entry]) -> None:
        folded = journal.replay(entries)
        if folded is None:
            return
        columns = rows.course_columns(
            self.organisation, CourseChange(course=folded, expected=0, entries=(entries[-1],), attention={})
        )
        values = {name: value for name, value in columns.items() if not name.endswith("_from")}
        self.update(tables.course, values, tables.course.c.id == course)

    def cut_off(self, placed: list[Row]) -> None:
        """Removes the entries and records of these leaves, and courses of which nothing remains."""
        for row in placed:
            if row["record_id"]:
                self.delete(tables.audit_subject, tables.audit_subject.c.event_id == row["record_id"])
                self.delete(tables.audit_event, tables.audit_event.c.id == row["record_id"])
        gone = {(row["course_id"], row["seq"]) for row in placed}
        for course in {course for course, _ in gone if course}:
            kept = [row for row in self.entries(course) if (course, row["seq"]) not in gone]
            self.rewrite(course, kept)
            if not kept:
                self.delete(tables.course, tables.course.c.id == course)

    # The log

    def set_log_right(self, *, end: int | None = None) -> None:
        """Makes leaves and tiles those of what the database has now, up to a position. Checkpoints that do not fit are removed."""
        entries = {(row["course_id"], row["seq"]): row["hash"] for row in self.all(tables.entry)}
        records = {row["id"]: row["hash"] for row in self.all(tables.audit_event)}
        kept = []
        for row in self.all(tables.log_leaf)[:end]:
            known = entries.get((row["course_id"], row["seq"])) if row["kind"] == leaves.ENTRY else records.get(row["record_id"])
            if known:
                kept.append({**row, "position": len(kept), "hash": known})
        for table in (tables.log_leaf, tables.log_tile):
            self.delete(table)
        self.insert(tables.log_leaf, kept)
        hashes = leaves.hashes(log.leaves(self.connection, self.organisation, 0, len(kept)))
        for (level, number), held in tree.added(0, hashes, tree.reader({})).items():
            self.insert(tables.log_tile, [{"organisation": self.organisation, "level": level, "number": number, "hashes": held}])
        self.update(tables.log_head, {"size": len(kept)})
        self.delete(tables.log_checkpoint, tables.log_checkpoint.c.size > len(kept))

    def sign(self) -> None:
        """Signs the log with a key of the forger's own, in the place of every checkpoint."""
        (last,) = self.all(tables.log_checkpoint)[-1:]
        size = log.size(self.connection, self.organisation)
        root = log.root(self.connection, self.organisation, size)
        text = ipt_verify.Checkpoint(last["origin"], size, root).text()
        note = log_keys.signed(text, log_keys.of_log(log_keys.new_file(), last["origin"]), 1_700_000_000)
        self.delete(tables.log_checkpoint)
        self.insert(tables.log_checkpoint, [{**last, "size": size, "root": ipt_verify.encoded(root), "note": str(note)}])


def altered(row: Row) -> Row:
    """An entry that somebody else made."""
    written = json.loads(row["canonical"])
    return {**row, "canonical": canonical({**written, "actor": {**written["actor"], "person": SOMEBODY}})}


def altered_entry(forger: Forger) -> None:
    """An entry of before is another's. All hashes after it are set right."""
    course = forger.course()
    entries = forger.entries(course)
    forger.rewrite(course, [*entries[:1], altered(entries[1]), *entries[2:]])


def altered_with_the_log(forger: Forger) -> None:
    """The same, and leaves and tiles are set right too."""
    altered_entry(forger)
    forger.set_log_right()


def altered_and_signed(forger: Forger) -> None:
    """The same, and the forger signs it with a key of their own."""
    altered_with_the_log(forger)
    forger.sign()


def left_out_entry(forger: Forger) -> None:
    """An entry of before is gone, and those after it have moved up."""
    course = forger.course()
    entries = forger.entries(course)
    forger.rewrite(course, [*entries[:2], *entries[3:]])


def put_in_entry(forger: Forger) -> None:
    """A course has one more entry at its end."""
    course = forger.course()
    entries = forger.entries(course)
    written = json.loads(entries[-1]["canonical"])
    new = {**entries[-1], "canonical": canonical({**written, "id": another(written["id"])})}
    forger.rewrite(course, [*entries, new])


def reordered(forger: Forger) -> None:
    """Two entries have changed places."""
    course = forger.course()
    entries = forger.entries(course)
    forger.rewrite(course, [*entries[:-3], entries[-2], entries[-3], entries[-1]])


def replaced_text(forger: Forger) -> None:
    """A sealed text is another one, with a salt of its own."""
    course = forger.course()
    where = (tables.entry_data.c.course_id == course, tables.entry_data.c.seq == 2)
    forger.update(
        tables.entry_data, {"salt": "00" * 16, "sealed": canonical({"data": {}, "reason": None, "override": None})}, *where
    )


def some_record(forger: Forger) -> Row:
    """The oldest record with a position."""
    known = {row["id"]: row for row in forger.all(tables.audit_event)}
    return next(known[row["record_id"]] for row in forger.all(tables.log_leaf) if row["record_id"])


def recorded(forger: Forger, row: Row, **changes: Any) -> Row:
    """A record with other values, and bytes and hash to match."""
    courses = [each["course_id"] for each in forger.all(tables.audit_subject, tables.audit_subject.c.event_id == row["id"])]
    made = {**row, **changes}
    hashed = canonical({**json.loads(row["canonical"]), **changes, "courses": sorted(courses)})
    return {**made, "canonical": hashed, "hash": entry_hash(hashed)}


def altered_record(forger: Forger) -> None:
    """Somebody else has read it."""
    row = some_record(forger)
    forger.update(tables.audit_event, recorded(forger, row, person=SOMEBODY), tables.audit_event.c.id == row["id"])


def left_out_record(forger: Forger) -> None:
    """Nobody has read it."""
    row = some_record(forger)
    forger.delete(tables.audit_subject, tables.audit_subject.c.event_id == row["id"])
    forger.delete(tables.audit_event, tables.audit_event.c.id == row["id"])


def put_in_record(forger: Forger) -> None:
    """Somebody has read it who never did."""
    row = some_record(forger)
    new = recorded(forger, row, person=SOMEBODY, id=another(row["id"]))
    forger.insert(tables.audit_event, [new])


def cut_off_end(forger: Forger) -> None:
    """The last entry of a course is gone with everything after it: rows, counters, leaves, tiles, checkpoints."""
    course = forger.course()
    last = forger.entries(course)[-1]["seq"]
    placed = forger.all(tables.log_leaf)
    end = next(row["position"] for row in placed if (row["course_id"], row["seq"]) == (course, last))
    forger.cut_off(placed[end:])
    forger.set_log_right(end=end)


TAMPERINGS: Mapping[str, Callable[[Forger], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        altered_entry,
        altered_with_the_log,
        altered_and_signed,
        left_out_entry,
        put_in_entry,
        reordered,
        replaced_text,
        altered_record,
        left_out_record,
        put_in_record,
        cut_off_end,
    )
}
OLDER_STATE, OTHER_LOG = "older-state", "other-log"  # these two need another database, or organisation


def another(known: str) -> str:
    """An id that looks like a known one."""
    return known[:-1] + ("0" if known[-1] != "0" else "1")


def all_rows(connection: sa.Connection, organisation: str) -> dict[sa.Table, list[Row]]:
    """Every row of an organisation."""
    row_security.bind_all(connection)
    owned = [table for table in tables.METADATA.sorted_tables if "organisation" in table.c]
    forger = Forger(connection, organisation)
    return {table: forger.all(table) for table in owned}


def put_back(connection: sa.Connection, organisation: str, older: Mapping[sa.Table, list[Row]]) -> None:
    """Puts these rows in the place of all rows of an organisation."""
    row_security.bind_all(connection)
    forger = Forger(connection, organisation)
    with unguarded(connection):
        for table, kept in older.items():
            forger.delete(table)
            forger.insert(table, [{**row, "organisation": organisation} for row in kept])


def plant(connection: sa.Connection, organisation: str, name: str) -> None:
    row_security.bind_all(connection)
    with unguarded(connection):
        TAMPERINGS[name](Forger(connection, organisation))


async def tamper(url: str, organisation: str, name: str, *, from_url: str | None = None, other: str | None = None) -> None:
    """Plants a tampering. `older-state` takes the rows of another database, `other-log` those of another organisation."""
    database = open_database(url)
    try:
        if name in TAMPERINGS:
            await database.write(plant, organisation, name)
            return
        source = open_database(from_url) if from_url else database
        taken = await source.read(all_rows, other or organisation)
        if source is not database:
            await source.close()
        await database.write(put_back, organisation, taken)
    finally:
        await database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", metavar="DATABASE_URL")
    parser.add_argument("organisation")
    parser.add_argument("tampering", choices=[*TAMPERINGS, OLDER_STATE, OTHER_LOG])
    parser.add_argument("--from", dest="from_url", metavar="DATABASE_URL", help=f"for {OLDER_STATE}: the older database")
    parser.add_argument("--other", metavar="ORGANISATION", help=f"for {OTHER_LOG}: the organisation whose rows are taken")
    given = parser.parse_args()
    if (given.tampering == OLDER_STATE) != bool(given.from_url) or (given.tampering == OTHER_LOG) != bool(given.other):
        parser.error(f"{OLDER_STATE} needs --from, {OTHER_LOG} needs --other, and nothing else does.")
    asyncio.run(tamper(given.url, given.organisation, given.tampering, from_url=given.from_url, other=given.other))


if __name__ == "__main__":
    main()
