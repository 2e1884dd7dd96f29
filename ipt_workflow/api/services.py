"""The verbs that handlers call: those of the clinic to which a request belongs."""

from typing import Any

from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.client_exports import ClientExports
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.ehr.fhir_compartments import ClientResources
from ipt_workflow.ehr.fhir_histories import FhirHistories
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.ehr.fhir_searches import FhirSearches
from ipt_workflow.ehr.notices.fhir_hooks import RestHooks
from ipt_workflow.ehr.notices.group_records import HeldRecords
from ipt_workflow.ehr.notices.inbox import Inbox
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.ehr.notices.messages import Messages
from ipt_workflow.ehr.smart.access_tokens import AccessTokens
from ipt_workflow.ehr.smart.published_keys import PublishedKeys
from ipt_workflow.ehr.smart.systems import Systems
from ipt_workflow.service.access.attestations import Attestations
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.client_labels import ClientLabels
from ipt_workflow.service.access.cover import Covers
from ipt_workflow.service.access.credentials import Credentials
from ipt_workflow.service.access.masks import Unmaskings
from ipt_workflow.service.access.people import People
from ipt_workflow.service.access.restrictions import Restrictions
from ipt_workflow.service.access.sessions import SignInSessions
from ipt_workflow.service.access.tokens import Tokens
from ipt_workflow.service.audit.exports import Exports
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.audit.log_proofs import LogProofs
from ipt_workflow.service.audit.names import AuditNaming
from ipt_workflow.service.audit.proofs import EntryProofs
from ipt_workflow.service.audit.sums import AuditSums
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.corrections import Corrections
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.day import TherapistDay
from ipt_workflow.service.deeds import Deeds
from ipt_workflow.service.drafts import Drafts
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.register import GroupRegisters
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.histories import Histories
from ipt_workflow.service.organisations import Organisations
from ipt_workflow.service.overviews import Overviews
from ipt_workflow.service.papers import Papers
from ipt_workflow.service.privacy.access_reports import AccessReports
from ipt_workflow.service.privacy.disclosures import Disclosures
from ipt_workflow.service.privacy.erasures import Erasures
from ipt_workflow.service.privacy.marks import Marks
from ipt_workflow.service.privacy.retention import Retention
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.protocols.versions import ProtocolVersions
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.session_notes import SessionNotes
from ipt_workflow.service.supervision.agenda import Agenda
from ipt_workflow.service.supervision.day import SupervisorsDesk
from ipt_workflow.service.supervision.meetings import Meetings
from ipt_workflow.service.supervision.preparation import Preparations
from ipt_workflow.service.supervision.records import SupervisionRecords


class Services:
    """The verbs of one clinic."""

    def __init__(self, clinic: Clinic, clinics: Clinics) -> None:
        self.clinic = clinic
        self.organisations = Organisations(clinic, clinics)
        self.courses = Courses(clinic)
        self.drafts = Drafts(clinic)
        self.proposals = Proposals(clinic)
        self.protocol_versions = ProtocolVersions(clinic)
        self.emergencies = EmergencyAccesses(clinic)
        self.unmaskings = Unmaskings(clinic)
        self.covers = Covers(clinic)
        self.restrictions = Restrictions(clinic)
        self.meetings = Meetings(clinic)
        self.preparations = Preparations(clinic)
        self.supervision_records = SupervisionRecords(clinic)
        self.agenda = Agenda(clinic)
        self.supervisors_desk = SupervisorsDesk(clinic)
        self.client_labels = ClientLabels(clinic)
        self.reads = CourseReads(clinic)
        self.histories = Histories(clinic)
        self.corrections = Corrections(clinic)
        self.deeds = Deeds(clinic)
        self.session_notes = SessionNotes(clinic)
        self.overviews = Overviews(clinic)
        self.registry = Registry(clinic)
        self.day = TherapistDay(clinic)
        self.papers = Papers(clinic)
        self.audit_log = AuditLog(clinic)
        self.audit_exports = Exports(clinic)
        self.audit_names = AuditNaming(clinic)
        self.audit_sums = AuditSums(clinic)
        self.proofs, self.log_proofs = EntryProofs(clinic), LogProofs(clinic)
        self.fhir = FhirReader(clinic)
        self.fhir_searches = FhirSearches(clinic)
        self.fhir_histories = FhirHistories(clinic)
        self.tokens = Tokens(clinic)
        self.systems = Systems(clinic)
        self.sessions = SignInSessions(clinic)
        self.people = People(clinic)
        self.attestations = Attestations(clinic)
        self.subscriptions = Subscriptions(clinic)
        self.deliveries = Deliveries(clinic)
        self.feed = Feed(clinic)
        self.notices = Notices(clinic)
        self.messages = Messages(clinic)
        self.rest_hooks = RestHooks(self.notices)
        self.groups = Groups(clinic)
        self.group_registers = GroupRegisters(clinic)
        self.group_sessions = GroupSessions(clinic)
        self.group_signatures = GroupSignatures(clinic)
        self.rights = ClientRights(clinic)
        self.inbox = Inbox(self.notices, HeldRecords(self.group_sessions))


class ClientRights:
    """The verbs by which a clinic honours its clients' rights."""

    def __init__(self, clinic: Clinic) -> None:
        self.marks = Marks(clinic)
        self.retention = Retention(clinic)
        self.erasures = Erasures(clinic)
        self.everything = ClientResources(clinic)
        self.access_reports = AccessReports(clinic)
        self.disclosures = Disclosures(clinic)
        self.exports = ClientExports(clinic)


class FrontDesk:
    """Finds the services to which a request belongs: by its credential, or for a signed message by its address.

    `access_tokens` are for systems, whose assertions tell the organisation.
    """

    def __init__(self, clinics: Clinics, calls: Calls) -> None:
        self.clinics = clinics
        self.access_tokens = AccessTokens(clinics, PublishedKeys(calls))
        self.credentials = Credentials(clinics)
        self._services: dict[str, Services] = {}

    @property
    def first(self) -> Services:
        """Those of the organisation in the settings."""
        return self.of(self.clinics.first)

    def of(self, clinic: Clinic) -> Services:
        if clinic.organisation not in self._services:
            self._services[clinic.organisation] = Services(clinic, self.clinics)
        return self._services[clinic.organisation]


def front_desk(scope: Any) -> FrontDesk:
    desk: FrontDesk = scope["litestar_app"].state.front_desk
    return desk


def services_of(request: Any) -> Services:
    """The services of a request, which the middleware before its handler has chosen."""
    found: Services = request.scope["ipt_services"]
    return found
