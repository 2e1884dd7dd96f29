"""Receives FHIR R4 messages in the forms that EHR systems send them.

HAPI puts, posts or deletes a resource. Medplum posts it with its interaction in a header. A message may also be a Bundle of resources,
or a subscription's notification (`fhir_notifications`). Each resource of a Bundle is a notice of its own, and the answer says what
became of each. A resource that does not concern IPT is answered and counted, and nothing of it is stored.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.ehr.notices import digests, fhir_notifications, known_groups, salvage, things, versions
from ipt_workflow.ehr.notices.bundle_context import BundleContext
from ipt_workflow.ehr.notices.commands import NoticeOutcome
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader, references
from ipt_workflow.ehr.notices.fhir.resources import NAME, ReceivedReference
from ipt_workflow.ehr.notices.fhir_notifications import Notification, NotifiedEvent
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.receipts import Message, Receipt, ThingReceipt
from ipt_workflow.ehr.notices.sources import STANDARD_WEBHOOKS, X_SIGNATURE, VerifiedSender
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, DatabaseNotReady, Fault
from ipt_workflow.runtime import logs
from ipt_workflow.store import notices as stored

SIGN_BODIES = frozenset({STANDARD_WEBHOOKS, X_SIGNATURE})  # these prove the body, not the method, the path or other headers
ENTRIES_MAX = 2000
LANES_MAX = 8  # clients of a Bundle that are handled at the same time; more would make other requests wait
INTERACTION = "x-medplum-interaction"
DELETED_RESOURCE = "x-medplum-deleted-resource"
NOT_DONE = frozenset({"GET", "HEAD", "PATCH"})  # requests of a Bundle's entries that have no effect here
NOT_TAKEN = "The service met an error while it took this entry."
REFUSED = "refused"  # the status of an entry that could not be kept now
ONE_RESOURCE = Fault("request.url", "must name one resource to delete, such as Encounter/1")
NOT_KEPT = Receipt(id=None, status="ignored")
BUNDLE = NoticeContent(type="fhir.Bundle", about="nothing", ignored="kind")
UNREADABLE = NoticeContent(type=reader.UNREADABLE, about="nothing", ignored="kind")
NOTHING_LEFT = frozenset({"person", "scale", "empty"})  # reasons of an ignored version that takes back what earlier ones said


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A request. `name` is the `Type/id` in its path; `problem` says why its body cannot be read."""

    method: str
    name: str | None
    headers: Mapping[str, str]
    body: bytes
    problem: Exception | None = None
    request_id: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one resource of a Bundle. `problem` says what is wrong with it, and `things` what became of each thing it says.

    The status `refused` means that it was not kept, and must be sent again.
    """

    resource: str
    status: str
    id: str | None
    reason: str | None = None
    says: tuple[str, ...] = ()
    problem: str | None = None
    things: tuple[ThingReceipt, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a Bundle and of each entry, in order. `status` is `waiting` if any entry waits, else `applied` if any was.

    `kind` is the type of the Bundle.
    """

    id: str | None
    status: str
    kind: str = "collection"
    entries: tuple[Entry, ...]


class RestHooks:
    """Takes in FHIR messages as notices."""

    def __init__(self, notices: Notices) -> None:
        self.notices = notices
        self.clinic = notices.clinic

    async def receive(self, sender: VerifiedSender, hook: Hook) -> Receipt | Report:
        """Raises the problem of a message. By then the message is stored. Entries of a Bundle are reported, not raised."""
        if hook.problem:
            return await self._unreadable(sender, hook, hook.problem)
        deleted = hook.name if hook.method == "DELETE" else None
        if hook.headers.get(INTERACTION) == "delete":
            deleted = hook.headers.get(DELETED_RESOURCE)
        if deleted is not None:
            return await self._deleted(sender, deleted, hook.request_id, key=sender.message_id, named=_names(hook.body, deleted))
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
        self,
        sender: VerifiedSender,
        resource: dict[str, Any],
        body: bytes,
        key: str | None,
        request_id: str | None,
        context: BundleContext | None = None,
    ) -> Receipt:
        """Takes one resource. Without a key of its message, it is compared with the versions that were kept of it."""
        bundle, problem = context or BundleContext(), None
        named = {**bundle.by_url, **await known_groups.entries(self.clinic, resource)}
        kept = {"resource": references.resolved(resource, named) if named else resource}
        try:
            contents = self.notices.fhir_reader(sender.source).read(kept)
        except CommandInvalid as error:
            contents, problem = (UNREADABLE,), error
            key = key or f"unreadable {digests.of_body(sender.source, body)}"
        ignored = [each.ignored for each in contents if each.about == "nothing"]
        message = Message(
            key=key,
            body=body,
            contents=contents,
            kept=msgspec.json.encode(kept),
            problem=problem,
            room=bundle.room,
            complete=all(each in NOTHING_LEFT for each in ignored),
        )
        return await self.notices.take(sender, message, request_id)

    async def _deleted(
        self,
        sender: VerifiedSender,
        name: str,
        request_id: str | None,
        *,
        key: str | None = None,
        named: bool = False,
        room: bool = False,
    ) -> Receipt:
        """Takes the deletion of a resource. If a signature does not cover the resource's name, a person must decide."""
        in_doubt = sender.kind in SIGN_BODIES and not named
        kept = {"deleted": name, "in_doubt": in_doubt}
        (content,) = self.notices.fhir_reader(sender.source).read(kept)
        if content.about == "nothing":
            return self._ignore(sender, content)
        rows = await self.notices.versions(digests.of_resource(sender.source, name))
        last = versions.newest(rows)
        if last is None:
            return self._ignore(sender, content)
        content = msgspec.structs.replace(content, version=versions.version_of(last))
        message = Message(
            key=key,
            body=name.encode(),
            contents=(content,),
            kept=msgspec.json.encode(kept),
            room=room,
            withdraws=tuple(things.left(rows) or things.latest(rows)),  # a repeated deletion is known as such
        )
        return await self.notices.take(sender, message, request_id)

    async def _bundle(self, sender: VerifiedSender, bundle: dict[str, Any], hook: Hook) -> Report:
        entries = bundle.get("entry", [])
        if not isinstance(entries, list) or len(entries) > ENTRIES_MAX or not all(isinstance(each, dict) for each in entries):
            raise CommandInvalid([Fault("Bundle.entry", f"must be a list of at most {ENTRIES_MAX} entries")])
        notification = fhir_notifications.read(bundle) if fhir_notifications.is_notification(bundle) else None
        kind = str(bundle.get("type"))
        if kind == "transaction":
            await self._check_transaction(sender, entries)
        bundle_id = None
        if sender.message_id:  # a repeated message is recognised as a whole
            known = await self.clinic.notices.get(digests.of_message(sender.source, sender.message_id))
            reused = known is not None and not digests.is_of_body(sender.source, known.body_hash, hook.body)
            content = await self._salvaged(sender, BUNDLE, hook.body) if reused else BUNDLE
            whole = Message(key=sender.message_id, body=hook.body, contents=(content,), kept=b"{}", always=True)
            bundle_id = (await self.notices.take(sender, whole, hook.request_id)).id
        if notification:
            report = await self._notification(sender, notification, hook)
        else:
            context = BundleContext.of(entries, room=kind == "transaction")
            report = await self._entries(sender, entries, hook, context)
        statuses = {each.status for each in report}
        status = next((each for each in ("waiting", "applied") if each in statuses), "ignored")
        return Report(id=bundle_id, status=status, kind=kind, entries=tuple(report))

    async def _check_transaction(self, sender: VerifiedSender, entries: Sequence[dict[str, Any]]) -> None:
        """Raises what refuses a transaction before any entry is taken. A full inbox does not refuse one that speaks of risk."""
        faults = [
            Fault(f"Bundle.entry[{number}].request.method", "must be POST, PUT or DELETE")
            for number, entry in enumerate(entries)
            if _method(entry) in NOT_DONE
        ]
        if faults:
            raise CommandInvalid(faults)
        try:
            await self.notices.check_room(sender.source)
        except Busy:
            if not any(self._speaks_of_risk(sender, entry) for entry in entries):
                raise

    def _speaks_of_risk(self, sender: VerifiedSender, entry: dict[str, Any]) -> bool:
        try:
            return any(each.risk for each in self.notices.fhir_reader(sender.source).read({"resource": entry.get("resource")}))
        except CommandInvalid:
            return False

    async def _entries(
        self, sender: VerifiedSender, entries: Sequence[dict[str, Any]], hook: Hook, context: BundleContext
    ) -> list[Entry]:
        """Takes the entries: those about one subject in their order, and several subjects at the same time."""
        report: dict[int, Entry] = {}
        slots = asyncio.Semaphore(LANES_MAX)

        async def take(numbers: list[int]) -> None:
            async with slots:
                for number in numbers:
                    report[number] = await self._entry(sender, entries[number], hook, context)

        async with asyncio.TaskGroup() as group:
            for numbers in context.lanes(entries):
                group.create_task(take(numbers))
        return [report[number] for number in range(len(entries))]

    async def _entry(self, sender: VerifiedSender, entry: dict[str, Any], hook: Hook, context: BundleContext) -> Entry:
        """Takes one entry of a Bundle: a resource, or a request that deletes one."""
        method, resource = _method(entry), entry.get("resource")
        if method in NOT_DONE:
            return Entry(resource="", status="ignored", id=None, reason="interaction")
        if method == "DELETE":
            return await self._deletion(sender, entry["request"], hook, context)
        if not isinstance(resource, dict):
            return Entry(resource="", status="ignored", id=None, reason="empty")
        return await self._resource(sender, resource, hook, context)

    async def _resource(
        self, sender: VerifiedSender, resource: dict[str, Any], hook: Hook, context: BundleContext | None = None
    ) -> Entry:
        """Takes a resource of a Bundle."""
        body = msgspec.json.encode(resource, order="deterministic")
        return await self._reported(sender, _name(resource), self._one(sender, resource, body, None, hook.request_id, context))

    async def _deletion(self, sender: VerifiedSender, request: dict[str, Any], hook: Hook, context: BundleContext) -> Entry:
        """Takes a request that deletes a resource. One that names no single resource is kept for a person."""
        url = str(request.get("url"))
        name = None if "?" in url else ReceivedReference(reference=url).name
        if name:
            receipt = self._deleted(sender, name, hook.request_id, named=True, room=context.room)
            return await self._reported(sender, name, receipt)
        body = msgspec.json.encode({"request": request}, order="deterministic")
        key = f"unreadable {digests.of_body(sender.source, body)}"
        message = Message(key=key, body=body, contents=(UNREADABLE,), problem=CommandInvalid([ONE_RESOURCE]), room=context.room)
        return await self._reported(sender, "", self.notices.take(sender, message, hook.request_id))

    async def _reported(self, sender: VerifiedSender, name: str, taking: Awaitable[Receipt]) -> Entry:
        """What became of an entry, and what is wrong with it. One that cannot be kept now leaves the others alone."""
        try:
            return _entry_of(name, await taking)
        except (Busy, DatabaseNotReady) as error:
            return Entry(resource=name, status=REFUSED, id=None, problem=str(error))
        except (CommandInvalid, CommandMalformed) as error:
            faults = error.faults if isinstance(error, CommandInvalid) else ()
            self.clinic.metrics.notices_refused.labels(sender.source.id, "invalid").inc()
            return Entry(resource=name, status="waiting", id=None, problem="; ".join(map(str, faults)) or str(error))
        except Exception as error:  # noqa: BLE001 - the other entries must be taken; an error's words may hold content
            logs.logger().error("entry not taken", source=sender.source.id, error_type=type(error).__name__)
            return Entry(resource=name, status=REFUSED, id=None, problem=NOT_TAKEN)

    # Subscriptions

    async def _notification(self, sender: VerifiedSender, notification: Notification, hook: Hook) -> list[Entry]:
        """Takes each event, and a notice for each missing one. Stores the last event at the end, so that a stop skips none."""
        feed = hashlib.sha256(notification.subscription.encode()).hexdigest()
        numbers = {event.number for event in notification.events}
        async with self.notices.lock(f"{sender.source.id} {feed}"):
            last = await self.clinic.read(stored.last_event, sender.source.id, feed)
            reached, missed = last, range(0)
            if notification.kind == "handshake":
                reached = notification.reached
            elif notification.kind != "query-event":  # old events that we requested do not move the feed
                reached = max([notification.reached, *numbers, last or 0])  # an event that comes late moves nothing back
                missed = range((reached if last is None else last) + 1, reached + 1)
            entries = [each for event in notification.events for each in await self._event(sender, notification, event, hook)]
            entries += await self._gaps(sender, notification, feed, missed, hook)
            if any(each.status == REFUSED for each in entries):
                return entries  # the notification is sent again
            for number in numbers:
                await self.notices.close(sender, _gap_key(feed, number))
            if reached is not None and reached != last:
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
        (content,) = self.notices.fhir_reader(sender.source).read(kept)
        if content.about == "nothing":
            return _entry_of(name, self._ignore(sender, content))
        body = msgspec.json.encode(kept)
        message = Message(key=key, body=body, contents=(content,), always=True)
        return await self._reported(sender, name, self.notices.take(sender, message, hook.request_id))

    async def _gaps(self, sender: VerifiedSender, notification: Notification, feed: str, missed: range, hook: Hook) -> list[Entry]:
        """Takes a notice for each event of `missed` that did not come. The last of GAP_MAX notices covers all further events."""
        entries = []
        for number, to in fhir_notifications.gaps(notification, missed):
            kept = {"missing": {"subscription": notification.subscription, "event": number, "to": to}}
            key = _gap_key(feed, number) if number == to else f"{_gap_key(feed, number)} to {to}"
            entries.append(await self._without_resource(sender, kept, key, "", hook))
        return entries

    def _ignore(self, sender: VerifiedSender, content: NoticeContent) -> Receipt:
        """Counts a message that changes nothing here."""
        reason = content.ignored or "nothing_here"
        self.notices.count(sender.source.id, content.type, NoticeOutcome(status="ignored", reason=reason))
        return msgspec.structs.replace(NOT_KEPT, reason=reason)

    async def _unreadable(self, sender: VerifiedSender, hook: Hook, problem: Exception) -> Receipt:
        """Stores the message as it came. Raises its problem, which the sender gets as the answer."""
        key = sender.message_id or f"unreadable {digests.of_body(sender.source, hook.body)}"
        content = await self._salvaged(sender, UNREADABLE, hook.body)
        message = Message(key=key, body=hook.body, contents=(content,), problem=problem)
        return await self.notices.take(sender, message, hook.request_id)

    async def _salvaged(self, sender: VerifiedSender, content: NoticeContent, body: bytes) -> NoticeContent:
        """The content with the risk and the client that the body tells."""
        prefix = sender.source.client_prefix
        return await salvage.from_fhir(self.clinic, content, self.notices.fhir_reader(sender.source), prefix, body)


def _entry_of(name: str, receipt: Receipt) -> Entry:
    return Entry(
        resource=name, status=receipt.status, id=receipt.id, reason=receipt.reason, says=receipt.says, things=receipt.things
    )


def _method(entry: dict[str, Any]) -> str:
    """The method of a Bundle's entry; empty if it has no request."""
    request = entry.get("request")
    return str(request.get("method")) if isinstance(request, dict) else ""


def _names(body: bytes, name: str) -> bool:
    """Whether a body, which a signature covers, says no more than the name of the resource that is to be deleted.

    The body of an update names it as well, and may be sent again by somebody else.
    """
    try:
        value = reader.decode(body)
    except CommandMalformed:
        return False
    return value in ({"resourceType": name.partition("/")[0], "id": name.partition("/")[2]}, {"reference": name})


def _name(resource: dict[str, Any]) -> str:
    """`Encounter/1`; the type alone if the id is missing or not valid."""
    kind = str(resource.get("resourceType"))[:64]
    name = f"{kind}/{resource.get('id')}"
    return name if NAME.fullmatch(name) else kind


def _gap_key(feed: str, number: int) -> str:
    return f"{feed} missing {number}"


def _check_name(resource: dict[str, Any], name: str | None) -> None:
    """Raises CommandInvalid if the path names another resource than the body."""
    if name is not None and name != f"{resource.get('resourceType')}/{resource.get('id')}":
        raise CommandInvalid([Fault("id", "must be the id in the path, and `resourceType` must be the type in the path")])
