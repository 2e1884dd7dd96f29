"""A page as a tree of elements, read as leniently as browsers do."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
UNSEEN = {"head", "script", "style", "template", "noscript"}


class Element:
    """An element. What it holds are elements and texts."""

    def __init__(self, tag: str, attributes: dict[str, str], parent: "Element | None" = None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.children: list[Element | str] = []

    def __getitem__(self, name: str) -> str:
        return self.attributes[name]

    def get(self, name: str, other: str = "") -> str:
        return self.attributes.get(name, other)

    @property
    def text(self) -> str:
        """What a reader sees of it, with single spaces."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            elif child.tag not in UNSEEN:
                yield from child._texts()
                yield " " if child.tag not in {"span", "strong", "em", "a", "code"} else ""

    def walk(self) -> Iterator["Element"]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, *tags: str, **attributes: str) -> list["Element"]:
        """The elements within of these tags, whose attributes have these values; `class_` names one of the classes."""
        return [each for each in self.walk() if (not tags or each.tag in tags) and each._has(attributes)]

    def _has(self, attributes: dict[str, str]) -> bool:
        wanted = dict(attributes)
        wanted_class = wanted.pop("class_", None)
        if wanted_class is not None and wanted_class not in self.get("class").split():
            return False
        return all(self.attributes.get(name.replace("_", "-")) == value for name, value in wanted.items())

    def one(self, *tags: str, **attributes: str) -> "Element":
        found = self.all(*tags, **attributes)
        assert len(found) == 1, (tags, attributes, [each.text for each in found])
        return found[0]

    def above(self, *tags: str) -> "Element | None":
        """The nearest element of these tags that holds it."""
        at = self.parent
        while at is not None and at.tag not in tags:
            at = at.parent
        return at

    def rows(self) -> list[list[str]]:
        """The texts of a table, row by row."""
        return [[cell.text for cell in row.all("th", "td")] for row in self.all("tr")]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.at = Element("", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.children.append(made)
        if tag not in EMPTY:
            self.at = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.at.children.append(Element(tag, {name: value or "" for name, value in attrs}, self.at))

    def handle_endtag(self, tag: str) -> None:
        if tag in EMPTY:
            return
        at: Element | None = self.at
        while at is not None and at.tag != tag:
            at = at.parent
        assert at is not None, f"</{tag}> ends nothing"
        assert at is self.at, f"</{tag}> ends a <{self.at.tag}>"
        self.at = at.parent or self.root

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def parsed(text: str) -> Element:
    """The tree of a page, whose elements must be properly nested."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.at is reader.root, f"<{reader.at.tag}> is not closed"
    return reader.root
