//! Which playlists' items a person wants read (`sync.playlists`). Excluded playlists stay in the library, with their
//! items as they were.

use super::StalePlaylist;

/// The word for the person's own playlists.
const OWNED: &str = "owned";

/// The prefix that makes a word deny rather than allow.
const NOT: char = '!';

/// The words of the setting. Without any, every playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaylistChoice {
    allowed: Vec<Rule>,
    denied: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// The person's own, and those they collaborate on.
    Owned,
    /// An id, or a pattern of names, in lower case.
    Called { id: String, pattern: Vec<char> },
}

impl PlaylistChoice {
    /// `None` if a word is empty.
    pub fn parse(words: &[&str]) -> Option<PlaylistChoice> {
        let mut choice = PlaylistChoice::default();
        for word in words {
            let (rules, word) = match word.strip_prefix(NOT) {
                Some(word) => (&mut choice.denied, word.trim()),
                None => (&mut choice.allowed, *word),
            };
            rules.push(match word {
                "" => return None,
                OWNED => Rule::Owned,
                _ => Rule::Called { id: word.to_owned(), pattern: word.to_lowercase().chars().collect() },
            });
        }
        Some(choice)
    }

    pub fn is_everything(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty()
    }

    /// Whether it is allowed, if anything is, and not denied.
    pub fn wants(&self, id: &str, name: &str, is_own: bool) -> bool {
        let name: Vec<char> = name.to_lowercase().chars().collect();
        let is_meant = |rule: &Rule| match rule {
            Rule::Owned => is_own,
            Rule::Called { id: wanted, pattern } => wanted == id || matches(pattern, &name),
        };
        (self.allowed.is_empty() || self.allowed.iter().any(is_meant)) && !self.denied.iter().any(is_meant)
    }

    /// Those that are wanted.
    pub fn of(&self, mut due: Vec<StalePlaylist>) -> Vec<StalePlaylist> {
        due.retain(|playlist| self.wants(&playlist.id, &playlist.name, playlist.is_own));
        due
    }
}

/// `*` stands for any characters and `?` for one. The number of steps is bounded by the product of both lengths.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut of) = (0, 0);
    // The position of the last star, and the end of what it matches so far.
    let mut star: Option<(usize, usize)> = None;
    while of < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[of] => (at, of) = (at + 1, of + 1),
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, of) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(words: &[&str], name: &str, is_own: bool) -> bool {
        PlaylistChoice::parse(words).unwrap().wants("37i9dQZF1DX0XUsuxWHRQd", name, is_own)
    }

    #[test]
    fn what_is_allowed_and_not_denied_is_wanted() {
        for (words, name, is_own, expected) in [
            (&[][..], "Road trip", false, true),
            (&["owned"], "Road trip", true, true),
            (&["owned"], "Road trip", false, false),
            (&["!owned"], "Road trip", false, true),
            (&["road TRIP"], "Road Trip", false, true),
            (&["37i9dQZF1DX0XUsuxWHRQd"], "Road Trip", false, true),
            (&["37I9dQZF1DX0XUsuxWHRQd"], "Road Trip", false, false),
            (&["road*"], "Road Trip", false, true),
            (&["*trip", "!road*"], "Road Trip", false, false),
            (&["! road*"], "Road Trip", false, false),
            (&["!top 50*"], "Road Trip", false, true),
            (&["owned", "discover*"], "Discover Weekly", false, true),
        ] {
            assert_eq!(wants(words, name, is_own), expected, "{words:?} {name} {is_own}");
        }
        for words in [&[""][..], &["a", ""], &["!"]] {
            assert_eq!(PlaylistChoice::parse(words), None, "{words:?}");
        }
    }

    #[test]
    fn stars_and_question_marks_stand_for_what_they_say() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbbcd", false),
            ("*b*d*", "abcd", true),
            ("?b", "ab", true),
            ("?b", "b", false),
            ("a", "", false),
            ("", "", true),
            ("日?", "日本", true),
        ] {
            let [pattern, text] = [pattern, text].map(|text| text.chars().collect::<Vec<_>>());
            assert_eq!(matches(&pattern, &text), expected, "{pattern:?} {text:?}");
        }
        // No name given to a playlist by a stranger takes long.
        let [pattern, text] = ["*a".repeat(40) + "b", "a".repeat(5_000)].map(|text| text.chars().collect::<Vec<_>>());
        assert!(!matches(&pattern, &text));
    }
}
