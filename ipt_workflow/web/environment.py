"""The templates' environment: where they are found, what is known in them, and what a missing value does."""

from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import missing

from ipt_workflow.web import language, lines
from ipt_workflow.web.navigation import role_name

TEMPLATES = Path(__file__).parent / "templates"
MACROS = "govuk_frontend_jinja"  # `{% from "govuk_frontend_jinja/components/button/macro.html" import govukButton %}`

NOTHING = {None, "undefined", "null"}  # names by which the macros mean that there is nothing


class Missing(jinja2.Undefined):
    """A name or a field that is not there is an error. Only a dictionary may lack a key: macros take their options so."""

    def __new__(cls, hint: str | None = None, obj: Any = missing, name: str | None = None, **more: Any) -> Any:
        lenient = hint is not None or name in NOTHING or isinstance(obj, dict)
        return (jinja2.Undefined if lenient else jinja2.StrictUndefined)(hint, obj, name, **more)


def made() -> jinja2.Environment:
    """The environment. Texts go through gettext in the language of whoever reads the page."""
    macros = jinja2.PackageLoader(MACROS)
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.FileSystemLoader(TEMPLATES), jinja2.PrefixLoader({MACROS: macros})]),
        autoescape=True,
        undefined=Missing,
        trim_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    found.policies["ext.i18n.trimmed"] = True
    found.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        language.gettext, language.ngettext, newstyle=True, pgettext=language.pgettext, npgettext=language.npgettext
    )
    found.filters |= language.FILTERS | lines.FILTERS
    found.filters["role"] = role_name
    return found
