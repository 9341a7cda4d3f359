"""Every command that the documentation shows is run: here, or by what the page names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.shown_commands import not_run
from tests.tutorial import Block, Session, blocks, bound, is_commands, missing, pages

ROOT: Final = Path(__file__).resolve().parents[1]
MARK: Final = re.compile(r"run(?:: .+)?|run by [\w./, -]+|not run: .+|output(?:: .+)?")
NOT_RUN: Final[dict[str, list[str]]] = {}
"""What nothing runs, by page, with the reason that the page gives."""


def shown() -> list[Block]:
    """Every block of commands, and every program, of every page."""
    return [
        block
        for page in pages()
        for block in blocks(page)
        if is_commands(block) or (block.language == "python" and page.name != "README.md") or block.mark
    ]


def run_here(page: Path) -> list[Block]:
    """What of a page is run by these tests."""
    return [
        block
        for block in blocks(page)
        if re.match(r"run(:|$)|output", block.mark) or (block.language == "python" and not block.mark)
    ]


TUTORIALS: Final = [page for page in pages() if run_here(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_shows_is_what_happens(page: Path, tmp_path: Path):
    with Session(tmp_path) as session:
        for block in run_here(page):
            if block.mark.startswith("output"):
                session.check_output(block)
            elif block.language == "python":
                session.run_python(block)
            else:
                assert block.commands, f"{block.where}: a command begins with '$ '"
                session.run(block)


def test_every_command_of_every_page_is_run_by_something():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8") + (ROOT / "tla/tla.mk").read_text(
        encoding="utf-8"
    )
    targets = {*re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE)}
    reasons: dict[str, list[str]] = {}
    for block in shown():
        if block.language == "python" and not block.mark:
            continue
        assert MARK.fullmatch(block.mark), (
            f"{block.where}: say above the block what runs it (tests/tutorial.py)"
        )
        if block.mark.startswith("not run: "):
            reasons.setdefault(block.page, []).append(block.mark.removeprefix("not run: "))
        if not block.mark.startswith("run by "):
            continue
        runners = block.mark.removeprefix("run by ").split(", ")
        for runner in runners:
            assert runner == "make test" or (ROOT / runner).is_file(), f"{block.where}: no {runner}"
        for command in block.commands:
            words = command.text.split("#")[0].split()
            if words[0] == "make":
                assert targets.issuperset(words[1:]), f"{block.where}: {words}"
                texts = [(ROOT / one).read_text(encoding="utf-8") for one in runners if one.startswith(".")]
                assert "make test" in runners or any(" ".join(words) in one for one in texts), block.where
                continue
            tests = [one for one in runners if one.startswith(("tests/", "docs/"))]
            missing_parts = not_run(command.text, tests)
            assert not missing_parts, f"{block.where}: {', '.join(tests)} doesn't run {missing_parts}"
    assert reasons == NOT_RUN


def test_a_claim_that_something_runs_a_command_is_checked():
    runner = ["tests/test_cli.py"]
    assert not_run("tom listen -i bob.tom --count 2  # a comment", runner) == []
    assert not_run("tom listen --no-such-option", runner) == ["--no-such-option listen"]
    assert not_run("tom no-such-command", runner) == ["no-such-command"]
    assert not_run("tom send tom1… hi --wait 2 \\\n  --relay x", ["tests/test_vectors.py"]) != []
    assert not_run("tom-conformance init python ../my-port", ["docs/writing-a-port.md"]) == []
    assert not_run("tom-conformance init ts --force", ["docs/writing-a-port.md"]) == ["--force init"]
    with pytest.raises(ValueError, match="nothing is known of the program curl"):
        not_run("curl x", runner)


def test_the_paths_of_the_first_page_are_tutorials_that_run():
    first = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    ways = {"docs/first-steps.md", "docs/use-the-library.md", "docs/writing-a-port.md", "docs/models.md"}
    ran = {page.relative_to(ROOT).as_posix() for page in TUTORIALS}
    assert ways <= ran
    for way in ways:
        assert f"({Path(way).name})" in first


# --- the runner itself ----------------------------------------------------------------------------------


NODE: Final = "tom1" + "q" * 58
OTHER: Final = "tom1" + "p" * 58


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("12 ms  sent", "    7 ms  sent"),
        ("term 6, seed 8df106a9bf693161…", "term 12, seed 0123456789abcdef…"),
        (f"to {NODE}", f"to {OTHER}"),
        ("to tom1gru0n8gv…5qsc63", "to tom1qqqqqqqq…pppppp"),
        ("tom:…", "tom:" + "a" * 90),
        ("a … z", "a b c z"),
        ("┏━━┓", "┏━━┓"),
    ],
)
def test_what_differs_from_run_to_run_matches(page: str, printed: str):
    assert missing((page,), [printed], {}, loose=False) is None
    assert missing((page,), [printed], {}, loose=True) is None


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        (("12 ms  sent",), ["12 ms  relayed"]),
        (("one", "two"), ["two", "one"]),
        (("one",), ["one", "two"]),
        (("one", "…", "three"), ["one", "two"]),
        ((f"to {NODE}",), ["to nobody"]),
        (("one",), []),
    ],
)
def test_what_is_different_does_not(page: tuple[str, ...], printed: list[str]):
    assert missing(page, printed, {}, loose=False) is not None


def test_lines_may_be_left_out_where_the_page_says_so():
    assert (
        missing(("one", "…", "four", "…"), ["one", "two", "three", "four", "five"], {}, loose=False) is None
    )
    assert missing(("…", "four"), ["one", "four"], {}, loose=False) is None
    assert missing(("two",), ["one", "two"], {}, loose=True) is None
    assert missing(("three",), ["one", "two"], {}, loose=True) == "three"


def test_a_name_that_was_printed_stands_for_one_node():
    values = bound((f"NodeId {NODE}",), [f"NodeId {OTHER}"], {})
    assert values == {NODE: OTHER}
    assert missing((NODE,), [OTHER], values, loose=False) is None
    assert missing((NODE,), [NODE], values, loose=False) == NODE


def test_a_command_that_fails_or_says_something_else_is_noticed(tmp_path: Path):
    def block(mark: str, body: str) -> Block:
        return Block("a page", 1, mark, "console", body)

    with Session(tmp_path) as session:
        session.run(block("run", "$ echo one; echo 2\none\n3\n"))
        session.run(block("run: exit 3", "$ exit 3\n"))
        session.run(block("run: retry", "$ test -e there || { touch there; false; }\n"))
        session.run(block("run: keep", "$ echo ready; sleep 600\nready\n"))
        with pytest.raises(AssertionError, match="exit code 1"):
            session.run(block("run", "$ false\n"))
        with pytest.raises(AssertionError, match="the page shows"):
            session.run(block("run", "$ echo one\ntwo\n"))
        with pytest.raises(AssertionError, match="no invitation"):
            session.run(block("run", "$ echo tom:…\n"))
        with pytest.raises(AssertionError, match="ended"):
            session.run(block("run: keep", "$ true\n"))
        session.run_python(Block("a page", 1, "", "python", "print('hello')\n"))
        session.check_output(Block("a page", 1, "output", "text", "hello\n"))
        with pytest.raises(AssertionError, match="the page shows"):
            session.check_output(Block("a page", 1, "output", "text", "goodbye\n"))
        with pytest.raises(AssertionError, match="ValueError"):
            session.run_python(Block("a page", 1, "", "python", "raise ValueError\n"))
        running = session.running[0].process
    assert running.poll() is not None


def test_a_block_without_a_mark_is_found(tmp_path: Path):
    page = ROOT / "docs" / "first-steps.md"
    text = re.sub(r"^<!-- run.*?-->\n", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [block for block in blocks(page) if is_commands(block)]
    assert found
    assert all(MARK.fullmatch(block.mark) for block in found)
    assert "$ make demo" in text
    assert is_commands(Block("a page", 1, "", "", "make demo\n"))
    assert is_commands(Block("a page", 1, "", "sh", "anything\n"))
    assert not is_commands(Block("a page", 1, "", "", "tla/ models\n"))
    assert not MARK.fullmatch("")
    assert tmp_path.is_dir()
