"""Cases that a comparison of two ports has found (:mod:`conformance.diff`): one file each in ``kept/``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from conformance.adapters.python import FORMATS
from conformance.case import Case, Polarity, Step, ok, reject
from conformance.plain import plain
from conformance.sources.sweeps import LOOSE, RULE_OF_CODE
from tom_ref.errors import ProtocolError

FOLDER: Final = Path(__file__).resolve().parents[1] / "kept"
_PAIRS: Final = {
    "frame": "sweep-vote",
    "records": "sweep-record-ping",
    "session-message": "sweep-session-regular",
    "block-header": "sweep-block",
}


def cases() -> Iterator[Case]:
    """Every kept input, with what the reference implementation makes of it."""
    for path in sorted(FOLDER.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        name, data = content["format"], bytes.fromhex(content["bytes"])
        given = {"format": name, "bytes": content["bytes"]}
        try:
            value = plain(FORMATS[name][0](data))
        except ProtocolError as error:
            code = error.reason.value
            rules = (RULE_OF_CODE.get(code, "TOM-WIRE-007"), "TOM-WIRE-008")
            step = Step("codec.decode", given, reject(code, *(LOOSE if code in LOOSE else ())))
            pair = _PAIRS.get(name, f"sweep-{name}")
            yield Case(
                content["id"], 1, rules, Polarity.NEGATIVE, content["about"], (step,), pair, source="kept"
            )
        else:
            steps = (
                Step("codec.decode", given, ok({"value": value})),
                Step("codec.encode", {"format": name, "value": value}, ok({"bytes": content["bytes"]})),
            )
            rules = ("TOM-WIRE-002", "TOM-WIRE-008")
            yield Case(content["id"], 1, rules, Polarity.POSITIVE, content["about"], steps, source="kept")
