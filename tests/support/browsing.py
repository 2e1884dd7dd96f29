"""A browser without scripts, in the process of the test: it follows links by their texts and fills forms by their labels."""

from http.cookies import SimpleCookie
from urllib.parse import urljoin, urlsplit

import httpx

from support.html_tree import Element, parsed

START = "https://ipt.example/"
REDIRECTS_MAX = 5
Pairs = list[tuple[str, str]]


class Browser:
    """What one person has open. Every way in which they act counts as one interaction."""

    def __init__(self, client: httpx.AsyncClient, cookie: str = "", language: str = "en") -> None:
        self.client = client
        self.cookies = {"__Host-ipt": cookie} if cookie else {}
        self.language = language
        self.interactions = 0
        self.url = START
        self.answer: httpx.Response
        self.tree: Element
        self._values: dict[int, str | bool] = {}

    # What is seen

    @property
    def status(self) -> int:
        return self.answer.status_code

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def title(self) -> str:
        return self.tree.one("head").one("title").text

    @property
    def heading(self) -> str:
        return self.tree.one("h1").text

    @property
    def main(self) -> Element:
        return self.tree.one("main")

    @property
    def text(self) -> str:
        """What the page says beside its frame."""
        return self.main.text

    @property
    def errors(self) -> list[str]:
        """The lines of the error summary."""
        return [item.text for summary in self.tree.all(class_="govuk-error-summary") for item in summary.all("li")]

    def links(self) -> dict[str, str]:
        """The addresses of the links in the main part, by their texts."""
        return {_name(each): each["href"] for each in self.main.all("a") if each.get("href")}

    def buttons(self) -> list[str]:
        return [_name(each) for each in self.main.all("button")]

    def table(self, number: int = 0) -> list[list[str]]:
        return self.main.all("table")[number].rows()

    # What is done

    async def open(self, path: str) -> "Browser":
        return await self._go("GET", path)

    async def follow(self, text: str) -> "Browser":
        """Follows a link by its text, or by its name for screen readers."""
        found = [each for each in self.tree.all("a") if each.get("href") and text in {each.text, _name(each)}]
        addresses = {each["href"] for each in found}
        assert len(addresses) == 1, (text, [_name(each) for each in self.tree.all("a")])
        self.interactions += 1
        return await self._go("GET", addresses.pop())

    def control(self, label: str, group: str | None = None) -> Element:
        """The control with a label; with `group`, within the fieldset of this legend."""
        within = self.tree if group is None else self._group(group)
        named = [each for each in within.all("label") if each.text in {label, f"{label} (optional)"}]
        targets = [each for each in self.tree.walk() if each.get("id") and each["id"] in {name.get("for") for name in named}]
        targets += [each for each in within.all("input", "select", "textarea") if each.get("aria-label") == label]
        assert len(targets) == 1, (label, group, [each.text for each in within.all("label")])
        return targets[0]

    def _group(self, legend: str) -> Element:
        found = [each.above("fieldset") for each in self.tree.all("legend") if each.text in {legend, f"{legend} (optional)"}]
        assert len(found) == 1, (legend, [each.text for each in self.tree.all("legend")])
        assert found[0] is not None
        return found[0]

    def fill(self, label: str, value: str, group: str | None = None) -> "Browser":
        """Types into a field, or selects an option by its text."""
        control = self.control(label, group)
        if control.tag == "select":
            (option,) = [each for each in control.all("option") if each.text == value]
            value = option.get("value", option.text)
        self._values[id(control)] = value
        self.interactions += 1
        return self

    def choose(self, label: str, group: str | None = None, *, on: bool = True) -> "Browser":
        """Chooses a radio button, or ticks a checkbox."""
        control = self.control(label, group)
        assert control.get("type") in {"radio", "checkbox"}, control.attributes
        for each in self.tree.all("input", type="radio", name=control["name"]) if control["type"] == "radio" else ():
            if each.above("form") is control.above("form"):
                self._values[id(each)] = False
        self._values[id(control)] = on
        self.interactions += 1
        return self

    async def press(self, text: str) -> "Browser":
        """Presses a button by its text, or by its name for screen readers, and sends its form."""
        found = [
            each for each in self.tree.all("button") if text in {each.text, _name(each)} and _form(self.tree, each) is not None
        ]
        assert len(found) == 1, (text, [_name(each) for each in self.tree.all("button")])
        form = _form(self.tree, found[0])
        assert form is not None
        self.interactions += 1
        pairs = self._pairs(form, found[0])
        action = found[0].get("formaction") or form.get("action") or self.url
        if form.get("method", "get").lower() == "get":
            return await self._go("GET", f"{action}?{httpx.QueryParams(pairs)}")
        return await self._go("POST", action, pairs)

    def value(self, control: Element) -> str | None:
        """What a form sends of a control; None if nothing."""
        if "disabled" in control.attributes:
            return None
        kind = control.get("type", "text")
        if kind in {"radio", "checkbox"}:
            on = self._values.get(id(control), "checked" in control.attributes)
            return control.get("value", "on") if on else None
        if id(control) in self._values:
            return str(self._values[id(control)])
        if control.tag == "textarea":
            return "".join(map(str, control.children)).removeprefix("\n")
        if control.tag == "select":
            options = control.all("option")
            chosen = [each for each in options if "selected" in each.attributes] or options[:1]
            return chosen[0].get("value", chosen[0].text) if chosen else None
        return control.get("value")

    def _pairs(self, form: Element, button: Element) -> Pairs:
        controls = [
            each for each in self.tree.all("input", "select", "textarea") if _form(self.tree, each) is form and each.get("name")
        ]
        values = [(each, self.value(each)) for each in controls]
        pairs = [(each["name"], value.replace("\n", "\r\n")) for each, value in values if value is not None]
        return [*pairs, (button["name"], button.get("value"))] if button.get("name") else pairs

    async def _go(self, method: str, address: str, pairs: Pairs | None = None) -> "Browser":
        for _ in range(REDIRECTS_MAX):
            self.url = urljoin(self.url, address)
            assert self.url.startswith(START), self.url
            await self._send(method, pairs)
            if self.answer.status_code not in {302, 303}:
                break
            method, pairs, address = "GET", None, self.answer.headers["location"]
        self.tree = parsed(self.answer.text)
        self._values = {}
        return self

    async def _send(self, method: str, pairs: Pairs | None) -> None:
        headers = {"Accept": "text/html", "Accept-Language": self.language, "Sec-Fetch-Site": "same-origin"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = {"content": str(httpx.QueryParams(pairs))} if pairs is not None else {}
        if pairs is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.answer = await self.client.request(method, self.url, headers=headers, **body)  # type: ignore[arg-type]
        self.client.cookies.clear()
        for line in self.answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies.pop(name, None)
                if morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value


def _name(element: Element) -> str:
    return element.get("aria-label") or element.text


def _form(tree: Element, control: Element) -> Element | None:
    """The form to which a control belongs: the one around it, or the one that it names."""
    return tree.one("form", id=control["form"]) if control.get("form") else control.above("form")
