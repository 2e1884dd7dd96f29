"""FHIR R4 messages as EHR systems send them: a resource put, posted or deleted (HAPI), posted with its interaction in a header
(Medplum), several in a Bundle, or a subscription's notification (`backport`).

What is not IPT's concern is answered and counted, and nothing of it is kept. Each resource of a bundle is a notice of its own; the
answer says what became of each.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.ehr.notices import fhir_notifications
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.fhir.resources import NAME
from ipt_workflow.ehr.notices.fhir_notifications import Notification, NotifiedEvent
from ipt_workflow.ehr.notices.intake import Incoming, Notices, Receipt
from ipt_workflow.ehr.notices.sources import X_SIGNATURE, VerifiedSender
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.store import notices as stored
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.sources import StoredSource

ENTRIES_MAX = 2000
INTERACTION, DELETED_RESOURCE = "x-medplum-interaction", "x-medplum-deleted-resource"
NOT_KEPT = Receipt(id=None, status="ignored")
BUNDLE = NoticeContent(type="fhir.Bundle", about="nothing")


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A request: `name` is the `Type/id` in its path. `problem` is what stood against reading its body."""

    method: str
    name: str | None
    headers: Mapping[str, str]
    body: bytes
    problem: Exception | None = None
    request_id: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one resource of a bundle. `problem` is what is wrong with it, if anything."""

    resource: str
    status: str
    id: str | None
    says: tuple[str, ...] = ()
    problem: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a bundle: `waiting` where anything waits, else `applied` where anything was; and of each entry, in its order."""

    id: str | None
    status: str
    entries: tuple[Entry, ...]


class RestHooks:
    """Over the notices."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self.clinic = notices.clinic

    async def receive(self, sender: VerifiedSender, hook: Hook) -> Receipt | Report:
        """Raises what is wrong with a message; what was authentic is kept by then."""
        if hook.problem:
            return await self._unreadable(sender, hook, hook.problem)
        deleted = hook.name if hook.method == "DELETE" else None
        if hook.headers.get(INTERACTION) == "delete":
            deleted = hook.headers.get(DELETED_RESOURCE)
        if deleted is not None:
            return await self._deleted(sender, deleted, hook)
        if not hook.body.strip():
            return NOT_KEPT  # only that something happened: there is nothing to read
        try:
            value = reader.decode(hook.body)
            if value.get("resourceType") == "Bundle":
                return await self._bundle(sender, value, hook)
            _named_so(value, hook.name)
        except (CommandMalformed, CommandInvalid) as error:
            return await self._unreadable(sender, hook, error)
        return await self._one(sender, value, hook.body, sender.message_id, hook.request_id)

    async def _one(
        self, sender: VerifiedSender, resource: dict[str, Any], body: bytes, key: str | None, request_id: str | None
    ) -> Receipt:
        """One resource. Without a key of its message, its name and version are what makes it the same again."""
        name, problem = _name(resource), None
        kept = msgspec.json.encode({"resource": resource})
        try:
            told = self.notices.reader(sender.source).read({"resource": resource})
        except CommandInvalid as error:
            told, problem = NoticeContent(type=reader.UNREADABLE, about="nothing"), error
        if problem is None and not await self.concerns(sender.source, told):
            return self._passed_over(sender, told)
        key = key or _version_key(name, told, body)
        return await self.notices.take(sender, Incoming(key=key, body=body, told=told, kept=kept, problem=problem), request_id)

    async def _deleted(self, sender: VerifiedSender, name: str, hook: Hook) -> Receipt:
        """What was told of it before is taken back. Under `X-Signature` its name is not signed, and a person decides."""
        kept = {"deleted": name, "in_doubt": sender.kind == X_SIGNATURE}
        told = self.notices.reader(sender.source).read(kept)
        before = await self.notices.acting.told_of(sender.source.id, [name])
        last = next((row for row in before if row.resource_version != reader.DELETED), None)
        if told.about == "nothing" or last is None:
            return self._passed_over(sender, told)
        key = sender.message_id or f"{name} deleted after {last.id}"
        incoming = Incoming(key=key, body=name.encode(), told=told, kept=msgspec.json.encode(kept))
        return await self.notices.take(sender, incoming, hook.request_id)

    async def _bundle(self, sender: VerifiedSender, bundle: dict[str, Any], hook: Hook) -> Report:
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX or not all(isinstance(each, dict) for each in entries):
            raise CommandInvalid([Fault("Bundle.entry", f"must be a list of at most {ENTRIES_MAX} entries")])
        notification = fhir_notifications.read(bundle) if fhir_notifications.is_notification(bundle) else None
        id_ = None
        if sender.message_id:  # the message as a whole is known by its own id
            receipt = await self.notices.take(
                sender, Incoming(key=sender.message_id, body=hook.body, told=BUNDLE, kept=b"{}"), hook.request_id
            )
            id_ = receipt.id
        if notification:
            told = await self._notified(sender, notification, hook)
        else:
            told = [await self._entry(sender, entry, hook) for entry in entries]
        statuses = {each.status for each in told}
        status = next((each for each in ("waiting", "applied") if each in statuses), "ignored")
        return Report(id=id_, status=status, entries=tuple(told))

    async def _entry(self, sender: VerifiedSender, entry: dict[str, Any], hook: Hook) -> Entry:
        """One entry of a bundle: a resource, or the request that deletes one."""
        request = entry.get("request")
        asked = request if isinstance(request, dict) else {}
        if asked.get("method") == "DELETE":
            name = str(asked.get("url"))[:120]
            receipt = await self._deleted(sender, name, hook)
            return Entry(resource=name, status=receipt.status, id=receipt.id)
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            return Entry(resource="", status="ignored", id=None)
        return await self._told(sender, resource, hook)

    async def _told(self, sender: VerifiedSender, resource: dict[str, Any], hook: Hook) -> Entry:
        """A resource of a bundle: what is wrong with it is told in the report."""
        body = msgspec.json.encode(resource, order="deterministic")
        name = _name(resource)
        try:
            receipt = await self._one(sender, resource, body, None, hook.request_id)
        except (CommandInvalid, CommandMalformed) as error:
            faults = error.faults if isinstance(error, CommandInvalid) else ()
            self.clinic.metrics.notices_refused.labels(sender.source.id, "invalid").inc()
            return Entry(resource=name, status="waiting", id=None, problem="; ".join(map(str, faults)) or str(error))
        return Entry(resource=name, status=receipt.status, id=receipt.id, says=receipt.says)

    # Subscriptions

    async def _notified(self, sender: VerifiedSender, told: Notification, hook: Hook) -> list[Entry]:
        """Each event, and each that did not come. How far the feed is is written last, so that nothing is passed over by a stop."""
        feed = hashlib.sha256(told.subscription.encode()).hexdigest()
        numbers = {event.number for event in told.events}
        async with self.notices.alone(f"{sender.source.id} {feed}"):
            last = await self.clinic.read(stored.last_event, sender.source.id, feed)
            missing: list[int] = []
            if told.kind == "handshake":
                reached = told.reached
            elif told.kind == "query-event":  # asked for, out of their turn
                reached = last or 0
            else:
                reached = max([told.reached, *numbers])
                missing = [n for n in range((reached if last is None else last) + 1, reached + 1) if n not in numbers]
            entries = [each for event in told.events for each in await self._event(sender, told, event, hook)]
            for number in numbers:
                await self.notices.close(sender, _gap_key(feed, number))
            entries += await self._gaps(sender, told, feed, missing, hook)
            if reached != last:
                await self.clinic.write(stored.keep_last_event, sender.source.id, feed, reached, self.clinic.clock.now())
        return entries

    async def _event(self, sender: VerifiedSender, told: Notification, event: NotifiedEvent, hook: Hook) -> list[Entry]:
        """One event: what it is about, its name where only that was sent, or that something happened."""
        key, entries = f"{told.subscription} event {event.number}", []
        for name in event.focus:
            resource = told.resources.get(name)
            entries.append(
                await (
                    self._told(sender, resource, hook)
                    if resource
                    else self._kept(sender, {"focus": name}, f"{key} {name}", name, hook)
                )
            )
        if not event.focus:
            kept = {"empty": {"subscription": told.subscription, "event": event.number}}
            entries.append(await self._kept(sender, kept, key, "", hook))
        return entries

    async def _kept(self, sender: VerifiedSender, kept: dict[str, Any], key: str, name: str, hook: Hook) -> Entry:
        """What cannot be read for itself, and waits for a person."""
        read = self.notices.reader(sender.source).read(kept)
        if read.about == "nothing":
            return Entry(resource=name, status=self._passed_over(sender, read).status, id=None)
        body = msgspec.json.encode(kept)
        receipt = await self.notices.take(sender, Incoming(key=key, body=body, told=read), hook.request_id)
        return Entry(resource=name, status=receipt.status, id=receipt.id)

    async def _gaps(self, sender: VerifiedSender, told: Notification, feed: str, missing: Sequence[int], hook: Hook) -> list[Entry]:
        """A notice for each missing event; the last one stands for all that are more than can be listed."""
        listed, entries = missing[: fhir_notifications.GAP_MAX], []
        for number in listed:
            to = missing[-1] if number == listed[-1] else number
            kept = {"missing": {"subscription": told.subscription, "event": number, "to": to}}
            entries.append(await self._kept(sender, kept, _gap_key(feed, number), "", hook))
        return entries

    # What is kept

    async def concerns(self, source: StoredSource, told: NoticeContent) -> bool:
        """Whether a resource is IPT's concern: by its codes, by what it belongs to, or because its client has an open course."""
        if told.about == "nothing":
            return False
        acting = self.notices.acting
        names = [told.resource or "", *told.refs, *told.belongs]
        before = [row for row in await acting.told_of(source.id, names) if row.course_id or row.status == "waiting"]
        if told.void:
            return bool(before)
        courses = await acting.courses_of(await acting.client_of(told))
        if told.about == "person":
            return bool(courses) or told.client_ref is None
        if told.about == "measure":
            return not self._long_before(told, courses)
        if told.of_ipt or before or source.all_visits:
            return True
        known = {ref for each in courses for ref in _refs(each)}
        return bool(known.intersection(told.refs)) or (told.of_ipt is None and any(each.course.open for each in courses))

    def _long_before(self, told: NoticeContent, courses: Sequence[StoredCourse]) -> bool:
        """Whether a measure was taken long before the client's first course."""
        if not courses or told.occurred_at is None:
            return False
        days = dt.timedelta(days=self.notices.types.fhir.measure_days_before)
        return told.occurred_at < min(each.course.opened_at for each in courses) - days

    def _passed_over(self, sender: VerifiedSender, told: NoticeContent) -> Receipt:
        self.clinic.metrics.notices.labels(sender.source.id, told.type, "ignored").inc()
        return NOT_KEPT

    async def _unreadable(self, sender: VerifiedSender, hook: Hook, problem: Exception) -> Receipt:
        """Kept as it came, and its sender told what is wrong with it."""
        told = NoticeContent(type=reader.UNREADABLE, about="nothing")
        key = sender.message_id or f"unreadable {hashlib.sha256(hook.body).hexdigest()}"
        return await self.notices.take(sender, Incoming(key=key, body=hook.body, told=told, problem=problem), hook.request_id)


def _refs(course: StoredCourse) -> list[str]:
    told = [*(each.ref for each in course.course.sessions), *(each.ref for each in course.course.bookings)]
    return [ref for ref in told if ref]


def _name(resource: dict[str, Any]) -> str:
    """`Encounter/1`; without the id where there is none that can be."""
    kind, its_id = str(resource.get("resourceType"))[:64], resource.get("id")
    name = f"{kind}/{its_id}"
    return name if NAME.fullmatch(name) else kind


def _version_key(name: str, told: NoticeContent, body: bytes) -> str:
    version = told.version.text or (told.version.at.isoformat() if told.version.at else None)
    return f"{name} version {version}" if version else f"{name} body {hashlib.sha256(body).hexdigest()}"


def _gap_key(feed: str, number: int) -> str:
    return f"{feed} missing {number}"


def _named_so(resource: dict[str, Any], name: str | None) -> None:
    """Raises CommandInvalid where the path names something else than the body."""
    if name is not None and name != f"{resource.get('resourceType')}/{resource.get('id')}":
        raise CommandInvalid([Fault("id", "must be the resource type and id that the path names")])
