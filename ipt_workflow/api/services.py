"""The verbs that handlers call: those of the clinic to which a request belongs."""

from typing import Any

from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
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
from ipt_workflow.service.audit.proofs import EntryProofs
from ipt_workflow.service.audit.sums import AuditSums
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.courses import Courses
        self.session_notes = SessionNotes(clinic)
        self.overviews = Overviews(clinic)
        self.registry = Registry(clinic)
        self.day = TherapistDay(clinic)
