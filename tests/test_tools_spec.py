"""The specification's lint refuses every kind of mistake, and the generated tables show the declarations."""

from __future__ import annotations

import json
from pathlib import Path

import construct
import pytest

from tom_ref import errors, wire
from tools.spec import __main__ as command
from tools.spec import chapters, lint, tables


def rules(text: str, name: str = "04-wire") -> list[str]:
    """The rules that a chapter's text breaks by itself."""
    return [problem.rule for problem in chapters.parse(name, text).problems]


def requirement(identifier: str, sentence: str = "A node MUST do it.") -> str:
    return f"- **{identifier}** {sentence}\n"


# --- reading chapters -----------------------------------------------------------------------------------


def test_a_requirement_runs_to_the_next_item_or_blank_line() -> None:
    text = (
        "# Wire\n\nProse.\n\n"
        "- **TOM-WIRE-001** A decoder MUST refuse\n  it (code `truncated`).\n"
        "- **TOM-WIRE-002** A sender SHOULD wait.\n\nMore prose.\n"
    )
    chapter = chapters.parse("04-wire", text)
    assert chapter.problems == ()
    first, second = chapter.requirements
    assert first.sentence == "A decoder MUST refuse it (code `truncated`)."
    assert (first.level, first.codes, first.line) == ("MUST", ("truncated",), 5)
    assert (second.id, second.level, second.anchor) == (
        "TOM-WIRE-002",
        "SHOULD",
        "04-wire.md#TOM-WIRE-002",
    )


@pytest.mark.parametrize(
    ("sentence", "level"),
    [
        ("A node MAY, but it MUST NOT twice.", "MUST"),
        ("It is RECOMMENDED.", "SHOULD"),
        ("It is OPTIONAL.", "MAY"),
        ("It SHALL NOT.", "MUST"),
        ("Only in code: `MUST`.", None),
        ("A node must.", None),
    ],
)
def test_the_strongest_keyword_is_the_level(sentence: str, level: str | None) -> None:
    assert chapters.level_of(sentence) == level


@pytest.mark.parametrize(
    ("sentence", "codes"),
    [
        ("It refuses (code `bad_key`).", ("bad_key",)),
        ("It refuses (code `a` for one, `b` for two).", ("a", "b")),
        ("It refuses with the code `a` (the field `b`).", ("a",)),
        ("Codes: none. It refuses (codes `a`, `b` or `c`).", ("a", "b", "c")),
        ("The field `code` is set.", ()),
        ("It uses `created_at`.", ()),
    ],
)
def test_codes_are_what_follows_the_word(sentence: str, codes: tuple[str, ...]) -> None:
    assert chapters.named_codes(sentence) == codes


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("A node MUST do it.\n", ["keyword"]),
        ("| a | SHOULD NOT |\n", ["keyword"]),
        ("- An item that MAY.\n", ["keyword"]),
        ("- **TOM-WIRE-001** A node does it.\n", ["level"]),
        ("- **TOM-WIRE-001** A node MUST do it\n", ["form"]),
        ("- **TOM-WIRE-01** A node MUST do it.\n", ["form"]),
        ("  - **TOM-WIRE-001** A node MUST do it.\n", ["form", "keyword"]),
        ("- TOM-WIRE-001 A node MUST do it.\n", ["form", "keyword"]),
        ("- **TOM-WIRE-001** A node MUST do it.\n\n  It SHALL.\n", ["keyword"]),
        ("```\nA node MUST\n", ["block"]),
        ("<!-- generated:reasons -->\n", ["block"]),
        ("<!-- /generated -->\n", ["block"]),
        ("<!-- generated:a -->\n<!-- generated:b -->\n<!-- /generated -->\n", ["block"]),
    ],
)
def test_a_mistake_in_a_chapter_is_found(text: str, broken: list[str]) -> None:
    assert rules(text) == broken


@pytest.mark.parametrize(
    "text",
    [
        "```\nA node MUST do it.\n```\n",
        "~~~text\nMUST\n~~~\n",
        "The word `MUST` in code.\n",
        "<!-- generated:roles-results -->\nMUST\n<!-- /generated -->\n",
        "A node must do it, MAYBE.\n",
    ],
)
def test_keywords_in_code_and_generated_blocks_are_fine(text: str) -> None:
    assert rules(text) == []


def test_the_keyword_paragraph_is_allowed_in_its_chapter_only() -> None:
    text = "The words MUST and MAY are\nto be read as in RFC 2119.\n"
    assert rules(text, "02-notation") == []
    assert rules(text, "04-wire") == ["keyword", "keyword"]
    assert rules("Elsewhere a MUST.\n\n" + text, "02-notation") == ["keyword"]


# --- between chapters -----------------------------------------------------------------------------------


def ids(*texts: str, retired: dict[str, str] | None = None) -> list[str]:
    parsed = [chapters.parse(f"0{number}-c", text) for number, text in enumerate(texts, start=1)]
    return [problem.rule for problem in lint.check_ids(parsed, retired or {})]


def test_ids_are_unique_in_order_and_of_their_chapter() -> None:
    first, second = requirement("TOM-A-001"), requirement("TOM-A-002")
    assert ids(first + second) == []
    assert ids(second + first) == ["order"]
    assert ids(first + first) == ["reuse"]
    assert ids(first + requirement("TOM-B-002")) == ["prefix"]
    assert ids(first, requirement("TOM-A-002")) == ["prefix"]
    assert ids(first, requirement("TOM-B-001")) == []
    assert ids(first, retired={"TOM-A-001": "merged"}) == ["retired"]


def codes(sentence: str) -> list[str]:
    (item,) = chapters.parse("04-wire", requirement("TOM-WIRE-001", sentence)).requirements
    problems = lint.check_codes([item], ["bad_key", "truncated"], {"bad_keys"})
    return [problem.message for problem in problems]


def test_codes_and_requirements_name_each_other() -> None:
    assert codes("It MUST refuse (codes `bad_key`, `truncated`).") == []
    assert codes("It MUST refuse (code `bad_key`).") == ["no requirement names the code `truncated`"]
    assert "TOM-WIRE-001 names the unknown code `badkey`" in codes("It MUST refuse (code `badkey`).")
    assert "TOM-WIRE-001 says `truncatd`: is `truncated` meant?" in codes("It MUST be `truncatd`.")
    assert codes("It MUST refuse: `bad_key`, `truncated`, a field `bad_keys`, `created_at`.") == []


def test_a_cited_id_must_exist(tmp_path: Path) -> None:
    (tmp_path / "tom_ref").mkdir()
    (tmp_path / "tom_ref" / "link.py").write_text("x = 1\n# TOM-LINK-001, TOM-LINK-999\n")
    (tmp_path / "tom_ref" / "notes.bin").write_text("TOM-LINK-998")
    found = lint.citations(tmp_path)
    assert [(citation.id, citation.line) for citation in found] == [("TOM-LINK-001", 2), ("TOM-LINK-999", 2)]
    (problem,) = lint.check_citations(found, {"TOM-LINK-001"})
    assert problem.where == "tom_ref/link.py:2"


def test_drift_is_found_and_named(tmp_path: Path) -> None:
    parsed = chapters.parse("04-wire", requirement("TOM-WIRE-001") + requirement("TOM-WIRE-002"))
    path = tmp_path / "requirements.json"
    expected = lint.as_json(parsed.requirements)
    assert "missing" in lint.check_drift(expected, path)[0].message
    path.write_text(expected, encoding="utf-8")
    assert lint.check_drift(expected, path) == []
    changed = chapters.parse(
        "04-wire", requirement("TOM-WIRE-001", "A node MAY.") + requirement("TOM-WIRE-003")
    )
    message = lint.check_drift(lint.as_json(changed.requirements), path)[0].message
    assert "+TOM-WIRE-003, -TOM-WIRE-002, ~TOM-WIRE-001" in message
    path.write_text("{", encoding="utf-8")
    assert "not readable" in lint.check_drift(expected, path)[0].message


def test_retired_ids_are_read_with_their_reasons(tmp_path: Path) -> None:
    path = tmp_path / "retired.json"
    assert lint.load_retired(path) == {}
    path.write_text('{"TOM-A-001": "merged"}')
    assert lint.load_retired(path) == {"TOM-A-001": "merged"}
    path.write_text('["TOM-A-001"]')
    with pytest.raises(ValueError, match="reasons"):
        lint.load_retired(path)


# --- tables -----------------------------------------------------------------------------------------------


def test_a_byte_table_shows_offsets_sizes_and_notes() -> None:
    item = construct.Struct("a" / construct.Int16ub * "first", "b" / construct.Bytes(3) * "second")
    outer = construct.Struct(
        "kind" / construct.Const(b"\x07") * "seven",
        "length" / construct.Byte * "how long",
        "value" / construct.Bytes(construct.this.length) * "the value",
        "count" / construct.Int32ub * "how many",
        "items" / construct.Array(construct.this.count, item) * "the items",
        "rest" / construct.GreedyBytes * "more | more",
    )
    assert tables.render_layout("outer", {"item": item, "outer": outer}).splitlines() == [
        "| offset | field | type | size | meaning |",
        "| --- | --- | --- | --- | --- |",
        "| 0 | `kind` | u8 = 0x07 | 1 | seven |",
        "| 1 | `length` | u8 | 1 | how long |",
        "| 2 | `value` | bytes | `length` | the value |",
        "| 2 + `length` | `count` | u32 | 4 | how many |",
        "| 6 + `length` | `items` | list of `item` | `count` times 5 | the items |",
        "| … | `rest` | bytes | the rest | more \\| more |",
        "",
        "`outer`: at least 6 bytes.",
    ]
    assert tables.render_layout("item", {"item": item}).endswith("`item`: 5 bytes.")


@pytest.mark.parametrize("name", sorted(wire.LAYOUTS))
def test_every_declared_layout_has_a_table(name: str) -> None:
    fields = tables.layout_fields(wire.LAYOUTS[name], wire.LAYOUTS)
    assert [field.name for field in fields] == [part.name for part in wire.LAYOUTS[name].subcons]
    assert all(field.type and field.size_text and field.note for field in fields)
    assert f"`{name}`: " in tables.render_layout(name, wire.LAYOUTS)


def test_an_unknown_construct_is_refused() -> None:
    with pytest.raises(TypeError, match="VarInt"):
        tables.render_layout("x", {"x": construct.Struct("n" / construct.VarInt)})


def test_every_reason_and_purpose_is_documented() -> None:
    sources = command.gather_sources([])
    for member in errors.Reason:
        assert sources.reason_meanings[member.name], member
    reasons = sources.render("reasons")
    assert reasons is not None
    assert all(f"| `{member.value}` |" in reasons for member in errors.Reason)
    purposes = sources.render("purposes")
    assert purposes is not None
    assert "`link/ephemeral`" in purposes


def test_reasons_name_their_requirements() -> None:
    parsed = chapters.parse("04-wire", requirement("TOM-WIRE-001", "It MUST refuse (code `bad_key`)."))
    table = command.gather_sources(parsed.requirements).render("reasons")
    assert table is not None
    assert any(line.startswith("| `bad_key`") and "TOM-WIRE-001" in line for line in table.splitlines())


def test_constants_need_unit_and_reason() -> None:
    source = '# --- times ---\nA: int = 60_000\n"""ms: because."""\nB = 3\n"""count: three."""\nsmall = 1\n'
    constants = tables.read_constants(source, {"A": 60_000, "B": 3})
    assert tables.render_constants(constants).splitlines()[2:] == [
        "| `A` | 60,000 (1 min) | ms | Because. |",
        "| `B` | 3 | count | Three. |",
    ]
    assert tables.render_constants(constants, "times") == tables.render_constants(constants)
    with pytest.raises(KeyError):
        tables.render_constants(constants, "sizes")
    with pytest.raises(ValueError, match="A needs"):
        tables.read_constants('A = 1\n"""no unit"""\n', {"A": 1})
    with pytest.raises(TypeError, match="A is neither"):
        tables.read_constants('A = 1.5\n"""ms: half."""\n', {"A": 1.5})


def test_blocks_are_filled_and_foreign_ones_left_alone() -> None:
    text = (
        "# C\n\n<!-- generated:layout extension -->\nold\n<!-- /generated -->\n\n"
        "<!-- generated:roles-results -->\nkept\n<!-- /generated -->\n\n"
        "<!-- generated:layout nonsense -->\n<!-- /generated -->\n"
    )
    sources = command.gather_sources([])
    filled, problems = tables.fill(chapters.parse("04-wire", text), sources)
    assert "old" not in filled
    assert "kept" in filled
    assert "bit 15 set: critical" in filled
    assert [problem.where for problem in problems] == ["spec/04-wire.md:11"]
    again, _ = tables.fill(chapters.parse("04-wire", filled), sources)
    assert again == filled


def test_a_layout_that_no_chapter_shows_is_noticed() -> None:
    chapter = chapters.parse("04-wire", "<!-- generated:layout header -->\n<!-- /generated -->\n")
    problems = tables.missing_layouts([chapter], ["header", "receipt"])
    assert [problem.message for problem in problems] == ["no chapter shows generated:layout receipt"]


# --- the command --------------------------------------------------------------------------------------------


def test_a_whole_folder_regenerates_and_then_checks(tmp_path: Path) -> None:
    blocks = "".join(f"<!-- generated:layout {name} -->\n<!-- /generated -->\n\n" for name in wire.LAYOUTS)
    every = ", ".join(f"`{reason.value}`" for reason in errors.Reason)
    sentence = f"A decoder MUST refuse (codes {every})."
    folder = tmp_path / "spec"
    folder.mkdir()
    chapter = folder / "04-wire.md"
    chapter.write_text("# Wire\n\n" + requirement("TOM-WIRE-001", sentence) + "\n" + blocks)

    _, problems = command.run(tmp_path, check=True)
    assert {problem.rule for problem in problems} == {"drift"}
    _, problems = command.run(tmp_path, check=False)
    assert problems == []
    _, problems = command.run(tmp_path, check=True)
    assert problems == []
    document = json.loads((folder / "requirements.json").read_text(encoding="utf-8"))
    assert document["requirements"][0]["sentence"] == sentence

    chapter.write_text(chapter.read_text(encoding="utf-8").replace("bit 15 set", "bit 14 set"))
    _, problems = command.run(tmp_path, check=True)
    assert [problem.where for problem in problems] == ["spec/04-wire.md"]


def test_an_empty_folder_is_no_specification(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    _, problems = command.run(tmp_path, check=True)
    assert any(problem.message == "there are no chapters" for problem in problems)
