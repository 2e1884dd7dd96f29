"""Prometheus metrics. Labels are names from protocols and the trigger table, never anything about a client."""

from collections.abc import Sequence
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The metrics of one service. Each has its own registry, so that several services can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.transitions = Counter("ipt_transitions", "Transitions recorded.", ["protocol", "trigger"], registry=self.registry)
        self.refusals = Counter(
            "ipt_refusals", "Rules that stood against a trigger.", ["protocol", "trigger", "rule"], registry=self.registry
        )
        self.courses = Gauge("ipt_courses", "Courses by protocol and state.", ["protocol", "state"], registry=self.registry)
        self.attempts = Counter(
            "ipt_delivery_attempts", "Attempts to deliver, by what became of them.", ["outcome"], registry=self.registry
        )
        self.deliveries = Gauge("ipt_deliveries", "Deliveries by status.", ["status"], registry=self.registry)
        self.requests = Histogram(
            "ipt_request_seconds", "How long requests took.", ["method", "route", "status"], registry=self.registry
        )
        self.notices = Counter("ipt_notices", "Notices of EHR systems.", ["source", "type", "outcome"], registry=self.registry)
        self.notices_ignored = Counter(
            "ipt_notices_ignored", "Ignored notices, by the reason.", ["source", "reason"], registry=self.registry
        )
        self.notices_refused = Counter(
            "ipt_notices_refused", "Messages that were answered with a problem.", ["source", "reason"], registry=self.registry
        )
        self.authentication_failures = Counter(
            "ipt_authentication_failures",
            "Requests that were answered with 401, and attempts to sign in that were refused.",
            registry=self.registry,
        )
        self.rate_limited = Counter(
            "ipt_rate_limited", "Requests that were answered with 429, by the policy.", ["policy"], registry=self.registry
        )
        self.log_refusals = Counter(
            "ipt_log_refusals", "Times that a log was not signed, by the reason.", ["reason"], registry=self.registry
        )
        self.log_submissions = Counter(
            "ipt_log_submissions",
            "Checkpoints that a witness was asked to cosign: cosigned, ahead, contradicts or unusable.",
            ["witness", "outcome"],
            registry=self.registry,
        )
        self.log_unwitnessed = Gauge(
            "ipt_log_unwitnessed_seconds",
            "For how long a checkpoint of the log has lacked its quorum of witnesses, of the organisation that has waited longest.",
            registry=self.registry,
        )
        self.verified_share = Gauge(
            "ipt_verification_share",
            "How much of its round the verifier in the background has read, from 0 to 1, of the organisation that is behind.",
            registry=self.registry,
        )
        self.verified_age = Gauge(
            "ipt_verification_age_seconds",
            "How long ago the last whole round began (the first, if none is whole), of the organisation that is behind.",
            registry=self.registry,
        )
        self.verification_faults = Gauge(
            "ipt_verification_faults",
            "Organisations of which the verifier in the background found something not as it was written.",
            registry=self.registry,
        )
        self.notices_waiting = Gauge(
            "ipt_notices_waiting",
            "Notices that wait for a person, those with risk apart.",
            ["source", "risk"],
            registry=self.registry,
        )

        # A metric takes longer to find its values by their labels than to count: every request counts in these two.
        self.request = cache(self.requests.labels)
        self.transition = cache(self.transitions.labels)

    def set_waiting(self, counts: list[tuple[str, bool, int]]) -> None:
        self.notices_waiting.clear()
        for source, risk, count in counts:
            self.notices_waiting.labels(source, "yes" if risk else "no").set(count)

    def set_verified(self, rounds: Sequence[tuple[float, float, bool]]) -> None:
        """Sets what the verifier has read. Of each organisation: its share, its age in seconds, and whether it found a fault."""
        self.verified_share.set(min((share for share, _, _ in rounds), default=0))
        self.verified_age.set(max((age for _, age, _ in rounds), default=0))
        self.verification_faults.set(sum(fault for _, _, fault in rounds))

    def set_courses(self, counts: list[tuple[str, str, int]]) -> None:
        self.courses.clear()
        for protocol, state, count in counts:
            self.courses.labels(protocol, state).set(count)

    def set_deliveries(self, counts: dict[str, int]) -> None:
        self.deliveries.clear()
        for status, count in counts.items():
            self.deliveries.labels(status).set(count)

    def text(self) -> bytes:
        return generate_latest(self.registry)
