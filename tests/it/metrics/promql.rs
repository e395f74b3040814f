//! As much of PromQL as is needed to find which metrics and labels an expression uses.

use std::collections::BTreeSet;

/// Functions and aggregations that our expressions may use.
const FUNCTIONS: [&str; 10] =
    ["absent", "changes", "histogram_quantile", "increase", "label_values", "max", "rate", "sum", "time", "vector"];

/// Words between operands.
const OPERATORS: [&str; 5] = ["and", "bool", "offset", "or", "unless"];

/// Keywords that are followed by a list of labels.
const GROUPINGS: [&str; 6] = ["by", "group_left", "group_right", "ignoring", "on", "without"];

/// The names in an expression.
#[derive(Debug, Default, PartialEq)]
pub struct Named {
    pub selectors: Vec<Selector>,
    /// Labels that it groups or joins by.
    pub grouped_by: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq)]
pub struct Selector {
    pub metric: String,
    /// Label, operator and value.
    pub matchers: Vec<(String, String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    /// A number, a duration, or a variable of Grafana's.
    Value,
    Sign(String),
}

pub fn read(expression: &str) -> Named {
    let tokens = tokens(expression);
    let (mut named, mut at) = (Named::default(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        let Token::Word(word) = token else {
            if is_sign(Some(token), "[") {
                at = end_of(&tokens, at, "]");
            }
            continue;
        };
        if GROUPINGS.contains(&word.as_str()) {
            if is_sign(tokens.get(at), "(") {
                let end = end_of(&tokens, at, ")");
                let labels = tokens[at..end].iter().filter_map(|token| match token {
                    Token::Word(label) => Some(label.clone()),
                    _ => None,
                });
                named.grouped_by.extend(labels);
                at = end;
            }
        } else if word == "label_values" {
            // label_values(SELECTOR, LABEL)
            let Some(Token::Word(label)) = tokens.get(tokens.len() - 2) else { panic!("{expression}") };
            named.grouped_by.insert(label.clone());
            named
                .selectors
                .extend(read(&expression[expression.find('(').unwrap()..expression.rfind(',').unwrap()]).selectors);
            return named;
        } else if is_sign(tokens.get(at), "(") && !OPERATORS.contains(&word.as_str()) {
            assert!(FUNCTIONS.contains(&word.as_str()), "{word} is no function that is known here: {expression}");
        } else if FUNCTIONS.contains(&word.as_str())
            && matches!(tokens.get(at), Some(Token::Word(next)) if GROUPINGS.contains(&next.as_str()))
        {
            // `sum by (...)`
        } else if !OPERATORS.contains(&word.as_str()) {
            let mut selector = Selector { metric: word.clone(), matchers: Vec::new() };
            if is_sign(tokens.get(at), "{") {
                let end = end_of(&tokens, at, "}");
                for matcher in tokens[at + 1..end - 1].split(|token| is_sign(Some(token), ",")) {
                    let [Token::Word(label), Token::Sign(operator), Token::Text(value)] = matcher else {
                        panic!("{matcher:?} in {expression}");
                    };
                    selector.matchers.push((label.clone(), operator.clone(), value.clone()));
                }
                at = end;
            }
            named.selectors.push(selector);
        }
    }
    named
}

fn is_sign(token: Option<&Token>, sign: &str) -> bool {
    token.is_some_and(|token| matches!(token, Token::Sign(is) if is == sign))
}

/// The end of the list that is open at `from`, its last symbol included.
fn end_of(tokens: &[Token], from: usize, sign: &str) -> usize {
    let length = tokens[from..].iter().position(|token| is_sign(Some(token), sign)).expect("what is opened is closed");
    from + length + 1
}

fn tokens(expression: &str) -> Vec<Token> {
    let (mut tokens, mut rest) = (Vec::new(), expression.trim_start());
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = match first {
            '"' => 2 + rest[1..].find('"').expect("a text ends"),
            '=' | '!' | '<' | '>' if rest[1..].starts_with(['=', '~']) => 2,
            '$' if rest[1..].starts_with('{') => 1 + rest.find('}').expect("a variable ends"),
            '$' => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
            c if is_word(c) => rest.find(|c| !is_word(c) && c != '.').unwrap_or(rest.len()),
            _ => 1,
        };
        let (token, after) = rest.split_at(length);
        tokens.push(match first {
            '"' => Token::Text(token[1..length - 1].to_owned()),
            '$' => Token::Value,
            c if c.is_ascii_digit() => Token::Value,
            c if is_word(c) => Token::Word(token.to_owned()),
            _ => Token::Sign(token.to_owned()),
        });
        rest = after.trim_start();
    }
    tokens
}

#[test]
fn an_expression_names_its_metrics_and_labels() {
    let of = |expression: &str| {
        let Named { selectors, grouped_by } = read(expression);
        let metrics: Vec<_> = selectors.iter().map(|selector| selector.metric.clone()).collect();
        let labels = selectors.iter().flat_map(|selector| selector.matchers.iter().map(|(label, ..)| label.clone()));
        (metrics.join(" "), labels.collect::<Vec<_>>().join(" "), grouped_by.into_iter().collect::<Vec<_>>().join(" "))
    };
    let is = |metrics: &str, labels: &str, grouped: &str| (metrics.to_owned(), labels.to_owned(), grouped.to_owned());
    assert_eq!(of("up"), is("up", "", ""));
    assert_eq!(of("time() - a_seconds > on (job) group_left () 2 * b"), is("a_seconds b", "", "job"));
    assert_eq!(
        of(r#"sum by (le, x) (rate(a_bucket{y=~"1|2", z!="3"}[$__rate_interval])) > 0.5"#),
        is("a_bucket", "y z", "le x")
    );
    assert_eq!(of("a > a offset 1d unless b == 1"), is("a a b", "", ""));
    assert_eq!(of(r#"label_values(a{b=~"$c"}, d)"#), is("a", "b", "d"));
    let matcher = &read(r#"a{b="c"}"#).selectors[0].matchers[0];
    assert_eq!(matcher, &("b".to_owned(), "=".to_owned(), "c".to_owned()));
    assert!(std::panic::catch_unwind(|| read("sum(rat(a[5m]))")).is_err(), "a function that does not exist");
}
