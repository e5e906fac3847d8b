//! Samples in Prometheus' text format, as far as our own metrics use it.

/// What was scraped.
pub struct Samples<'t> {
    text: &'t str,
}

impl<'t> Samples<'t> {
    /// Those in `text`.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        Self { text }
    }

    /// The labels and the value of each sample of a metric.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&'t str, f64)> {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = rest.rsplit_once(' ')?;
            let is_whole_name = labels.is_empty() || labels.starts_with('{');
            Some((labels, value.parse().ok()?)).filter(|_| is_whole_name)
        })
    }

    /// All of them added up; `None` where there is none.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let values = self.of(name).map(|(_, value)| value);
        values.reduce(|sum, value| sum + value)
    }

    /// The value of a label.
    #[must_use]
    pub fn label<'l>(labels: &'l str, name: &str) -> Option<&'l str> {
        let from = labels.find(&format!("{name}=\""))? + name.len() + 2;
        labels[from..].split('"').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_by_their_whole_name() {
        let samples = Samples::new(
            "# HELP a b\n# TYPE a gauge\na 1\na_more 5\nb{x=\"1\",y=\"two words\"} 2.5\nb{x=\"2\",y=\"\"} 3\n",
        );
        assert_eq!(samples.sum("a"), Some(1.0));
        assert_eq!(samples.sum("b"), Some(5.5));
        assert_eq!(samples.sum("c"), None);
        let (labels, value) = samples.of("b").next().expect("a sample");
        assert_eq!(
            (Samples::label(labels, "y"), value),
            (Some("two words"), 2.5)
        );
        assert_eq!(Samples::label(labels, "z"), None);
    }
}
