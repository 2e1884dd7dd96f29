"""Receives FHIR R4 messages in the forms that EHR systems send them.

HAPI puts, posts or deletes a resource. Medplum posts it with its interaction in a header. A message may also be a Bundle of resources,
or a subscription's notification (`fhir_notifications`). Each resource of a Bundle is a notice of its own, and the answer says what
became of each. A resource that does not concern IPT is answered and counted, and nothing of it is stored.
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
from ipt_workflow.ehr.notices.intake import Incoming, Notices, Receipt, first
from ipt_workflow.ehr.notices.sources import X_SIGNATURE, VerifiedSender
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.store import notices as stored
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.sources import StoredSource

ENTRIES_MAX = 2000
INTERACTION = "x-medplum-interaction"
DELETED_RESOURCE = "x-medplum-deleted-resource"
NOT_KEPT = Receipt(id=None, status="ignored")
BUNDLE = NoticeContent(type="fhir.Bundle", about="nothing")
UNREADABLE = NoticeContent(type=reader.UNREADABLE, about="nothing")


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `name` is the `Type/id` in its path; `problem` says why its body cannot be read."""

    method: str
    name: str | None
    headers: Mapping[str, str]
    body: bytes
    problem: Exception | None = None
    request_id: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one resource of a Bundle. `problem` says what is wrong with it, if anything."""

    resource: str
    status: str
    id: str | None
    says: tuple[str, ...] = ()
    problem: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a Bundle and of each entry, in order. `status` is `waiting` if any entry waits, else `applied` if any was."""

    id: str | None
    status: str
    entries: tuple[Entry, ...]


class RestHooks:
    """Takes in FHIR messages as notices."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self.clinic = notices.clinic

    async def receive(self, sender: VerifiedSender, hook: Hook) -> Receipt | Report:
        """Raises the problem of a message. By then the message is stored."""
        if hook.problem:
            return await self._unreadable(sender, hook, hook.problem)
        deleted = hook.name if hook.method == "DELETE" else None
        if hook.headers.get(INTERACTION) == "delete":
            deleted = hook.headers.get(DELETED_RESOURCE)
        if deleted is not None:
            return await self._deleted(sender, deleted, hook)
        if not hook.body.strip():
            return NOT_KEPT  # a hook without a payload only says that something happened
        try:
            value = reader.decode(hook.body)
            if value.get("resourceType") == "Bundle":
                return await self._bundle(sender, value, hook)
            _check_name(value, hook.name)
        except (CommandMalformed, CommandInvalid) as error:
            return await self._unreadable(sender, hook, error)
        return await self._one(sender, value, hook.body, sender.message_id, hook.request_id)

    async def _one(
        self, sender: VerifiedSender, resource: dict[str, Any], body: bytes, key: str | None, request_id: str | None
    ) -> Receipt:
        """Takes one resource. Without a key of its message, its name and version identify it when it comes again."""
        name, problem = _name(resource), None
        kept = msgspec.json.encode({"resource": resource})
        try:
            content = first(self.notices.fhir_reader(sender.source).read({"resource": resource}))
        except CommandInvalid as error:
            content, problem = UNREADABLE, error
        if problem is None and not await self.concerns(sender.source, content):
            return self._ignore(sender, content)
        incoming = Incoming(key=key or _version_key(name, content, body), body=body, content=content, kept=kept, problem=problem)
        return await self.notices.take(sender, incoming, request_id)

    async def _deleted(self, sender: VerifiedSender, name: str, hook: Hook) -> Receipt:
        """Takes the deletion of a resource. `X-Signature` does not cover the resource's name, so a person must decide."""
        kept = {"deleted": name, "in_doubt": sender.kind == X_SIGNATURE}
        content = first(self.notices.fhir_reader(sender.source).read(kept))
        earlier = await self.notices.handler.earlier(sender.source.id, [name])
        last = next((row for row in earlier if row.resource_version != reader.DELETED), None)
        if content.about == "nothing" or last is None:
            return self._ignore(sender, content)
        key = sender.message_id or f"{name} deleted after {last.id}"
        incoming = Incoming(key=key, body=name.encode(), content=content, kept=msgspec.json.encode(kept))
        return await self.notices.take(sender, incoming, hook.request_id)

    async def _bundle(self, sender: VerifiedSender, bundle: dict[str, Any], hook: Hook) -> Report:
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX or not all(isinstance(each, dict) for each in entries):
            raise CommandInvalid([Fault("Bundle.entry", f"must be a list of at most {ENTRIES_MAX} entries")])
        notification = fhir_notifications.read(bundle) if fhir_notifications.is_notification(bundle) else None
        bundle_id = None
        if sender.message_id:  # a repeated message is recognised as a whole
            whole = Incoming(key=sender.message_id, body=hook.body, content=BUNDLE, kept=b"{}")
            bundle_id = (await self.notices.take(sender, whole, hook.request_id)).id
        if notification:
            report = await self._notification(sender, notification, hook)
        else:
            report = [await self._entry(sender, entry, hook) for entry in entries]
        statuses = {each.status for each in report}
        status = next((each for each in ("waiting", "applied") if each in statuses), "ignored")
        return Report(id=bundle_id, status=status, entries=tuple(report))

    async def _entry(self, sender: VerifiedSender, entry: dict[str, Any], hook: Hook) -> Entry:
        """Takes one entry of a Bundle: a resource, or a request that deletes one."""
        request = entry.get("request")
        if isinstance(request, dict) and request.get("method") == "DELETE":
            name = str(request.get("url"))[:120]
            receipt = await self._deleted(sender, name, hook)
            return Entry(resource=name, status=receipt.status, id=receipt.id)
        resource = entry.get("resource")
        if not isinstance(resource, dict):
            return Entry(resource="", status="ignored", id=None)
        return await self._resource(sender, resource, hook)

    async def _resource(self, sender: VerifiedSender, resource: dict[str, Any], hook: Hook) -> Entry:
        """Takes a resource of a Bundle. The report says what is wrong with it."""
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

    async def _notification(self, sender: VerifiedSender, notification: Notification, hook: Hook) -> list[Entry]:
        """Takes each event, and a notice for each missing one. Stores the last event at the end, so that a stop skips none."""
        feed = hashlib.sha256(notification.subscription.encode()).hexdigest()
        numbers = {event.number for event in notification.events}
        async with self.notices.lock(f"{sender.source.id} {feed}"):
            last = await self.clinic.read(stored.last_event, sender.source.id, feed)
            missing: list[int] = []
            if notification.kind == "handshake":
                reached = notification.reached
            elif notification.kind == "query-event":  # old events that we requested: they do not move the feed
                reached = last or 0
            else:
                reached = max([notification.reached, *numbers])
                first = (reached if last is None else last) + 1
                missing = [number for number in range(first, reached + 1) if number not in numbers]
            entries = [each for event in notification.events for each in await self._event(sender, notification, event, hook)]
            for number in numbers:
                await self.notices.close(sender, _gap_key(feed, number))
            entries += await self._gaps(sender, notification, feed, missing, hook)
            if reached != last:
                await self.clinic.write(stored.keep_last_event, sender.source.id, feed, reached, self.clinic.clock.now())
        return entries

    async def _event(self, sender: VerifiedSender, notification: Notification, event: NotifiedEvent, hook: Hook) -> list[Entry]:
        """Takes one event: the resources it is about, their names if only those were sent, or an event without any."""
        key, entries = f"{notification.subscription} event {event.number}", []
        for name in event.focus:
            resource = notification.resources.get(name)
            if resource:
                entries.append(await self._resource(sender, resource, hook))
            else:
                entries.append(await self._without_resource(sender, {"focus": name}, f"{key} {name}", name, hook))
        if not event.focus:
            kept = {"empty": {"subscription": notification.subscription, "event": event.number}}
            entries.append(await self._without_resource(sender, kept, key, "", hook))
        return entries

    async def _without_resource(self, sender: VerifiedSender, kept: dict[str, Any], key: str, name: str, hook: Hook) -> Entry:
        """Takes an event whose resource did not come. It waits for a person."""
        content = first(self.notices.fhir_reader(sender.source).read(kept))
        if content.about == "nothing":
            return Entry(resource=name, status=self._ignore(sender, content).status, id=None)
        body = msgspec.json.encode(kept)
        receipt = await self.notices.take(sender, Incoming(key=key, body=body, content=content), hook.request_id)
        return Entry(resource=name, status=receipt.status, id=receipt.id)

    async def _gaps(
        self, sender: VerifiedSender, notification: Notification, feed: str, missing: Sequence[int], hook: Hook
    ) -> list[Entry]:
        """Takes a notice for each missing event. The last of GAP_MAX notices covers all further events."""
        listed, entries = missing[: fhir_notifications.GAP_MAX], []
        for number in listed:
            to = missing[-1] if number == listed[-1] else number
            kept = {"missing": {"subscription": notification.subscription, "event": number, "to": to}}
            entries.append(await self._without_resource(sender, kept, _gap_key(feed, number), "", hook))
        return entries

    # What concerns IPT

    async def concerns(self, source: StoredSource, content: NoticeContent) -> bool:
        """Whether a resource concerns IPT: by its codes, by what it belongs to, or because its client has an open course."""
        if content.about == "nothing":
            return False
        handler = self.notices.handler
        names = [content.resource or "", *content.refs, *content.part_of]
        earlier = [row for row in await handler.earlier(source.id, names) if row.course_id or row.status == "waiting"]
        if content.void:
            return bool(earlier)
        courses = await handler.courses_of(await handler.client_of(content))
        if content.about == "person":
            return bool(courses) or content.client_ref is None
        if content.about == "measure":
            return not self._long_before(content, courses)
        if content.of_ipt or earlier or source.all_visits:
            return True
        known = {ref for each in courses for ref in _refs(each)}
        return bool(known.intersection(content.refs)) or (content.of_ipt is None and any(each.course.open for each in courses))

    def _long_before(self, content: NoticeContent, courses: Sequence[StoredCourse]) -> bool:
        """Whether a measure was taken long before the client's first course."""
        if not courses or content.occurred_at is None:
            return False
        days = dt.timedelta(days=self.notices.types.fhir.measure_days_before)
        return content.occurred_at < min(each.course.opened_at for each in courses) - days

    def _ignore(self, sender: VerifiedSender, content: NoticeContent) -> Receipt:
        """Counts a message that does not concern IPT."""
        self.clinic.metrics.notices.labels(sender.source.id, content.type, "ignored").inc()
        return NOT_KEPT

    async def _unreadable(self, sender: VerifiedSender, hook: Hook, problem: Exception) -> Receipt:
        """Stores the message as it came. Raises its problem, which the sender gets as the answer."""
        key = sender.message_id or f"unreadable {hashlib.sha256(hook.body).hexdigest()}"
        incoming = Incoming(key=key, body=hook.body, content=UNREADABLE, problem=problem)
        return await self.notices.take(sender, incoming, hook.request_id)


def _refs(course: StoredCourse) -> list[str]:
    refs = [*(session.ref for session in course.course.sessions), *(booking.ref for booking in course.course.bookings)]
    return [ref for ref in refs if ref]


def _name(resource: dict[str, Any]) -> str:
    """`Encounter/1`; the type alone if the id is missing or not valid."""
    kind = str(resource.get("resourceType"))[:64]
    name = f"{kind}/{resource.get('id')}"
    return name if NAME.fullmatch(name) else kind


def _version_key(name: str, content: NoticeContent, body: bytes) -> str:
    version = content.version.text or (content.version.at.isoformat() if content.version.at else None)
    return f"{name} version {version}" if version else f"{name} body {hashlib.sha256(body).hexdigest()}"


def _gap_key(feed: str, number: int) -> str:
    return f"{feed} missing {number}"


def _check_name(resource: dict[str, Any], name: str | None) -> None:
    """Raises CommandInvalid if the path names another resource than the body."""
    if name is not None and name != f"{resource.get('resourceType')}/{resource.get('id')}":
        raise CommandInvalid([Fault("id", "must be the id in the path, and `resourceType` must be the type in the path")])
