"""Forms made from payloads: their fields, what was posted, everything that is wrong with it, and the words of it all.

Pure: no request and no template is known here. `describe` makes the fields that `templates/forms/field.html` shows, `read` the data.
"""

from ipt_workflow.web.forms.fields import Choice, FormContext, FormField, describe, errors, id_of
from ipt_workflow.web.forms.labels import deed_label, every_text, label_of, option_text
from ipt_workflow.web.forms.posted import FieldFault, Pairs, Read, first_pairs, grouped, moment, name_of, read, typed
from ipt_workflow.web.forms.said import Formats, SaidField, consent_text, said

__all__ = [
    "Choice",
    "FieldFault",
    "FormContext",
    "FormField",
    "Formats",
    "Pairs",
    "Read",
    "SaidField",
    "consent_text",
    "deed_label",
    "describe",
    "errors",
    "every_text",
    "first_pairs",
    "grouped",
    "id_of",
    "label_of",
    "moment",
    "name_of",
    "option_text",
    "read",
    "said",
    "typed",
]
