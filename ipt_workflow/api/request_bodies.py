"""The bodies that handlers read by hand, by route: several where a route takes either."""

import msgspec

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview, NewUnmasking
from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.erasure import NewErasure
from ipt_workflow.access.marks import MarkEnd, NewMark
from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.api.audit import AuditSearch
from ipt_workflow.api.courses import Search
from ipt_workflow.course.triggers import Command, Together
from ipt_workflow.ehr.client_exports import ClientExportQuery
from ipt_workflow.ehr.deliveries.bodies import NewSubscription, Replay, Rotation, SubscriptionChange
from ipt_workflow.ehr.deliveries.rehearsal import MoveClock
from ipt_workflow.ehr.notices.inbox import Resolution
from ipt_workflow.ehr.notices.sources import NewSource, SourceChange, SourceRotation
from ipt_workflow.ehr.smart.systems import NewSystem, SystemChange
from ipt_workflow.groups.bodies import Facilitating, Joining, Leaving, NewGroup, NewSession, Signing, SigningSeveral
from ipt_workflow.service.access.client_labels import NewClientLabel
from ipt_workflow.service.access.people import NewPerson, PersonChange
from ipt_workflow.service.access.restrictions import NewRestriction
from ipt_workflow.service.organisations import NewOrganisation, OrganisationChange
from ipt_workflow.service.privacy.access_reports import ReportQuery
from ipt_workflow.service.privacy.disclosures import AccountingQuery, NewDisclosure
from ipt_workflow.service.privacy.erasures import KeptRegister
from ipt_workflow.service.privacy.log_months import ToReap
from ipt_workflow.service.privacy.retention import NewRetentionDecision
from ipt_workflow.service.proposals import NewReturn
from ipt_workflow.service.supervision.meetings import NewMeeting
from ipt_workflow.service.writes import CrisisCall, Opening

WRITES: dict[tuple[str, str], tuple[type[msgspec.Struct], ...]] = {
    ("/v1/courses", "post"): (Opening,),
    ("/v1/courses/crisis-calls", "post"): (CrisisCall,),
    ("/v1/courses/search", "post"): (Search,),
    ("/v1/audit/search", "post"): (AuditSearch,),
    ("/v1/courses/{course_id}/transitions", "post"): (Command, Together),
    ("/v1/courses/{course_id}/proposals", "post"): (Command,),
    ("/v1/courses/{course_id}/restriction", "put"): (NewRestriction,),
    ("/v1/courses/{course_id}/client-label", "put"): (NewClientLabel,),
    ("/v1/clients/access-report", "post"): (ReportQuery,),
    ("/v1/clients/accounting", "post"): (AccountingQuery,),
    ("/v1/clients/disclosures", "post"): (NewDisclosure,),
    ("/v1/clients/export", "post"): (ClientExportQuery,),
    ("/v1/cover", "post"): (NewCover,),
    ("/v1/erasures", "post"): (NewErasure,),
    ("/v1/erasures/again", "post"): (KeptRegister,),
    ("/v1/emergency-access", "post"): (NewEmergencyAccess,),
    ("/v1/clients/marks", "post"): (NewMark,),
    ("/v1/clients/marks/{mark_id}/end", "post"): (MarkEnd,),
    ("/v1/emergency-access/{access_id}/review", "post"): (NewReview,),
    ("/v1/unmasking", "post"): (NewUnmasking,),
    ("/v1/retention/policies", "post"): (NewRetentionPolicy,),
    ("/v1/retention/decisions", "post"): (NewRetentionDecision,),
    ("/v1/retention/months", "post"): (ToReap,),
    ("/v1/people", "post"): (NewPerson,),
    ("/v1/people/{person_id}", "patch"): (PersonChange,),
    ("/v1/organisations", "post"): (NewOrganisation,),
    ("/v1/organisations/{organisation}", "patch"): (OrganisationChange,),
    ("/v1/subscriptions", "post"): (NewSubscription,),
    ("/v1/subscriptions/{subscription_id}", "patch"): (SubscriptionChange,),
    ("/v1/subscriptions/{subscription_id}/rotate", "post"): (Rotation,),
    ("/v1/subscriptions/{subscription_id}/replay", "post"): (Replay,),
    ("/v1/sources", "post"): (NewSource,),
    ("/v1/sources/{source_id}", "patch"): (SourceChange,),
    ("/v1/sources/{source_id}/rotate", "post"): (SourceRotation,),
    ("/v1/systems", "post"): (NewSystem,),
    ("/v1/systems/{system_id}", "patch"): (SystemChange,),
    ("/v1/notices/{notice_id}/resolve", "post"): (Resolution,),
    ("/v1/proposals/{proposal_id}/return", "post"): (NewReturn,),
    ("/v1/supervision", "post"): (NewMeeting,),
    ("/v1/groups", "post"): (NewGroup,),
    ("/v1/groups/{group_id}/members", "post"): (Joining,),
    ("/v1/groups/{group_id}/members/{course_id}/leave", "post"): (Leaving,),
    ("/v1/groups/{group_id}/facilitators", "post"): (Facilitating,),
    ("/v1/groups/{group_id}/sessions", "post"): (NewSession,),
    ("/v1/groups/{group_id}/sessions/{session_id}/sign", "post"): (Signing,),
    ("/v1/groups/{group_id}/sign", "post"): (SigningSeveral,),
    ("/sandbox/clock", "post"): (MoveClock,),
}
