"""The templates' environment: where they are found, what is known in them, and what a missing value does."""

from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import missing

from ipt_workflow.web import language, lines
from ipt_workflow.web.navigation import role_name

TEMPLATES = Path(__file__).parent / "templates"
MACROS = "govuk_frontend_jinja"  # `{% from "govuk_frontend_jinja/components/button/macro.html" import govukButton %}`


class Missing(jinja2.Undefined):
    """A name or a field that is not there is an error. Only a dictionary may lack a key, and a condition its `else`."""

    def __new__(cls, hint: str | None = None, obj: Any = missing, name: str | None = None, **more: Any) -> Any:
        lenient = hint is not None or isinstance(obj, dict)
        return (jinja2.Undefined if lenient else jinja2.StrictUndefined)(hint, obj, name, **more)


class PageEnvironment(jinja2.Environment):
    """Our templates, and the macros of govuk-frontend, which take what is missing for nothing."""

    def __init__(self) -> None:
        super().__init__(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=Missing,
            trim_blocks=True,
            extensions=["jinja2.ext.i18n"],
            auto_reload=False,  # else every macro of a page asks the file system whether its file has changed
        )
        loader = jinja2.PrefixLoader({MACROS: jinja2.PackageLoader(MACROS)})
        self._macros = jinja2.Environment(loader=loader, autoescape=True, auto_reload=False)

    def get_template(self, name: Any, parent: str | None = None, globals: Any = None) -> jinja2.Template:  # noqa: A002 - as jinja2 has it
        if str(name).startswith(f"{MACROS}/"):
            return self._macros.get_template(name, parent, globals)
        return super().get_template(name, parent, globals)


def made() -> jinja2.Environment:
    """The environment. Texts go through gettext in the language of whoever reads the page."""
    found = PageEnvironment()
    found.policies["ext.i18n.trimmed"] = True
    found.install_gettext_callables(  # type: ignore[attr-defined]  # of the extension
        language.gettext, language.ngettext, newstyle=True, pgettext=language.pgettext, npgettext=language.npgettext
    )
    found.filters |= language.FILTERS | lines.FILTERS
    found.filters["role"] = role_name
    return found
