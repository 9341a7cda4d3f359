//! The adapter of a port in Rust: answers the conformance suite of ToM/1, one JSON object a line.
//! It is a beginning: the smoke level passes, the rest says "unsupported". Replace each part by calls of your port.
mod json;

use json::{integer, object, parse, text, Json};
use std::io::{self, BufRead, Write};

enum No {
    /// The protocol says no, with a reason code.
    Reject(&'static str),
    /// The adapter doesn't know that.
    Unsupported(String),
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Json) -> Vec<u8> {
    let digits = value.str();
    (0..digits.len() / 2).filter_map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()).collect()
}

/// Reads a value from its bytes; every decoder ends with done().
struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], No> {
        if count > self.data.len() {
            return Err(No::Reject("truncated"));
        }
        let (taken, rest) = self.data.split_at(count);
        self.data = rest;
        Ok(taken)
    }
    fn u64(&mut self) -> Result<u64, No> {
        Ok(self.take(8)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
    fn done(&self) -> Result<(), No> {
        if self.data.is_empty() { Ok(()) } else { Err(No::Reject("trailing_bytes")) }
    }
}

fn decode_frame(data: &[u8]) -> Result<Json, No> {
    let mut reader = Reader { data };
    let value = match reader.take(1)?[0] {
        0x05 => object([("is", text("DescriptorQuery")), ("node_id", text(hex(reader.take(32)?)))]),
        0x0b => object([
            ("is", text("RecordQuery")),
            ("subnet", text(hex(reader.take(32)?))),
            ("term", integer(reader.u64()?)),
        ]),
        kind => return Err(No::Unsupported(format!("frame type {kind}"))),
    };
    reader.done()?;
    Ok(value)
}

fn encode_frame(value: &Json) -> Result<Vec<u8>, No> {
    match value.get("is").str() {
        "DescriptorQuery" => Ok([vec![0x05], unhex(value.get("node_id"))].concat()),
        "RecordQuery" => {
            let term: u64 = value.get("term").str().parse().map_err(|_| No::Reject("bad_value"))?;
            Ok([vec![0x0b], unhex(value.get("subnet")), term.to_be_bytes().to_vec()].concat())
        }
        other => Err(No::Unsupported(other.to_string())),
    }
}

fn labelled(label: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut encoded = vec![label.len() as u8];
    encoded.extend(label.as_bytes());
    for part in parts {
        encoded.extend((part.len() as u32).to_be_bytes());
        encoded.extend(part);
    }
    encoded
}

fn answer(command: &str, p: &Json) -> Result<Json, No> {
    let only_frames = || match p.get("format").str() {
        "frame" => Ok(()),
        other => Err(No::Unsupported(other.to_string())),
    };
    match command {
        "hello" => Ok(object([
            ("spec", text("ToM/1")),
            ("levels", Json::List(vec![integer(0)])),
            ("features", Json::List(["codec.*", "crypto.labelled", "hello", "reset"].map(text).to_vec())),
            ("limits", object([])),
            ("port", object([("name", text("my port")), ("version", text("0")), ("commit", text(""))])),
        ])),
        "reset" | "bye" => Ok(object([])),
        "codec.decode" => {
            only_frames()?;
            Ok(object([("value", decode_frame(&unhex(p.get("bytes")))?)]))
        }
        "codec.encode" => {
            only_frames()?;
            Ok(object([("bytes", text(hex(&encode_frame(p.get("value"))?)))]))
        }
        "crypto.labelled" => {
            let parts: Vec<Vec<u8>> = p.get("parts").list().iter().map(unhex).collect();
            Ok(object([("encoded", text(hex(&labelled(p.get("label").str(), &parts))))]))
        }
        other => Err(No::Unsupported(other.to_string())),
    }
}

fn main() -> io::Result<()> {
    let mut replies = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = parse(&line?).unwrap_or(Json::Null);
        let command = request.get("cmd").str();
        let reply = match answer(command, request.get("p")) {
            Ok(value) => ("ok", value),
            Err(No::Reject(code)) => ("reject", object([("code", text(code))])),
            Err(No::Unsupported(reason)) => ("unsupported", object([("reason", text(reason))])),
        };
        let mut written = String::new();
        object([("id", request.get("id").clone()), reply]).write(&mut written);
        written.push('\n');
        replies.write_all(written.as_bytes())?;
        replies.flush()?;
        if command == "bye" {
            break;
        }
    }
    Ok(())
}
