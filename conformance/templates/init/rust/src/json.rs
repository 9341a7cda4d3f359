//! As much JSON as an adapter needs, without a dependency; take serde_json if you like.

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

use Json::*;

pub fn text(value: impl Into<String>) -> Json {
    Text(value.into())
}

pub fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    Object(members.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
}

/// Integers of 2^53 and more are decimal strings.
pub fn integer(value: u64) -> Json {
    if value < 1 << 53 { Number(value.to_string()) } else { text(value.to_string()) }
}

impl Json {
    pub fn get(&self, name: &str) -> &Json {
        match self {
            Object(members) => members.iter().find(|(key, _)| key == name).map_or(&Null, |(_, value)| value),
            _ => &Null,
        }
    }
    pub fn str(&self) -> &str {
        match self {
            Text(value) | Number(value) => value,
            _ => "",
        }
    }
    pub fn list(&self) -> &[Json] {
        if let List(items) = self { items } else { &[] }
    }
    pub fn write(&self, out: &mut String) {
        match self {
            Null => out.push_str("null"),
            Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Number(digits) => out.push_str(digits),
            Text(value) => write_text(value, out),
            List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 { out.push(','); }
                    item.write(out);
                }
                out.push(']');
            }
            Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 { out.push(','); }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(value: &str, out: &mut String) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

pub fn parse(source: &str) -> Option<Json> {
    let mut reader = Reader { rest: source };
    let value = reader.value()?;
    reader.blanks();
    reader.rest.is_empty().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }
    fn next(&mut self, wanted: &str) -> bool {
        self.blanks();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => { self.rest = rest; true }
            None => false,
        }
    }
    fn value(&mut self) -> Option<Json> {
        if self.next("null") { return Some(Null); }
        if self.next("true") { return Some(Bool(true)); }
        if self.next("false") { return Some(Bool(false)); }
        if self.next("[") {
            let mut items = vec![];
            if self.next("]") { return Some(List(items)); }
            loop {
                items.push(self.value()?);
                if self.next("]") { return Some(List(items)); }
                if !self.next(",") { return None; }
            }
        }
        if self.next("{") {
            let mut members = vec![];
            if self.next("}") { return Some(Object(members)); }
            loop {
                let Text(name) = self.value()? else { return None };
                if !self.next(":") { return None; }
                members.push((name, self.value()?));
                if self.next("}") { return Some(Object(members)); }
                if !self.next(",") { return None; }
            }
        }
        if self.next("\"") { return self.text().map(Text); }
        let end = self.rest.find(|c: char| !"+-.eE0123456789".contains(c)).unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!digits.is_empty()).then(|| Number(digits.to_string()))
    }
    fn text(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut letters = self.rest.chars();
        loop {
            match letters.next()? {
                '"' => break,
                '\\' => match letters.next()? {
                    'n' => value.push('\n'),
                    'r' => value.push('\r'),
                    't' => value.push('\t'),
                    'b' => value.push('\u{8}'),
                    'f' => value.push('\u{c}'),
                    'u' => {
                        let digits: String = letters.by_ref().take(4).collect();
                        value.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?).unwrap_or('\u{fffd}'));
                    }
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        self.rest = letters.as_str();
        Some(value)
    }
}
