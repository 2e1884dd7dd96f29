"""Brings a database to this version: its tables, and what is stored with every course."""

import datetime as dt
from collections.abc import Mapping

import msgspec

from ipt_workflow.course import Course, attention
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.machine import machine_for
from ipt_workflow.protocols import files as protocol_files
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import new_organisation
from ipt_workflow.store import log, organisations
from ipt_workflow.store import protocols as stored_protocols
from ipt_workflow.store.database import Connection
from ipt_workflow.store.schema import revision


def upgrade(connection: Connection, settings: Settings) -> str:
    """Runs the migrations that are missing, and makes again what they cannot. Returns the new revision. Raises ProtocolInvalid.

    A database without an organisation gets that of the settings.
    """
    from ipt_workflow.store.schema import migrate, snapshots  # noqa: PLC0415 - Alembic takes long to load, and is seldom needed

    before = revision.current(connection)
    reached = migrate.upgrade(connection)
    if before is not None and before < revision.ATTENTION:
        catalogue = protocol_files.load_catalogue(settings.protocols, settings.instruments, KNOWN_RULES)
        kept = (msgspec.json.decode(each) for each in stored_protocols.definitions(connection))
        known = [protocol_files.read_definition(each, catalogue.instruments) for each in kept]
        machines = {protocol.digest: machine_for(protocol) for protocol in known}

        def due(course: Course) -> Mapping[str, dt.datetime]:
            machine = machines[course.protocol_digest]
            return attention.attention(machine.protocol, machine.bound, course, settings.zone)

        snapshots.note_attention(connection, due)
    if not organisations.every(connection):
        organisations.insert(connection, new_organisation(settings.organisation, SystemClock().now()))
    log.enter_earlier(connection, [each.id for each in organisations.every(connection)])
    return reached
