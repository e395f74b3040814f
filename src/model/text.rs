//! Makes text written by others safe to show: in a line of a terminal or a log, or in a page.
//!
//! Names come from strangers. A control character moves the cursor or begins a line that passes for one of ours; a
//! direction mark reverses the text beside it; a zero-width character hides a difference. The database keeps all of
//! them.

use std::borrow::Cow;

/// Whether it is invisible but changes how other text looks: control characters, direction marks, zero-width
/// characters, line breaks.
pub const fn is_unseen(c: char) -> bool {
    is_break(c)
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e007f}')
}

/// Characters that would end the line, or control the terminal.
const fn is_break(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}')
}

/// The text on one line, without invisible characters.
pub fn seen(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unseen) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| match c {
        c if is_break(c) => Some(' '),
        c if is_unseen(c) => None,
        c => Some(c),
    };
    Cow::Owned(text.chars().filter_map(shown).collect())
}

/// Several lines of ours, each as in [`seen`].
pub fn seen_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_unseen(c) && c != '\n') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(seen).collect::<Vec<_>>().join("\n"))
}

/// Escaped for a page of HTML, also within quotes.
pub fn in_html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// JSON with the same values that shows nothing invisible.
pub fn json_seen(json: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| is_unseen(c) && c != '\n';
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_on_one_line_in_its_own_direction() {
        for (name, shown) in [
            ("Ms\u{f8} \u{1f3b5} \u{5e9}\u{5dc}\u{5d5}\u{5dd}", "Ms\u{f8} \u{1f3b5} \u{5e9}\u{5dc}\u{5d5}\u{5dd}"),
            ("two\nlines\r\u{1b}[2J\u{9b}x\u{7f}", "two lines  [2J x "),
            ("\u{202e}evil\u{202c}\u{2066}x\u{2069}\u{61c}", "evilx"),
            ("a\u{200b}b\u{200d}c\u{2060}d\u{feff}e\u{e0041}", "abcde"),
            ("one\u{2028}two\u{2029}three\u{85}four", "one two three four"),
        ] {
            assert_eq!(seen(name), shown);
            assert!(!seen(name).contains(is_unseen));
        }
        assert_eq!(seen_lines("a\u{202e}\nb\r\n"), "a\nb \n");
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({ "name": "a\u{202e}b\u{9b}\u{e0041}\u{2028}\n", "n": [1, 2] });
        for json in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
            let shown = json_seen(&json);
            assert!(!shown.contains(|c| is_unseen(c) && c != '\n'), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        }
    }
}
