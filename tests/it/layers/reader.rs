//! Reads a Rust file: the paths in it, and which modules it declares for tests only.

use super::{
    Used,
    lexer::{Token, tokens},
};

#[derive(Default)]
pub struct Read {
    pub used: Vec<Used>,
    pub test_modules: Vec<Vec<String>>,
}

/// The item that an open brace belongs to.
struct Scope {
    is_module: bool,
    in_test: bool,
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    module: Vec<String>,
    scopes: Vec<Scope>,
    read: Read,
    /// The item that follows is for tests only.
    is_test_item: bool,
    /// Open brackets and parentheses, inside which a `;` ends no item.
    num_open: usize,
}

pub fn read(text: &str, module: &[String]) -> Read {
    let mut reader = Reader {
        tokens: tokens(text),
        at: 0,
        module: module.to_vec(),
        scopes: Vec::new(),
        read: Read::default(),
        is_test_item: false,
        num_open: 0,
    };
    while reader.at < reader.tokens.len() {
        reader.step();
    }
    reader.read
}

impl Reader {
    fn step(&mut self) {
        match self.peek(0) {
            "#" if self.peek(1) == "[" => self.attribute(1),
            "#" if self.peek(1) == "!" && self.peek(2) == "[" => self.attribute(2),
            "mod" if is_name(self.peek(1)) => self.module(),
            "use" if self.peek(1) != "<" => {
                self.at += 1;
                self.tree(&[]);
            }
            "crate" if self.at > 0 && self.tokens[self.at - 1].text == "extern" => {
                self.at += 1;
                self.tree(&[]);
            }
            "." if is_name(self.peek(1)) => {
                self.at += 1;
                if self.peek(1) == "(" {
                    self.used(vec![self.peek(0).to_owned()], true);
                }
                self.at += 1;
                // `x.f::<T>()`
                if self.peek(0) == "::" {
                    self.at += 1;
                }
            }
            word if is_name(word) => self.inline_path(),
            "::" if is_name(self.peek(1)) => self.at += 1,
            "{" => self.open(false),
            "}" => self.close(),
            "(" | "[" => {
                self.num_open += 1;
                self.at += 1;
            }
            ")" | "]" => {
                self.num_open = self.num_open.saturating_sub(1);
                self.at += 1;
            }
            ";" => {
                self.is_test_item &= self.num_open > 0;
                self.at += 1;
            }
            _ => self.at += 1,
        }
    }

    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    /// Skips an attribute, whose bracket is `bracket` tokens ahead, and notes one that says `cfg(test)`.
    fn attribute(&mut self, bracket: usize) {
        let start = self.at + bracket;
        let mut depth = 0;
        self.at = start;
        loop {
            match self.peek(0) {
                "[" => depth += 1,
                "]" => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 || self.at >= self.tokens.len() {
                break;
            }
        }
        let words: Vec<&str> = self.tokens[start..self.at].iter().map(|token| token.text.as_str()).collect();
        if words.get(1) == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not") {
            self.is_test_item = true;
        }
    }

    fn module(&mut self) {
        let name = self.peek(1).to_owned();
        self.at += 2;
        match self.peek(0) {
            "{" => {
                self.module.push(name);
                self.open(true);
            }
            ";" if self.is_test_item => self.read.test_modules.push([self.module.clone(), vec![name]].concat()),
            _ => {}
        }
    }

    fn open(&mut self, is_module: bool) {
        let in_test = self.is_test_item || self.in_test();
        self.scopes.push(Scope { is_module, in_test });
        self.is_test_item = false;
        self.at += 1;
    }

    fn close(&mut self) {
        if self.scopes.pop().is_some_and(|scope| scope.is_module) {
            self.module.pop();
        }
        self.at += 1;
    }

    fn in_test(&self) -> bool {
        self.scopes.last().is_some_and(|scope| scope.in_test)
    }

    /// `a::b::c` outside of a `use`. A lone name is a variable, not a path.
    fn inline_path(&mut self) {
        let mut path = vec![self.peek(0).to_owned()];
        let line_at = self.at;
        self.at += 1;
        while self.peek(0) == "::" && is_name(self.peek(1)) {
            path.push(self.peek(1).to_owned());
            self.at += 2;
        }
        // `Vec::<T>::new`: what follows the arguments belongs to the type.
        if path.len() > 1 || self.peek(0) == "::" {
            let after = std::mem::replace(&mut self.at, line_at);
            self.used(path, false);
            self.at = after;
        }
    }

    /// A `use` tree up to the `;`, `,` or `}` behind it.
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        loop {
            match self.peek(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.peek(0), "}" | "") {
                        self.tree(&path);
                        if self.peek(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" => self.at += 2,
                word if is_name(word) || word == "*" => {
                    path.push(word.to_owned());
                    self.at += 1;
                    if self.peek(0) != "::" {
                        self.used(path.clone(), false);
                    }
                }
                "," | "}" | ";" | "" => return,
                _ => self.at += 1,
            }
        }
    }

    /// Notes a path, written at the current token or just before it.
    fn used(&mut self, path: Vec<String>, is_method: bool) {
        let line = self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |token| token.line);
        let num_supers = path.iter().take_while(|segment| *segment == "super" || *segment == "self").count();
        let num_up = path[..num_supers].iter().filter(|segment| *segment == "super").count();
        let (segments, is_ours) = match path[0].as_str() {
            "crate" => (path[1..].to_vec(), true),
            "self" | "super" if !is_method => {
                let base = &self.module[..self.module.len().saturating_sub(num_up)];
                ([base, &path[num_supers..]].concat(), true)
            }
            _ => (path, false),
        };
        let in_test = self.in_test() || self.is_test_item;
        self.read.used.push(Used { segments, is_ours, is_method, in_test, line });
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}
