"""``python -m tools.site``: build the whole site as it is published, and check what was built.

1. The pages (Sphinx, warnings as errors).
2. The specification as one document: ``printable/tom-1.html``, one file that needs nothing beside it, and,
   where there is a Chromium, ``printable/tom-1.pdf`` printed from it.  ``python -m tools.site printable``
   makes these alone.
3. Every link and picture of the result (:mod:`tools.site_check`).

``python -m tools.site links`` asks the sites that the pages link to; no check does that, since others' sites
come and go.

Nothing depends on the day or place of the build: the document's date is that of the last commit.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tools import browser, site_check

ROOT: Final = Path(__file__).resolve().parents[1]
DOCS: Final = ROOT / "docs"
BUILD: Final = DOCS / "_build"
SITE: Final = BUILD / "html"
NAME: Final = "tom-1"
COMPLETE: Final = BUILD / ".complete"
"""Holds :func:`digest` of the sources of the site that is there, once it was checked."""
SOURCES: Final = (
    *("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml"),
    *("docs", "spec", "test-vectors", "tom_ref", "conformance", "tla", "tools"),
)
FOOTER: Final = (
    "<div style='width:100%;margin:0 16mm;display:flex;justify-content:space-between;"
    "font:7pt sans-serif;color:#555'><span>ToM/1: the specification · {edition}</span>"
    "<span><span class='pageNumber'></span> / <span class='totalPages'></span></span></div>"
)


@contextmanager
def alone() -> Iterator[None]:
    """No two builds at once: they share the folder with what Sphinx has read."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sphinx(*arguments: str) -> int:
    """Run Sphinx in a process of its own: its caller may have made errors of all warnings."""
    command = (sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", *arguments)
    return subprocess.run(command, check=False).returncode


def pages() -> int:
    """Build the pages; the exit code of Sphinx."""
    paper = ("-t", "pdf") if browser.find() else ()
    return sphinx("-b", "html", *paper, str(DOCS), str(SITE))


def printable(edition: str = "") -> int:
    """Make the one document, as HTML and where possible as PDF; not 0 when Sphinx finds fault with it."""
    made = BUILD / "printable"
    options = ("-D", f"tom_edition={edition}") if edition else ()
    failed = sphinx(
        "-b",
        "singlehtml",
        "-t",
        "printable",
        "-d",
        str(BUILD / "printable-trees"),
        *options,
        str(DOCS),
        str(made),
    )
    if failed:
        return failed
    folder = SITE / "printable"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"{NAME}.html"
    shutil.copyfile(made / "generated" / "printable.html", page)
    print(page.relative_to(ROOT))
    paper = folder / f"{NAME}.pdf"
    paper.unlink(missing_ok=True)
    try:
        to_paper(page, paper, edition)
        print(paper.relative_to(ROOT))
    except LookupError as error:
        print(f"{paper.relative_to(ROOT)}: NOT RUN: {error}")
    return 0


def to_paper(page: Path, paper: Path, edition: str = "") -> None:
    """Print a page to a PDF of A4 with bookmarks; raises ``LookupError`` where there is no Chromium."""
    with browser.browser() as running:
        tab = running.new_page()
        tab.goto(page.as_uri())
        shown = edition or tab.locator(".edition").inner_text()
        tab.pdf(
            path=paper,
            format="A4",
            outline=True,
            tagged=True,
            print_background=True,
            prefer_css_page_size=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER.format(edition=shown),
        )


def build(edition: str = "") -> int:
    """Build and check everything; 0 when nothing is wrong."""
    COMPLETE.unlink(missing_ok=True)
    sources = digest()
    failed = pages()
    failed = printable(edition) or failed
    failed = site_check.check(SITE) or failed
    if not failed:
        COMPLETE.write_text(sources, encoding="ascii")
    return failed


def digest() -> str:
    """SHA-256 over what the site is made from."""
    hasher = hashlib.sha256(str(browser.find()).encode())
    for name in SOURCES:
        for path in sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]:
            made = {"_build", "generated", "__pycache__"}.intersection(path.relative_to(ROOT).parts)
            if path.is_file() and not made:
                hasher.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
                hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()


def built() -> Path:
    """The folder of the whole site, built now unless what is there is of these sources.

    Raises ``RuntimeError`` when it can't be built without fault.
    """
    with alone():
        current = COMPLETE.exists() and COMPLETE.read_text(encoding="ascii") == digest()
        if not current and build():
            raise RuntimeError("the site doesn't build; see `make docs`")
    return SITE


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__)
    parser.add_argument("what", choices=("site", "printable", "links"), nargs="?", default="site")
    parser.add_argument("--edition", default="", help="date or name of the edition; else the last commit's")
    options = parser.parse_args(arguments)
    with alone():
        if options.what == "links":
            failed = sphinx("-b", "linkcheck", str(DOCS), str(BUILD / "links"))
        elif options.what == "printable":
            failed = printable(options.edition)
        else:
            failed = build(options.edition)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
