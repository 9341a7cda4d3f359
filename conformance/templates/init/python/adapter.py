"""The adapter of a port in Python: answers the conformance suite of ToM/1, one JSON object a line.

It is a beginning: the smoke level passes, the rest says "unsupported".  Replace each part by calls of your port.
"""

import json
import os
import sys
import traceback


class Reject(Exception):
    """The protocol says no, with a reason code."""


class Unsupported(Exception):
    """The adapter doesn't know that."""


def integer(value):
    """Integers of 2^53 and more are decimal strings."""
    return value if value < 2**53 else str(value)


class Reader:
    """Reads a value from its bytes; every decoder ends with done()."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Reject("truncated")
        self.at += count
        return self.data[self.at - count : self.at]

    def done(self):
        if self.at != len(self.data):
            raise Reject("trailing_bytes")


def decode_frame(data):
    reader = Reader(data)
    kind = reader.take(1)[0]
    if kind == 0x05:
        value = {"is": "DescriptorQuery", "node_id": reader.take(32).hex()}
    elif kind == 0x0B:
        value = {"is": "RecordQuery", "subnet": reader.take(32).hex()}
        value["term"] = integer(int.from_bytes(reader.take(8), "big"))
    else:
        raise Unsupported(f"frame type {kind}")
    reader.done()
    return value


def encode_frame(value):
    if value["is"] == "DescriptorQuery":
        return b"\x05" + bytes.fromhex(value["node_id"])
    if value["is"] == "RecordQuery":
        return b"\x0b" + bytes.fromhex(value["subnet"]) + int(value["term"]).to_bytes(8, "big")
    raise Unsupported(value["is"])


def only_frames(p):
    if p["format"] != "frame":
        raise Unsupported(p["format"])


def hello(p):
    return {
        "spec": "ToM/1",
        "levels": [0],
        "features": ["codec.*", "crypto.labelled", "hello", "reset"],
        "limits": {},
        "port": {"name": "my port", "version": "0", "commit": ""},
    }


def decode(p):
    only_frames(p)
    return {"value": decode_frame(bytes.fromhex(p["bytes"]))}


def encode(p):
    only_frames(p)
    return {"bytes": encode_frame(p["value"]).hex()}


def labelled(p):
    label, parts = p["label"].encode("ascii"), [bytes.fromhex(part) for part in p["parts"]]
    encoded = bytes([len(label)]) + label + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return {"encoded": encoded.hex()}


COMMANDS = {
    "hello": hello,
    "reset": lambda p: {},
    "bye": lambda p: {},
    "codec.decode": decode,
    "codec.encode": encode,
    "crypto.labelled": labelled,
}


def answer(cmd, p):
    try:
        return {"ok": COMMANDS[cmd](p)} if cmd in COMMANDS else {"unsupported": {"reason": cmd}}
    except Reject as error:
        return {"reject": {"code": str(error)}}
    except Unsupported as error:
        return {"unsupported": {"reason": str(error)}}
    except Exception as error:
        return {"error": {"message": repr(error), "trace": traceback.format_exc()}}


def main():
    # Stray prints must not reach standard output, which is for replies alone.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reply = {"id": request["id"], **answer(request["cmd"], request["p"])}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()
        if request["cmd"] == "bye":
            break


main()
