"""The site as it is built: its links, its search without the internet, what programs read, what is printed.

What needs the whole site builds it unless it is there (``tools.site.built``); what needs a browser takes the
Chromium of the machine and says NOT RUN where there is none.
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import reports
from conformance.declared import frame_types
from conformance.selftest import reference
from tom_ref import constants, wire
from tom_ref.errors import Reason
from tools import browser, site, site_check

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs" / "_ext"))

import machine_index
import port_matrix
import printable

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = [
    entry["id"]
    for entry in json.loads((ROOT / "spec/requirements.json").read_text(encoding="utf-8"))["requirements"]
]


# --- the check of links ---------------------------------------------------------------------------------


def small_site(folder: Path, body: str) -> site_check.Site:
    """A site of two pages."""
    (folder / "other").mkdir()
    (folder / "index.html").write_text(f"<main>\n{body}\n</main>", encoding="utf-8")
    (folder / "other" / "page.html").write_text("<h1 id='here'>x</h1><a name='old'></a>", encoding="utf-8")
    (folder / "llms.txt").write_text("- [a page](other/page.html)\n", encoding="utf-8")
    (folder / "protocol.json").write_text(
        json.dumps({"requirements": [{"page": "other/page.html#here"}]}), encoding="utf-8"
    )
    return site_check.Site(folder)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<a href='other/gone.html'>x</a>", "index.html:2: other/gone.html leads to no file"),
        ("<a href='#nowhere'>x</a>", "index.html:2: #nowhere leads to no place on that page"),
        ("<a href='other/page.html#there'>x</a>", "index.html:2: other/page.html#there leads to no place"),
        ("<a href='/other/page.html'>x</a>", "begins with /"),
        ("<a href='../secret.html'>x</a>", "leads out of the site"),
        ("<a href='other'>x</a>", "index.html:2: other leads to no file"),
        ("<script src='gone.js'></script>", "gone.js leads to no file"),
        ("<img src='index.html'>", "<img> has no text in its place"),
        ("<img src='index.html' alt=' '>", "<img> has no text in its place"),
        ("<svg><path/></svg>", "index.html:2: <svg> has no text in its place"),
        ("<p id='twice'></p><p id='twice'></p>", "index.html: the id twice stands there 2 times"),
    ],
)
def test_what_is_broken_is_found(tmp_path: Path, body: str, found: str):
    (one,) = small_site(tmp_path, body).findings()
    assert found in one


def test_what_leads_somewhere_or_leaves_the_site_is_let_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    body = (
        "<p id='top'></p><a href='#top'>x</a><a href=''>x</a><a href='other/page.html?q=1#here'>x</a>"
        "<a href='other/page.html#old'>x</a><a href='https://example.org/gone'>x</a>"
        "<a href='mailto:a@b.example'>x</a>"
        "<img src='index.html' alt='a page'><img src='index.html' role='presentation'>"
        "<svg aria-label='a line'><path/></svg><svg><title>a line</title></svg><svg aria-hidden='true'></svg>"
        "<use href='#elsewhere'/>"
    )
    assert list(small_site(tmp_path, body).findings()) == []
    assert site_check.check(tmp_path) == 0
    assert "2 pages" in capsys.readouterr().out


def test_what_programs_read_is_checked_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    small_site(tmp_path, "")
    (tmp_path / "llms.txt").write_text("- [a page](gone.html)\n", encoding="utf-8")
    (tmp_path / "protocol.json").write_text(
        json.dumps({"requirements": [{"page": "other/page.html#no-such-place"}]}), encoding="utf-8"
    )
    assert len(list(site_check.Site(tmp_path).findings())) == 2
    (tmp_path / "protocol.json").unlink()
    assert site_check.check(tmp_path) == 1
    assert "llms.txt or protocol.json is missing" in capsys.readouterr().out


def test_a_folder_without_pages_does_not_pass(tmp_path: Path):
    assert site_check.check(tmp_path) == 1


# --- what programs read ---------------------------------------------------------------------------------


def test_the_index_for_programs_is_complete():
    index = json.loads(json.dumps(machine_index.protocol()))
    assert [entry["id"] for entry in index["requirements"]] == REQUIREMENTS
    assert all(
        {"id", "level", "sentence", "page", "codes"} <= entry.keys() for entry in index["requirements"]
    )
    assert index["formats"].keys() == wire.LAYOUTS.keys()
    for name, fields in index["formats"].items():
        assert [one["name"] for one in fields] == [one.name for one in wire.LAYOUTS[name].subcons]
    assert {
        int(number, 16): name.replace("-", "_") for number, name in index["frames"].items()
    } == frame_types()
    assert index["reasons"].keys() == {member.value for member in Reason}
    declared = {name: value for name, value in vars(constants).items() if name.isupper()}
    assert {one["name"]: one["value"] for one in index["constants"]} == {
        name: value for name, value in declared.items() if isinstance(value, int | str)
    }
    assert all(one["why"] and one["unit"] for one in index["constants"])
    assert index["draws"].keys() == {member.value for member in constants.Purpose}


def test_the_index_in_prose_names_every_page_of_the_site():
    listed = [page for _, page, _ in machine_index.pages()]
    assert len(listed) == len(set(listed))
    assert set(listed) >= {path.stem for path in (ROOT / "docs").glob("*.md")}
    text = machine_index.llms([("Wire format", "generated/04-wire")])
    assert "- [Wire format](generated/04-wire.html)" in text
    assert all(f"({page}.html)" in text for page in listed)


# --- the one document -----------------------------------------------------------------------------------


def test_the_document_says_version_and_the_date_of_the_commit(tmp_path: Path):
    assert re.fullmatch(r"\d{1,2} [A-Z][a-z]+ \d{4}, commit [0-9a-f]{7,}", printable.edition())
    assert printable.edition() == printable.edition()
    assert printable.edition(tmp_path) == ""
    front = printable.front_page("1 May 2027")
    assert f"Version {printable.version()} · 1 May 2027<" in front
    assert f"Version {printable.version()}<" in printable.front_page("")


def test_no_browser_is_said_and_not_looked_for_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "none"))
    assert browser.find() is None
    with pytest.raises(LookupError, match="no Chromium"), browser.browser():
        pass
    monkeypatch.delenv("CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert browser.find() is None
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    assert browser.find() == str(program)


# --- the whole site -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> Path:
    """The built site."""
    return site.built()


@pytest.fixture
def address(whole: Path) -> Iterator[str]:
    """The site served on this machine, and nothing else."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(whole))
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one may have to build the site
def test_no_link_of_the_site_is_broken_and_a_broken_one_is_noticed(whole: Path, tmp_path: Path):
    checked = site_check.Site(whole)
    assert list(checked.findings()) == []
    assert len(checked.pages) > 60
    page = whole / "generated" / "04-wire.html"
    assert checked.broken(page, "#TOM-WIRE-016") is None
    assert checked.broken(page, "#TOM-WIRE-016x") == "leads to no place on that page"
    assert json.loads((whole / "protocol.json").read_text(encoding="utf-8"))["protocol"] == "ToM/1"


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one may have to build the site
def test_the_document_has_every_requirement_chapter_and_example(whole: Path):
    path = whole / "printable" / "tom-1.html"
    page = site_check.read(path)
    assert {name for name in page.ids if re.fullmatch(printable.KEPT, name) and name.isupper()} == set(
        REQUIREMENTS
    )
    text = path.read_text(encoding="utf-8")
    assert text.count("<details open") == text.count("<details") >= len(wire.LAYOUTS) - 5
    for chapter in (ROOT / "spec").glob("[0-9][0-9]-*.md"):
        assert printable.slug(chapter.stem) in page.ids, chapter
    assert "<link" not in text
    assert "<script" not in text
    assert not [address for _, address in page.links if not address.startswith(("#", "http"))]


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one may have to build the site
def test_searching_finds_requirements_and_words_without_the_internet(address: str):
    if browser.find() is None:
        pytest.skip(f"NOT RUN: {browser.HOW}")
    with browser.browser() as running:
        context = running.new_context()
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        tab = context.new_page()
        for words, page in (
            ("TOM-WIRE-016", "generated/04-wire.html"),
            ("tombstone", "generated/09-purge.html"),
            ("threat model", "threat-model.html"),
        ):
            tab.goto(f"{address}/index.html")
            tab.get_by_role("textbox", name="Search").first.fill(words)
            tab.keyboard.press("Enter")
            tab.wait_for_url("**/search.html?*")
            results = tab.locator("#search-results li a")
            tab.locator(f"#search-results a[href^='{page}']").first.wait_for(timeout=30_000)
            assert results.count() >= 1
            results.locator(f"xpath=self::*[starts-with(@href, '{page}')]").first.click()
            tab.wait_for_url(f"**/{page}*")
        tab.goto(f"{address}/search.html?q=qqxyzzy")
        tab.get_by_text("did not match any documents").wait_for(timeout=30_000)
        assert tab.locator("#search-results li").count() == 0
    assert all(one.startswith((address, "data:")) for one in asked), asked


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one may have to build the site
def test_no_page_is_wider_than_a_phone_or_cuts_what_it_shows(address: str):
    if browser.find() is None:
        pytest.skip(f"NOT RUN: {browser.HOW}")
    wider = """() => {
        const width = document.documentElement.clientWidth, found = [];
        if (document.documentElement.scrollWidth > width) found.push('the page');
        for (const one of document.querySelectorAll('article *')) {
            if (one.closest('.table-wrapper, pre, svg, .headerlink')) continue;
            if (one.getBoundingClientRect().right > width + 1) found.push(one.outerHTML.slice(0, 80));
        }
        return found;
    }"""
    with browser.browser() as running:
        for width, scheme in ((390, "light"), (1280, "dark")):
            tab = running.new_context(
                viewport={"width": width, "height": 844},
                color_scheme=scheme,  # type: ignore[arg-type]
            ).new_page()
            for page in (
                *("index", "first-steps", "cli", "faq", "parameters", "conformance", "by-hand"),
                *("generated/04-wire", "generated/05-link", "generated/08-roles"),
            ):
                tab.goto(f"{address}/{page}.html", wait_until="domcontentloaded")
                assert tab.evaluate(wider) == [], (page, width)
            tab.evaluate(
                "document.querySelector('article').innerHTML = '<div style=\"width:3000px\">x</div>'"
            )
            assert tab.evaluate(wider) != [], "what is too wide is noticed"


@pytest.mark.slow
@pytest.mark.timeout(900)  # the first one may have to build the site
def test_the_document_is_printed_where_there_is_a_browser(whole: Path, tmp_path: Path):
    if browser.find() is None:
        pytest.skip(f"NOT RUN: {browser.HOW}")
    assert (whole / "printable" / "tom-1.pdf").read_bytes().startswith(b"%PDF-")
    assert 'href="../printable/tom-1.pdf"' in (whole / "generated/specification.html").read_text(
        encoding="utf-8"
    ).replace("'", '"')
    page = tmp_path / "page.html"
    shutil.copy(whole / "printable" / "tom-1.html", page)
    page.write_text("<p class='edition'>x</p><p>one page</p>", encoding="utf-8")
    site.to_paper(page, tmp_path / "page.pdf")
    assert b"/Count 1" in (tmp_path / "page.pdf").read_bytes()


# --- ports beside each other ----------------------------------------------------------------------------


def test_the_matrix_shows_each_port_and_takes_no_report_out_of_form(tmp_path: Path):
    now = reports.results(reference("0", "smoke"))
    worse = {
        **now,
        "conformant": "false",
        "requirements": {**now["requirements"], min(now["requirements"]): "fail"},
        "suite": {**now["suite"], "sha256": "0" * 64},
    }
    (tmp_path / "rusty").mkdir()
    path = tmp_path / "rusty" / "results.json"
    path.write_text(json.dumps(worse), encoding="utf-8")
    text = port_matrix.matrix({"reference": now, **port_matrix.handed_in(tmp_path)}, now)
    reference_row, rusty = text.splitlines()[2:4]
    assert reference_row.startswith("| reference | `smoke` | true |")
    assert "**" not in reference_row
    assert rusty.startswith("| rusty | `smoke` | false, by an older suite |")
    assert "**" in rusty
    path.write_text(json.dumps({**worse, "filtered": True}), encoding="utf-8")
    with pytest.raises(ValueError, match="some cases only"):
        port_matrix.handed_in(tmp_path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="rusty"):
        port_matrix.handed_in(tmp_path)
    assert port_matrix.handed_in() == port_matrix.handed_in(port_matrix.PORTS)
