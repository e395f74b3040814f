//! The objects in a JSON document, one by one, without ever holding more than one of them.
//!
//! An export is an array of some thousand objects, or a few objects around such arrays. The reader follows only
//! brackets and quotes and returns the text of each object at one depth; the caller parses it. So a row that is not
//! JSON costs that row, a truncated file costs what follows the break, and a document that is all one string costs
//! nothing but time.

use std::io::{self, BufRead};

/// Longest object that is returned. A row of an export has about one thousand bytes.
const OBJECT_LEN_MAX: usize = 64 * 1024;

/// Deepest nesting that is followed.
const DEPTH_MAX: usize = 1000;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Object(&'a [u8]),
    /// Something that is not an object, or one that is too long.
    Odd,
}

/// Why a document cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it breaks off at byte {0}")]
    CutOff(u64),
    #[error("it is not JSON from byte {0} on")]
    NotJson(u64),
    #[error("it cannot be read from byte {at} on: {error}")]
    Unreadable { at: u64, error: io::Error },
}

pub struct Elements<R> {
    reader: R,
    /// Open brackets around a returned object.
    depth: usize,
    /// The brackets open now, as their closing characters.
    open: Vec<u8>,
    object: Vec<u8>,
    state: State,
    position: u64,
    /// Whether the next value would be the first of its list, or comes after a comma.
    expects_value: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    /// Within a string, and whether the character is escaped.
    Text {
        escaped: bool,
    },
    Over,
}

impl<R: BufRead> Elements<R> {
    /// The objects that lie in `depth` brackets.
    pub fn new(reader: R, depth: usize) -> Elements<R> {
        Elements {
            reader,
            depth,
            open: Vec::new(),
            object: Vec::new(),
            state: State::Between,
            position: 0,
            expects_value: true,
        }
    }

    /// Bytes that were read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn next(&mut self) -> Result<Option<Element<'_>>, Broken> {
        self.object.clear();
        loop {
            if self.state == State::Over {
                return Ok(None);
            }
            let bytes = self.reader.fill_buf().map_err(|error| match error.kind() {
                // How a truncated compressed stream ends.
                io::ErrorKind::UnexpectedEof => Broken::CutOff(self.position),
                _ => Broken::Unreadable { at: self.position, error },
            })?;
            if bytes.is_empty() {
                return Err(Broken::CutOff(self.position));
            }
            let mut taken = 0;
            let mut found = None;
            for byte in bytes {
                taken += 1;
                let step =
                    step(*byte, self.depth, &mut self.open, &mut self.object, &mut self.state, &mut self.expects_value);
                match step {
                    Step::Go => {}
                    other => {
                        found = Some(other);
                        break;
                    }
                }
            }
            self.reader.consume(taken);
            self.position += taken as u64;
            match found {
                None | Some(Step::Go) => {}
                Some(Step::NoJson) => return Err(Broken::NotJson(self.position)),
                Some(Step::Odd) => return Ok(Some(Element::Odd)),
                Some(Step::Whole) if self.object.len() > OBJECT_LEN_MAX => return Ok(Some(Element::Odd)),
                Some(Step::Whole) => return Ok(Some(Element::Object(&self.object))),
            }
        }
    }
}

enum Step {
    Go,
    /// An object has ended.
    Whole,
    /// Something else began where an object was expected.
    Odd,
    NoJson,
}

fn step(
    byte: u8,
    depth: usize,
    open: &mut Vec<u8>,
    object: &mut Vec<u8>,
    state: &mut State,
    expects_value: &mut bool,
) -> Step {
    let is_inside = open.len() > depth;
    if is_inside && object.len() <= OBJECT_LEN_MAX {
        object.push(byte);
    }
    if let State::Text { escaped } = *state {
        *state = match byte {
            _ if escaped => State::Text { escaped: false },
            b'\\' => State::Text { escaped: true },
            // JSON strings do not span lines: the closing quote is missing.
            b'"' | b'\n' => State::Between,
            _ => State::Text { escaped: false },
        };
        return Step::Go;
    }
    let is_place = open.len() == depth && depth > 0 && open.last() == Some(&b']');
    match byte {
        b'{' | b'[' => {
            if open.len() >= DEPTH_MAX {
                return Step::NoJson;
            }
            let is_odd = is_place && byte == b'[';
            if open.len() == depth && byte == b'{' {
                object.clear();
                object.push(byte);
            }
            open.push(if byte == b'{' { b'}' } else { b']' });
            *expects_value = true;
            if is_odd { Step::Odd } else { Step::Go }
        }
        b'}' | b']' => {
            if open.pop() != Some(byte) {
                return Step::NoJson;
            }
            if open.is_empty() {
                *state = State::Over;
            }
            *expects_value = false;
            if open.len() == depth && byte == b'}' { Step::Whole } else { Step::Go }
        }
        b',' => {
            *expects_value = true;
            Step::Go
        }
        b' ' | b'\t' | b'\r' | b'\n' | b':' => Step::Go,
        _ if open.is_empty() => Step::NoJson,
        _ => {
            if byte == b'"' {
                *state = State::Text { escaped: false };
            }
            let is_odd = is_place && *expects_value;
            *expects_value = false;
            if is_odd { Step::Odd } else { Step::Go }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Objects at a depth, `!` for odd ones, and how it ended.
    fn read(text: &str, depth: usize) -> (Vec<String>, Option<String>) {
        let mut elements = Elements::new(io::BufReader::with_capacity(7, text.as_bytes()), depth);
        let mut found = Vec::new();
        loop {
            match elements.next() {
                Ok(Some(Element::Object(object))) => found.push(String::from_utf8_lossy(object).into_owned()),
                Ok(Some(Element::Odd)) => found.push("!".into()),
                Ok(None) => return (found, None),
                Err(broken) => return (found, Some(broken.to_string())),
            }
        }
    }

    #[test]
    fn objects_come_one_by_one_whatever_is_in_them() {
        let text = r#" [ {"a": "}]\"{", "b": [{"c": 1}]}, {} ,{"d":"\\"}] "#;
        let (found, end) = read(text, 1);
        assert_eq!(found, [r#"{"a": "}]\"{", "b": [{"c": 1}]}"#, "{}", r#"{"d":"\\"}"#]);
        assert_eq!(end, None);
    }

    #[test]
    fn objects_further_inside_are_found_by_their_depth() {
        let text = r#"{"tracks": [{"t": 1}, {"t": 2}], "n": {"x": 1}, "other": ["u"], "artists": [{"a": {}}]}"#;
        assert_eq!(read(text, 2).0, [r#"{"t": 1}"#, r#"{"t": 2}"#, "!", r#"{"a": {}}"#]);
    }

    #[test]
    fn what_is_no_object_is_odd_and_costs_itself() {
        assert_eq!(read(r#"[1, null, "x", [2], {"a": 1}, -3]"#, 1).0, ["!", "!", "!", "!", r#"{"a": 1}"#, "!"]);
        let long = format!(r#"[{{"a": "{}"}}, {{"b": 1}}]"#, "x".repeat(OBJECT_LEN_MAX));
        assert_eq!(read(&long, 1).0, ["!", r#"{"b": 1}"#]);
    }

    #[test]
    fn a_break_costs_what_lies_behind_it() {
        for (text, end) in [
            (r#"[{"a": 1}, {"b": "#, "it breaks off at byte 17"),
            (r#"[{"a": 1}, {"b""#, "it breaks off at byte 15"),
            (r#"[{"a": 1}}"#, "it is not JSON from byte 10 on"),
        ] {
            assert_eq!(read(text, 1), (vec![r#"{"a": 1}"#.to_owned()], Some(end.to_owned())));
        }
        assert_eq!(read("", 1).1.as_deref(), Some("it breaks off at byte 0"));
        assert_eq!(read("a,b,c\n1,2,3", 1).1.as_deref(), Some("it is not JSON from byte 1 on"));
        assert!(read(&"[".repeat(5000), 1).1.is_some_and(|end| end.starts_with("it is not JSON")));
    }

    #[test]
    fn a_missing_quote_costs_its_row_where_rows_have_lines() {
        let text = "[{\n\"a\": \"x\n}, {\n\"b\": 2\n}]";
        assert_eq!(read(text, 1), (vec!["{\n\"a\": \"x\n}".to_owned(), "{\n\"b\": 2\n}".to_owned()], None));
    }
}
