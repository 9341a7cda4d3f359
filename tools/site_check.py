"""``python -m tools.site_check``: every link of the built site leads somewhere, every picture has words.

The pages are read as they were built, so that what Sphinx, the theme and this site's own extensions made of
the sources is checked, not the sources: every ``href`` and ``src`` that stays on the site leads to a file,
every ``#anchor`` to an id of that page, no page has an id twice, and every ``<img>`` and ``<svg>`` has a text
in its place or says that it is an ornament.  ``llms.txt`` and ``protocol.json`` are checked as well.

Addresses of other sites are left to ``make docs-links``, which asks them.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import attrs

ROOT: Final = Path(__file__).resolve().parents[1]
SITE: Final = ROOT / "docs" / "_build" / "html"
_MARKDOWN_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_ORNAMENT: Final = {"none", "presentation"}
_CONTENT: Final = {"article", "main"}


@attrs.define
class Page(HTMLParser):
    """What a page has that a link can lead to, and what it links to."""

    ids: Counter[str] = attrs.field(factory=Counter)
    links: list[tuple[int, str]] = attrs.field(factory=list)
    """Line and address."""
    silent: list[tuple[int, str]] = attrs.field(factory=list)
    """Line and kind of pictures without a text."""
    _svg: tuple[int, bool] | None = None
    _content: int = 0
    """How deep in what the page says; around it stand the theme's own buttons."""

    def __attrs_post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Take down ids, links and pictures."""
        found = {name: value or "" for name, value in attributes}
        line = self.getpos()[0]
        if found.get("id"):
            self.ids[found["id"]] += 1
        elif tag == "a" and found.get("name"):
            self.ids[found["name"]] += 1
        for name in ("href", "src", "data"):
            if name in found and tag not in {"base", "use"}:
                self.links.append((line, found[name]))
        hidden = found.get("aria-hidden") == "true" or found.get("role") in _ORNAMENT
        if tag == "img" and not hidden and not found.get("alt", "").strip():
            self.silent.append((line, "img"))
        self._content += tag in _CONTENT
        if tag == "svg" and self._content:
            self._svg = (line, hidden or bool(found.get("aria-label", "").strip()))
        if tag == "title" and self._svg is not None:
            self._svg = (self._svg[0], True)

    def handle_endtag(self, tag: str) -> None:
        """Judge a picture at its end: its ``<title>`` stands inside."""
        self._content -= tag in _CONTENT
        if tag == "svg" and self._svg is not None:
            line, told = self._svg
            self._svg = None
            if not told:
                self.silent.append((line, "svg"))


def read(path: Path) -> Page:
    """A built page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    return page


@attrs.define
class Site:
    """A built site, its pages read once."""

    root: Path
    pages: dict[Path, Page] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.root = self.root.resolve()
        for path in sorted(self.root.rglob("*.html")):
            if "_static" not in path.relative_to(self.root).parts:
                self.pages[path] = read(path)

    def broken(self, page: Path, address: str) -> str | None:
        """Why an address that stands on a page leads nowhere; ``None`` when it does or leaves the site."""
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            return None
        target = page
        if parts.path:
            if parts.path.startswith("/"):
                return "begins with / and so works under one address only"
            target = (page.parent / unquote(parts.path)).resolve()
            if target.is_dir():
                target = target / "index.html"
            if not target.is_relative_to(self.root):
                return "leads out of the site"
            if not target.is_file():
                return "leads to no file"
        if parts.fragment and target in self.pages:
            wanted = unquote(parts.fragment)
            if wanted not in self.pages[target].ids and not parts.fragment.startswith(":~:"):
                return "leads to no place on that page"
        return None

    def findings(self) -> Iterator[str]:
        """What is wrong, one line each."""
        for path, page in self.pages.items():
            where = path.relative_to(self.root).as_posix()
            for line, address in page.links:
                if why := self.broken(path, address):
                    yield f"{where}:{line}: {address} {why}"
            for line, kind in page.silent:
                yield f"{where}:{line}: <{kind}> has no text in its place"
            for name, times in sorted(page.ids.items()):
                if times > 1:
                    yield f"{where}: the id {name} stands there {times} times"
        yield from self.of_programs()

    def of_programs(self) -> Iterator[str]:
        """The addresses in the files that programs read."""
        index, requirements = self.root / "llms.txt", self.root / "protocol.json"
        if not index.is_file() or not requirements.is_file():
            yield "llms.txt or protocol.json is missing"
            return
        addresses = [
            *((index, address) for address in _MARKDOWN_LINK.findall(index.read_text(encoding="utf-8"))),
            *(
                (requirements, entry["page"])
                for entry in json.loads(requirements.read_text(encoding="utf-8"))["requirements"]
            ),
        ]
        for path, address in addresses:
            if why := self.broken(path, address):
                yield f"{path.name}: {address} {why}"


def check(root: Path = SITE) -> int:
    """Print what is wrong with the built site; 1 when anything is."""
    site = Site(root)
    found = list(site.findings())
    for one in found:
        print(one)
    links = sum(len(page.links) for page in site.pages.values())
    print(f"site: {len(site.pages)} pages, {links:,} links, {len(found)} findings")
    return 1 if found or not site.pages else 0


if __name__ == "__main__":
    sys.exit(check())
