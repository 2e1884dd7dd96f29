"""What refuses a step, what a step still needs, and the ways out: each a link to the page where it is done."""

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec

from ipt_workflow.errors import Refusal, Remedy
from ipt_workflow.service.views import Requirement
from ipt_workflow.web.course.steps import DEMANDS, href
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, gettext
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.refusals import sentence


class WayOut(msgspec.Struct, frozen=True):
    """One way out. Without an address, it is somebody else's to do."""

    text: str
    href: str = ""


class Blocking(msgspec.Struct, frozen=True):
    """One rule that refuses: what is wrong, when waiting alone helps, and the ways out."""

    text: str
    earliest: dt.datetime | None
    ways: tuple[WayOut, ...]


class StepNeed(msgspec.Struct, frozen=True):
    """One thing that a step needs, and whether it is there; `why` it is not. `soft`: one may go on without it, with a reason."""

    text: str
    why: str
    met: bool
    soft: bool
    ways: tuple[WayOut, ...]


class Doer(msgspec.Struct, frozen=True):
    """Who looks for a way out: in which role, on which course. `above` is what every path begins with."""

    role: str
    course: str
    above: str

    def ways(self, remedies: Iterable[Remedy]) -> tuple[WayOut, ...]:
        return tuple(dict.fromkeys(way for each in remedies if (way := self._way(each))))

    def _way(self, remedy: Remedy) -> WayOut | None:
        title = gettext(deed_label(remedy.trigger).title)
        if remedy.course == "other":
            return WayOut(_("On the client's other course: %(step)s", step=title))
        if remedy.via == "proposal":
            return None  # the button of the page itself
        if self.role not in remedy.roles:
            who = " / ".join(role_name(each) for each in remedy.roles if each != "ehr")
            return WayOut(_("%(step)s (%(who)s)", step=title, who=who)) if who else None
        return WayOut(title, self.above + href(self.course, remedy.trigger))

    def blocking(self, refusals: Sequence[Refusal]) -> list[Blocking]:
        return [Blocking(sentence(each), each.earliest, self.ways(each.remedies)) for each in refusals]

    def needs(self, requirements: Sequence[Requirement], refusals: Sequence[Refusal]) -> list[StepNeed]:
        """What the next step needs: what is missing first, with what its rule says of this course."""
        said = {each.rule: sentence(each) for each in refusals}
        found = [
            StepNeed(
                gettext(DEMANDS[each.rule]), said.get(each.rule, ""), each.met, each.severity == "soft", self.ways(each.remedies)
            )
            for each in requirements
        ]
        return sorted(found, key=lambda each: each.met)


def proposable(refusals: Sequence[Refusal]) -> bool:
    """Whether a supervisor's agreement would be enough: every hard rule that refuses says so."""
    hard = [each for each in refusals if each.severity == "hard"]
    return bool(hard) and all(any(way.via == "proposal" for way in each.remedies) for each in hard)
