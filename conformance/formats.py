"""The formats for other tools, from the declarations: for Kaitai Struct and for Wireshark.

``python -m tools.spec`` writes ``formats/tom.ksy`` and ``formats/tom.lua``; its check says when they are old.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import construct

from conformance.declared import (
    DECLARED,
    INSIDE,
    RECORD_BODIES,
    bare,
    frame_types,
    names,
    note,
    structure_name,
)

ROOT: Final = Path(__file__).resolve().parents[1] / "formats"
TEMPLATE: Final = Path(__file__).with_name("templates") / "dissector.lua"
MADE: Final = "made by `python -m tools.spec` from tom_ref/wire.py; never edit by hand"


def shown() -> list[str]:
    """The structures that travel; what is stored locally is nobody else's business."""
    return [name for name in DECLARED if not name.startswith(("stored_", "secret_", "header_prefix"))]


# --- Kaitai Struct ----------------------------------------------------------------------------------------


def ksy() -> dict[str, Any]:
    """The description as Kaitai's compiler takes it."""
    types: dict[str, Any] = {name: {"seq": list(_sequence(name))} for name in shown()}
    types["records"] = {"seq": [{"id": "items", "type": "record", "repeat": "eos"}]}
    types["unknown_frame"] = {
        "seq": [{"id": "type", "type": "u1"}, {"id": "body", "size-eos": True, "doc": "to be ignored"}]
    }
    cases: dict[str, str] = {str(kind): name for kind, name in frame_types().items()}
    cases["_"] = "unknown_frame"
    return {
        "meta": {"id": "tom", "title": "ToM/1, the frames of a link", "license": "MIT", "endian": "be"},
        "doc": "One frame of ToM/1 and every structure in it. Ranges and signatures are not checked.",
        "seq": [{"id": "frame", "type": {"switch-on": "kind", "cases": cases}}],
        "instances": {"kind": {"pos": 0, "type": "u1", "doc": "the first byte names the frame"}},
        "types": types,
    }


def _sequence(structure: str) -> Iterator[dict[str, Any]]:
    for field in DECLARED[structure].subcons:
        subcon, name = bare(field), field.name
        made: dict[str, Any] = {"id": name}
        if isinstance(subcon, construct.FormatField):
            made["type"] = f"u{subcon.sizeof()}"
        elif isinstance(subcon, construct.Const):
            made["contents"] = list(subcon.value)
        elif isinstance(subcon, construct.Array):
            made |= _item(bare(subcon.subcon))
            made |= {"repeat": "expr", "repeat-expr": names(subcon.count)}
        elif isinstance(subcon, construct.Struct):
            made["type"] = structure_name(subcon)
        elif subcon is construct.GreedyBytes:
            made["size-eos"] = True
        else:
            length = subcon.length if isinstance(subcon.length, int) else names(subcon.length)
            made["size"] = length
            inside = INSIDE.get((structure, name))
            if inside:
                made |= {"type": inside, "if": f"{length} != 0"}
            elif (structure, name) == ("record", "body"):
                made["type"] = {"switch-on": "type", "cases": {str(k): v for k, v in RECORD_BODIES.items()}}
        if note(field):
            made["doc"] = note(field)
        yield made


def _item(subcon: Any) -> dict[str, Any]:
    if isinstance(subcon, construct.Struct):
        return {"type": structure_name(subcon)}
    if isinstance(subcon, construct.FormatField):
        return {"type": f"u{subcon.sizeof()}"}
    return {"size": subcon.length}


def as_yaml(content: Any, indent: int = 0) -> str:
    """YAML of dictionaries, lists, texts and numbers, as ``ksy`` makes them."""
    lines: list[str] = []
    blank = " " * indent
    items = content.items() if isinstance(content, dict) else ((None, item) for item in content)
    for name, value in items:
        head = f"{blank}{_key(name)}:" if name is not None else f"{blank}-"
        if isinstance(value, (dict, list)) and value and not _flat(value):
            inner = as_yaml(value, indent + 2)
            if name is None:
                lines.append(head + " " + inner[indent + 2 :])
            else:
                lines.append(f"{head}\n{inner}")
        else:
            lines.append(f"{head} {_scalar(value)}")
    return "\n".join(lines)


def _flat(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, int) for item in value)


def _key(name: str) -> str:
    plain = name.replace("-", "").replace("_", "a").isalnum() and not name[0].isdigit()
    return name if plain else json.dumps(name)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


# --- Wireshark --------------------------------------------------------------------------------------------


def lua() -> str:
    """The dissector: tables of the structures, and a small program that follows them."""
    tables = []
    for name in shown():
        fields = ",\n".join(f"    {_lua_field(name, field)}" for field in DECLARED[name].subcons)
        tables.append(f"  {name} = {{\n{fields},\n  }},")
    frames = [f"  [{kind}] = {json.dumps(name)}," for kind, name in frame_types().items()]
    records = [f"  [{kind}] = {json.dumps(name)}," for kind, name in RECORD_BODIES.items()]
    text = TEMPLATE.read_text(encoding="utf-8")
    for place, lines in (("STRUCTURES", tables), ("FRAMES", frames), ("RECORDS", records)):
        text = text.replace(f"-- {place}", "\n".join(lines))
    return f"-- {MADE}\n{text}"


def _lua_field(structure: str, field: Any) -> str:
    subcon, name = bare(field), field.name
    made: dict[str, Any] = {"name": name, "note": note(field)}
    if isinstance(subcon, construct.FormatField):
        made |= {"kind": "uint", "size": subcon.sizeof()}
    elif isinstance(subcon, construct.Const):
        made |= {"kind": "bytes", "size": len(subcon.value)}
    elif isinstance(subcon, construct.Array):
        item = bare(subcon.subcon)
        made |= {"kind": "list", "count": names(subcon.count)}
        if isinstance(item, construct.Struct):
            made["of"] = structure_name(item)
        else:
            made["size"] = item.sizeof()
    elif isinstance(subcon, construct.Struct):
        made |= {"kind": "nested", "of": structure_name(subcon)}
    elif subcon is construct.GreedyBytes:
        made["kind"] = "rest"
    elif isinstance(subcon.length, int):
        made |= {"kind": "bytes", "size": subcon.length}
    else:
        made |= {"kind": "sized", "length": names(subcon.length)}
        inside = INSIDE.get((structure, name))
        if inside:
            made["of"] = inside
        elif (structure, name) == ("record", "body"):
            made["by"] = "type"
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in made.items()) + " }"


# --- files ------------------------------------------------------------------------------------------------


def made() -> dict[str, str]:
    """Every file with its content."""
    return {"tom.ksy": f"# {MADE}\n{as_yaml(ksy())}\n", "tom.lua": lua()}


def outdated(root: Path = ROOT) -> list[str]:
    """The files that are not what the declarations say."""
    return [
        name
        for name, text in made().items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text
    ]


def write(root: Path = ROOT) -> None:
    """Write what is old."""
    root.mkdir(parents=True, exist_ok=True)
    texts = made()
    for name in outdated(root):
        (root / name).write_text(texts[name], encoding="utf-8")
