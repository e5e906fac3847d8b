//! The Prometheus text format, as far as a test reads it: name, labels, value.
//! Types, help and timestamps are skipped.

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Name with its suffix (`_bucket`, `_sum`, `_count`).
    pub name: String,
    /// Labels in the order of the line.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// A scrape.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

impl Metrics {
    /// Parses a scrape.
    ///
    /// # Panics
    /// On a line that is none of the format.
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| sample(line).unwrap_or_else(|| panic!("not a metric: {line}")))
                .collect(),
        )
    }

    /// The samples.
    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// Sum of the samples named `name` that carry all of `labels`; 0 when there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|sample| sample.value).sum()
    }

    /// Whether there is a sample named `name` that carries all of `labels`.
    pub fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.matching(name, labels).next().is_some()
    }

    /// How many series the scrape has.
    pub fn series(&self) -> usize {
        self.0.len()
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        let carries = |sample: &Sample, (key, value): &(&str, &str)| {
            sample.labels.iter().any(|(k, v)| k == key && v == value)
        };
        self.0.iter().filter(move |sample| {
            sample.name == name && labels.iter().all(|label| carries(sample, label))
        })
    }
}

fn sample(line: &str) -> Option<Sample> {
    let Some((name, rest)) = line.split_once('{') else {
        let (name, value) = line.split_once(' ')?;
        return Some(Sample {
            name: name.to_owned(),
            labels: Vec::new(),
            value: number(value)?,
        });
    };
    let (labels, rest) = labels(rest)?;
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: number(rest)?,
    })
}

/// Labels up to `}`, and what comes after it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    other => other,
                }),
                (_, other) => value.push(other),
            }
        };
        labels.push((key.to_owned(), value));
        rest = &after[end + 1..];
    }
}

fn number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(sum: f64, expected: f64) {
        assert!((sum - expected).abs() < 1e-9, "{sum} for {expected}");
    }

    #[test]
    fn a_scrape_is_read_by_name_and_labels() {
        let metrics = Metrics::parse(concat!(
            "# HELP a_total things\n# TYPE a_total counter\n",
            "a_total{p=\"x\",q=\"1\"} 2\na_total{p=\"x\",q=\"2,}\\\"\"} 3\na_total{p=\"y\"} 4\nb 1.5 1700\n",
            "c_bucket{le=\"+Inf\"} 7\n",
        ));
        assert_eq!(metrics.series(), 5);
        close(metrics.sum("a_total", &[]), 9.0);
        close(metrics.sum("a_total", &[("p", "x")]), 5.0);
        close(metrics.sum("a_total", &[("q", "2,}\"")]), 3.0);
        close(metrics.sum("b", &[]), 1.5);
        assert!(metrics.has("c_bucket", &[("le", "+Inf")]));
        assert!(!metrics.has("a_total", &[("p", "z")]));
    }
}
