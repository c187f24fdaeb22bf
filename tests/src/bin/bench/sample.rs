//! Samples and how they are shown.

use std::fmt;
use std::time::Duration;

/// Durations of many runs of one thing.
#[derive(Debug, Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The sample below which this share of them lies, 0.0 to 1.0. Zero without samples.
    pub fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or_default()
    }

    /// Median over median.
    pub fn ratio(&self, other: &Self) -> f64 {
        self.quantile(0.5).as_secs_f64() / other.quantile(0.5).as_secs_f64()
    }
}

/// Median over median, as text.
pub fn ratio(one: &Samples, other: &Samples) -> String {
    format!("{:.2}", one.ratio(other))
}

/// `12.3 µs (10.1 to 15.2)`: the median, and what 80 of 100 lie between.
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |share| self.quantile(share).as_secs_f64() * 1e6;
        let (low, median, high) = (micros(0.1), micros(0.5), micros(0.9));
        write!(f, "{median:.1} µs ({low:.1} to {high:.1})")
    }
}

/// Lines of a name and a value.
#[derive(Debug, Default)]
pub struct Table(Vec<(String, String)>);

impl Table {
    pub fn line(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.0.push((name.into(), value.to_string()));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max();
        let width = width.unwrap_or(0);
        for (name, value) in &self.0 {
            writeln!(f, "  {name:<width$}  {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let mut samples = Samples::default();
        assert_eq!(samples.quantile(0.5), Duration::ZERO);
        for ms in [5, 1, 4, 2, 3] {
            samples.add(Duration::from_millis(ms));
        }
        assert_eq!(samples.quantile(0.0), Duration::from_millis(1));
        assert_eq!(samples.quantile(0.5), Duration::from_millis(3));
        assert_eq!(samples.quantile(1.0), Duration::from_millis(5));
        assert_eq!(samples.to_string(), "3000.0 µs (1000.0 to 5000.0)");
    }

    #[test]
    fn a_table_is_aligned() {
        let mut table = Table::default();
        table.line("a", 1);
        table.line("longer", 2);
        assert_eq!(table.to_string(), "  a       1\n  longer  2\n");
    }
}
