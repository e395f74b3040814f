//! The output of `/metrics`, parsed strictly: a sample without a type, or a duplicate series, is an error.

use std::collections::{BTreeMap, BTreeSet};

/// A scrape.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub text: String,
    samples: Vec<Sample>,
    /// Families by name, without the suffixes of their samples.
    pub types: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    pub fn read(text: &str) -> Scrape {
        assert!(text.ends_with("\n# EOF\n"), "it ends where it ends: {text}");
        let (mut samples, mut types, mut seen): (Vec<Sample>, BTreeMap<_, _>, BTreeSet<_>) = Default::default();
        for line in text.lines().take_while(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                if let Some((name, kind)) = comment.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' ')) {
                    let before = types.insert(name.to_owned(), kind.to_owned());
                    assert_eq!(before, None, "{name} is told twice");
                }
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            assert!(seen.insert(series), "{series} is told twice");
            samples.push(Sample::read(series, value.parse().unwrap_or_else(|_| panic!("{line}: no number"))));
        }
        let scrape = Scrape { text: text.to_owned(), samples, types };
        for sample in &scrape.samples {
            assert!(scrape.family_of(&sample.name).is_some(), "{} has no type", sample.name);
        }
        scrape
    }

    /// The sum of the series with at least these labels; `None` if there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let is_meant = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|is| is == value))
        };
        self.samples.iter().filter(is_meant).map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// The same, for series that have to exist.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.sum(name, labels).unwrap_or_else(|| panic!("no {name}{labels:?} in\n{}", self.text))
    }

    /// Names of samples.
    pub fn names(&self) -> BTreeSet<&str> {
        self.samples.iter().map(|sample| sample.name.as_str()).collect()
    }

    /// The labels of a name, each with its values.
    pub fn labels(&self, name: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            sample.labels.iter().for_each(|(key, value)| _ = labels.entry(key).or_default().insert(value));
        }
        labels
    }

    /// The documented name of a sample's metric: without suffixes if it is a histogram.
    pub fn documented_name<'a>(&self, name: &'a str) -> &'a str {
        let base =
            |suffix| name.strip_suffix(suffix).filter(|base| self.types.get(*base).is_some_and(|is| is == "histogram"));
        ["_bucket", "_sum", "_count"].into_iter().find_map(base).unwrap_or(name)
    }

    fn family_of(&self, name: &str) -> Option<&str> {
        let suffixes: [(&str, &str); 6] = [
            ("", "gauge"),
            ("_total", "counter"),
            ("_info", "info"),
            ("_bucket", "histogram"),
            ("_sum", "histogram"),
            ("_count", "histogram"),
        ];
        suffixes.into_iter().find_map(|(suffix, kind)| {
            let (family, is) = self.types.get_key_value(name.strip_suffix(suffix)?)?;
            (is == kind).then_some(family.as_str())
        })
    }
}

impl Sample {
    fn read(series: &str, value: f64) -> Sample {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').expect("labels end");
        let label = |label: &str| {
            let (key, value) = label.split_once('=').expect("a label has a value");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("in quotes");
            (key.to_owned(), value.to_owned())
        };
        // None of our values contains a comma.
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(label).collect();
        Sample { name: name.to_owned(), labels, value }
    }
}
