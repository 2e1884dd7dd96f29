"""What marks on clients' records are called on pages, what they do, and their grounds."""

from ipt_workflow.web.language import noted

KINDS: dict[str, str] = {
    "hold": noted("Hold"),
    "restriction": noted("Processing restriction"),
    "objection": noted("Objection to secondary use"),
}
MEANS = {
    "hold": noted("Nothing of the client is erased, and no retention period ends, until the hold has ended."),
    "restriction": noted(
        "Only those who treat the client read the record, and record risk, contacts and notes. Nothing is delivered to other systems."
    ),
    "objection": noted(
        "The client is in no export that names no client, and in no delivery for research, quality or public health."
    ),
}
GROUNDS = {
    "litigation": noted("A legal dispute is pending or expected"),
    "complaint": noted("A complaint is being examined"),
    "investigation": noted("An authority investigates"),
    "authority_order": noted("A court or authority ordered it"),
    "accuracy_contested": noted("The client contests that the data are right (GDPR 18(1)(a))"),
    "unlawful": noted("The processing is unlawful, and the client wants no erasure (GDPR 18(1)(b))"),
    "legal_claims": noted("The client needs the data for legal claims (GDPR 18(1)(c))"),
    "objection_pending": noted("An objection is being examined (GDPR 18(1)(d))"),
    "research_statistics": noted("Research and statistics (GDPR 21(6))"),
    "public_or_legitimate_interest": noted("Processing for a public or legitimate interest (GDPR 21(1))"),
    "secondary_use": noted("Any secondary use (EHDS 71)"),
    "national_law": noted("National law"),
}
