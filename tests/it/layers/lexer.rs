//! Words and symbols of a Rust file, without comments and literals.

pub struct Token {
    pub text: String,
    pub line: usize,
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

pub fn tokens(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.rest.chars().next() {
        let line = lexer.line;
        let word_len = lexer.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(lexer.rest.len());
        let mut token = None;
        if lexer.rest.starts_with("//") {
            lexer.skip(lexer.rest.find('\n').unwrap_or(lexer.rest.len()));
        } else if lexer.rest.starts_with("/*") {
            lexer.skip_comment();
        } else if let Some(hashes) = raw_string(lexer.rest) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = lexer.rest.find('"').map_or(0, |at| at + 1);
            let len = lexer.rest[start..].find(&end).map_or(lexer.rest.len(), |at| start + at + end.len());
            lexer.skip(len);
        } else if first == '"' {
            lexer.skip_string();
        } else if first == '\'' {
            lexer.skip_quote();
        } else if word_len > 0 {
            token = Some(lexer.skip(word_len));
        } else {
            token = Some(lexer.skip(if lexer.rest.starts_with("::") { 2 } else { first.len_utf8() }));
        }
        if let Some(text) = token.filter(|text| !text.trim().is_empty()) {
            tokens.push(Token { text: text.to_owned(), line });
        }
    }
    tokens
}

/// The number of `#` of the raw string that `text` begins with.
fn raw_string(text: &str) -> Option<usize> {
    let text = ["br", "cr", "r"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let without = text.trim_start_matches('#');
    without.starts_with('"').then_some(text.len() - without.len())
}

impl<'a> Lexer<'a> {
    fn skip(&mut self, len: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(len);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }

    fn skip_comment(&mut self) {
        let mut depth = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else {
                self.skip(self.rest.chars().next().map_or(1, char::len_utf8));
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_string(&mut self) {
        let mut is_escaped = true;
        let is_end = |(_, c): &(usize, char)| {
            let is_end = *c == '"' && !is_escaped;
            is_escaped = *c == '\\' && !is_escaped;
            is_end
        };
        let end = self.rest.char_indices().find(is_end);
        self.skip(end.map_or(self.rest.len(), |(at, _)| at + 1));
    }

    /// A character literal, or the quote of a lifetime.
    fn skip_quote(&mut self) {
        let mut chars = self.rest.char_indices().skip(1);
        let len = match (chars.next(), chars.next()) {
            (Some((_, '\\')), Some((at, escaped))) => {
                let after = at + escaped.len_utf8();
                self.rest[after..].find('\'').map_or(1, |end| after + end + 1)
            }
            (Some(_), Some((at, '\''))) => at + 1,
            _ => 1,
        };
        self.skip(len);
    }
}
