//! Turns a body that is almost JSON into text: unreadable characters become U+FFFD, and nothing else changes.
//!
//! Names get truncated in the middle of an emoji, which leaves a byte, or half of a surrogate pair. That is one
//! character of one name; the rest of the answer is intact.

use std::{borrow::Cow, iter::Peekable, str::Chars};

/// The replacement for an unreadable character.
pub const UNREADABLE: char = '\u{FFFD}';

/// How much a body may grow while it is repaired, since the replacement is longer than what it replaces. A body that
/// would grow by more is not text.
const GROWTH_MAX: usize = 1 << 20;

/// `body` as JSON text whose strings are valid. Nothing is repaired outside its strings. `None` if there is more to
/// repair than in any text.
pub fn repaired(body: &[u8]) -> Option<String> {
    let num_unreadable = body.utf8_chunks().filter(|chunk| !chunk.invalid().is_empty()).count();
    if num_unreadable * UNREADABLE.len_utf8() > GROWTH_MAX {
        return None;
    }
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let len_max = text.len() + GROWTH_MAX;
    let mut mended = String::with_capacity(text.len() + 64);
    let mut chars = text.trim_start_matches('\u{FEFF}').chars().peekable();
    while let Some(char) = chars.next() {
        mended.push(char);
        if char == '"' {
            string(&mut chars, &mut mended, len_max);
        }
        if mended.len() > len_max {
            return None;
        }
    }
    Some(mended)
}

/// Consumes the rest of a string, its closing quote included.
fn string(chars: &mut Peekable<Chars<'_>>, mended: &mut String, len_max: usize) {
    while mended.len() <= len_max
        && let Some(char) = chars.next()
    {
        match char {
            '"' => return mended.push('"'),
            '\\' => escape(chars, mended),
            '\n' => mended.push_str("\\n"),
            '\r' => mended.push_str("\\r"),
            '\t' => mended.push_str("\\t"),
            '\0'..='\u{1F}' => mended.push(UNREADABLE),
            _ => mended.push(char),
        }
    }
}

fn escape(chars: &mut Peekable<Chars<'_>>, mended: &mut String) {
    match chars.peek() {
        Some(char @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't')) => {
            mended.extend(['\\', *char]);
            chars.next();
        }
        Some('u') => {
            chars.next();
            unicode(chars, mended);
        }
        // The following character is not consumed: it may be the closing quote.
        Some(_) | None => mended.push(UNREADABLE),
    }
}

/// Consumes a `\u` escape whose first two characters are already consumed, and the second half of its pair.
fn unicode(chars: &mut Peekable<Chars<'_>>, mended: &mut String) {
    let Some(unit) = four_digits(chars) else { return mended.push(UNREADABLE) };
    match unit {
        0xD800..=0xDBFF => {
            let mut ahead = chars.clone();
            let is_escape = ahead.next() == Some('\\') && ahead.next() == Some('u');
            match is_escape.then(|| four_digits(&mut ahead)).flatten() {
                Some(low @ 0xDC00..=0xDFFF) => {
                    *chars = ahead;
                    mended.push_str(&format!("\\u{unit:04x}\\u{low:04x}"));
                }
                Some(_) | None => mended.push(UNREADABLE),
            }
        }
        0xDC00..=0xDFFF => mended.push(UNREADABLE),
        _ => mended.push_str(&format!("\\u{unit:04x}")),
    }
}

/// Consumes four hexadecimal digits; if there are fewer, consumes those and returns `None`.
fn four_digits(chars: &mut Peekable<Chars<'_>>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = chars.peek()?.to_digit(16)?;
        chars.next();
        unit = unit * 16 + digit;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_stays_and_the_rest_is_one_character() {
        for (body, name) in [
            (&br#"["\ud83c half"]"#[..], "\u{FFFD} half"),
            (br#"["\ud83c\ud83c\udfb5"]"#, "\u{FFFD}\u{1F3B5}"),
            (br#"["\udfb5\ud83c"]"#, "\u{FFFD}\u{FFFD}"),
            (br#"["\ud83c\n"]"#, "\u{FFFD}\n"),
            (br#"["cut \ud8"]"#, "cut \u{FFFD}"),
            (br#"["\uZZ12"]"#, "\u{FFFD}ZZ12"),
            (br#"["a\x41b"]"#, "a\u{FFFD}x41b"),
            (b"[\"a\xffb\"]", "a\u{FFFD}b"),
            (b"[\"cut \xf0\x9f\x8e\"]", "cut \u{FFFD}"),
            (b"[\"a\0b\x07c\nd\te\"]", "a\u{FFFD}b\u{FFFD}c\nd\te"),
            (b"\xef\xbb\xbf[\"behind a mark\"]", "behind a mark"),
            ("[\"\\u00e9 \\\\ \\\" \\/ \u{1F3B5} \\ud83c\\udfb5\"]".as_bytes(), "\u{e9} \\ \" / \u{1F3B5} \u{1F3B5}"),
        ] {
            let [read]: [String; 1] = serde_json::from_str(&repaired(body).unwrap()).unwrap();
            assert_eq!(read, name, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_whole_body_stays_as_it_is() {
        let body = r#"{"a": ["x\\\"", {"b\u0041": -1.5e3}, null], "c": "\u0000"}"#;
        assert_eq!(repaired(body.as_bytes()).unwrap().to_lowercase(), body.to_lowercase());
    }

    #[test]
    fn what_is_no_text_is_not_mended() {
        for unreadable in ["\u{1}".as_bytes(), b"\xff", b"\\x"] {
            assert_eq!(repaired(&[b"[\"", &unreadable.repeat(1 << 20)[..], b"\"]"].concat()), None);
        }
    }
}
