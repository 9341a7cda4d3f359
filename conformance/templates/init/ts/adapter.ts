// The adapter of a port in TypeScript: answers the conformance suite of ToM/1, one JSON object a line.
// It is a beginning: the smoke level passes, the rest says "unsupported". Replace each part by calls of your port.
import { createInterface } from "node:readline";
import { writeSync } from "node:fs";

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Dict = { [name: string]: Json };

/** The protocol says no, with a reason code. */
class Reject extends Error {
  code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** The adapter doesn't know that. */
class Unsupported extends Error {}

// Stray prints must not reach standard output, which is for replies alone.
console.log = console.error;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const unhex = (text: Json): Uint8Array => Uint8Array.from(Buffer.from(String(text), "hex"));

/** Integers of 2^53 and more are decimal strings. */
const integer = (value: bigint): Json => (value < 2n ** 53n ? Number(value) : value.toString());

/** Reads a value from its bytes; every decoder ends with done(). */
class Reader {
  at = 0;
  data: Uint8Array;
  constructor(data: Uint8Array) {
    this.data = data;
  }
  take(count: number): Uint8Array {
    if (this.at + count > this.data.length) throw new Reject("truncated");
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }
  u64(): bigint {
    return Buffer.from(this.take(8)).readBigUInt64BE();
  }
  done(): void {
    if (this.at !== this.data.length) throw new Reject("trailing_bytes");
  }
}

function u64(value: Json): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value as number | string));
  return bytes;
}

function decodeFrame(data: Uint8Array): Json {
  const reader = new Reader(data);
  const type = reader.take(1)[0] as number;
  let value: Dict;
  if (type === 0x05) {
    value = { is: "DescriptorQuery", node_id: hex(reader.take(32)) };
  } else if (type === 0x0b) {
    value = { is: "RecordQuery", subnet: hex(reader.take(32)), term: integer(reader.u64()) };
  } else {
    throw new Unsupported(`frame type ${type}`);
  }
  reader.done();
  return value;
}

function encodeFrame(value: Dict): Uint8Array {
  if (value.is === "DescriptorQuery") return Buffer.concat([Uint8Array.of(0x05), unhex(value.node_id ?? "")]);
  if (value.is === "RecordQuery")
    return Buffer.concat([Uint8Array.of(0x0b), unhex(value.subnet ?? ""), u64(value.term ?? 0)]);
  throw new Unsupported(`frame ${value.is}`);
}

function labelled(label: string, parts: Uint8Array[]): Uint8Array {
  const name = Buffer.from(label, "ascii");
  const encoded: Uint8Array[] = [Uint8Array.of(name.length), name];
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    encoded.push(length, part);
  }
  return Buffer.concat(encoded);
}

const commands: { [name: string]: (p: Dict) => Json } = {
  hello: () => ({
    spec: "ToM/1",
    levels: [0],
    features: ["codec.*", "crypto.labelled", "hello", "reset"],
    limits: {},
    port: { name: "my port", version: "0", commit: "" },
  }),
  reset: () => ({}),
  bye: () => ({}),
  "codec.decode": (p) => {
    if (p.format !== "frame") throw new Unsupported(`format ${p.format}`);
    return { value: decodeFrame(unhex(p.bytes ?? "")) };
  },
  "codec.encode": (p) => {
    if (p.format !== "frame") throw new Unsupported(`format ${p.format}`);
    return { bytes: hex(encodeFrame(p.value as Dict)) };
  },
  "crypto.labelled": (p) => ({ encoded: hex(labelled(String(p.label), (p.parts as Json[]).map(unhex))) }),
};

function answer(cmd: string, p: Dict): Dict {
  try {
    const command = Object.hasOwn(commands, cmd) ? commands[cmd] : undefined;
    return command ? { ok: command(p) } : { unsupported: { reason: cmd } };
  } catch (error) {
    if (error instanceof Reject) return { reject: { code: error.code } };
    if (error instanceof Unsupported) return { unsupported: { reason: error.message } };
    return { error: { message: String(error), trace: String((error as Error).stack) } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, cmd, p } = JSON.parse(line);
  const reply = Buffer.from(JSON.stringify({ id, ...answer(cmd, p) }) + "\n");
  for (let sent = 0; sent < reply.length; ) sent += writeSync(1, reply, sent);
  if (cmd === "bye") process.exit(0);
}
