"""The lint over the prose: each check finds what it is there for, and the repository's own prose passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tom_ref import constants
from tools import prose


def tree(tmp_path: Path, readme: str) -> Path:
    """A repository with nothing but a README and the lint's settings."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "prose.toml").write_text(
        'numbers = ["2 * EPS + 2000"]\nnames = ["KDF_RK"]\nwords = []\n', encoding="utf-8"
    )
    (tmp_path / "README.md").write_text(readme, encoding="utf-8")
    return tmp_path


def test_the_prose_of_this_repository_passes():
    assert prose.findings() == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("A frame has at most 1,048,577 bytes.", "1,048,577 is the value of no constant"),
        ("See MAX_FRAMES for that.", "MAX_FRAMES is no constant"),
        ("The clocks differ by `EPS` (120 s).", "`EPS` (120 s: EPS is 5,000 ms"),
        ("A message lives 90 seconds (MAX_TTL).", "90 seconds (MAX_TTL): MAX_TTL is 86,400,000 ms"),
        ("It waits for 2 EPS, that is 2 `EPS` = 9 s.", "2 `EPS` = 9 s: EPS is 5,000 ms"),
        ("`MAX_CONTENT`\nis 2 MiB.", "MAX_CONTENT is 1,048,576 bytes"),
        ("A subnet has MAX_MEMBERS (63) of them.", "MAX_MEMBERS (63: MAX_MEMBERS is 64 count"),
        ("![](tools/prose.toml)", "the picture tools/prose.toml has no text"),
        ("Read [this](missing.md) first.", "the link to missing.md leads nowhere"),
        ("The recieved message.", "spelling: recieved ==> received"),
    ],
)
def test_each_check_finds_its_mistake(tmp_path: Path, text: str, what: str):
    found = prose.findings(tree(tmp_path, f"# Title\n\n{text}\n"))
    assert len(found) == 1
    assert what in str(found[0])
    assert str(found[0]).startswith(("README.md:3: ", "./README.md:3: "))


def test_what_is_right_or_made_or_run_is_let_through(tmp_path: Path):
    text = (
        f"# Title\n\nMAX_CONTENT is {constants.MAX_CONTENT:,} bytes, a slot at least "
        f"{2 * constants.EPS + 2000:,} ms, KDF_RK is Signal's.\n\n"
        "<!-- generated:constants -->\n\n| 9,999,999 | NO_SUCH |\n\n<!-- /generated -->\n\n"
        "```console\n$ echo 8,888,888 NO_SUCH recieved_is_not_seen\n```\n\n"
        "[out](https://example.org/x) and [here](#title) and ![a picture](README.md)\n"
    )
    assert [str(finding) for finding in prose.findings(tree(tmp_path, text))] == []


def test_numbers_beside_a_name_are_let_through_when_they_are_its_value(tmp_path: Path):
    text = (
        "# Title\n\n`EPS` (5 s), EPS is 5,000 ms, 5 seconds (EPS), 2 EPS = 10 s, 24 hours (MAX_TTL),\n"
        "1 day (`MAX_TTL`), "
        "MAX_CONTENT (1 MiB), MAX_MEMBERS is at most 64, 64 (MAX_MEMBERS), EPS + 2 s, MAX_TTL + EPS (24 h),\n"
        "EPS is 5 seconds, RFC 9381 (VRF), MAX_MEMBERS of them, KDF_RK (3)\n"
    )
    assert [str(finding) for finding in prose.findings(tree(tmp_path, text))] == []


@pytest.mark.parametrize("expression", ["EPS / 2", "max(EPS, 2)", "'EPS'", "EPS ** 2"])
def test_only_plain_expressions_are_evaluated(expression: str):
    with pytest.raises(ValueError, match="not an expression"):
        prose.evaluate(expression, vars(constants))


def test_an_expression_over_an_unknown_name_is_refused():
    with pytest.raises(KeyError):
        prose.evaluate("NO_SUCH + 1", vars(constants))
