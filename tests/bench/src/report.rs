//! The tables and the raw figures.

use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::Failure;
use crate::machine::Machine;
use crate::rounds::{Figures, Rounds};
use crate::targets::{
    BARE_CLIENT, Limit, MYSQL_HISTORY, NGINX, ON_REDIS, PASSTHROUGH, REDIS_HISTORY, SERVICE, SSE_PROXY, TOOLLESS,
    Target,
};

/// Everything that was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// The raw figures of each phase.
    phases: Map<String, Value>,
    targets: Vec<Target>,
    wrong_answers: usize,
}

impl Report {
    /// An empty one, of this machine.
    pub(crate) fn new() -> Self {
        Self { machine: Machine::this(), phases: Map::new(), targets: Vec::new(), wrong_answers: 0 }
    }

    /// The machine it is about.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Adds a phase's raw figures and the targets that they meet or miss.
    pub(crate) fn add(
        &mut self,
        phase: String,
        raw: &impl Serialize,
        targets: impl IntoIterator<Item = Target>,
    ) -> Result<(), Failure> {
        self.phases.insert(phase, serde_json::to_value(raw)?);
        self.targets.extend(targets);
        Ok(())
    }

    /// Takes wrong answers down.
    pub(crate) fn count_wrong(&mut self, answers: usize) {
        self.wrong_answers += answers;
    }

    /// Whether any answer was wrong while something else was measured.
    pub(crate) fn has_errors(&self) -> bool {
        self.wrong_answers > 0
    }

    /// Whether any target was missed.
    pub(crate) fn missed(&self) -> bool {
        self.targets.iter().any(|target| !target.met)
    }

    /// Writes everything into a file, if there is one.
    pub(crate) fn write_json(&self, file: Option<&Path>) -> Result<(), Failure> {
        if let Some(file) = file {
            std::fs::write(file, serde_json::to_vec_pretty(self)?)?;
        }
        Ok(())
    }

    /// Each target with its figure, its limit, and whether it is met.
    pub(crate) fn targets_table(&self) -> String {
        let mut table = String::new();
        if self.targets.is_empty() {
            return table;
        }
        let _ = writeln!(table, "\n{:<64} {:>12} {:>14}", "Targets", "measured", "limit");
        for target in &self.targets {
            let Target { name, measured, limit, unit, met } = target;
            let limit = match limit {
                Limit::AtMost(most) => format!("≤ {most} {unit}"),
                Limit::AtLeast(least) => format!("≥ {least} {unit}"),
            };
            let measured = format!("{measured:.2} {unit}");
            let verdict = if *met { "ok" } else { "MISSED" };
            let _ = writeln!(table, "{name:<64} {:>12} {:>14}  {verdict}", measured.trim(), limit.trim());
        }
        table
    }
}

/// The columns of a phase's table.
type Column = (&'static str, fn(&Figures) -> f64, usize);
const COLUMNS: [Column; 6] = [
    ("turns/s", |figures| figures.turns_per_second, 0),
    ("p50 ms", |figures| figures.p50_ms, 3),
    ("p99 ms", |figures| figures.p99_ms, 3),
    ("CPU µs/turn", |figures| figures.cpu_us_per_turn, 1),
    ("stalls/1000", |figures| figures.stalls_per_1000_turns, 1),
    ("RSS MiB", |figures| figures.rss_mib, 1),
];

/// Who is compared to whom, where both take part.
const RATIOS: [(&str, &str); 8] = [
    (SERVICE, NGINX),
    (SERVICE, PASSTHROUGH),
    (SERVICE, SSE_PROXY),
    (SERVICE, BARE_CLIENT),
    (SERVICE, TOOLLESS),
    (ON_REDIS, SERVICE),
    (REDIS_HISTORY, SERVICE),
    (MYSQL_HISTORY, SERVICE),
];

/// A phase's medians, and the ratios to its references.
pub(crate) fn rounds_table(title: &str, rounds: &Rounds) -> String {
    let mut table = format!("\n{title:<54}");
    for (name, ..) in COLUMNS {
        let _ = write!(table, " {name:>11}");
    }
    table.push('\n');
    for series in &rounds.contenders {
        let _ = write!(table, "  {:<52}", series.name);
        for (_, figure, digits) in COLUMNS {
            let median = rounds.median(series.name, figure).unwrap_or(f64::NAN);
            let _ = write!(table, " {median:>11.digits$}");
        }
        table.push('\n');
    }
    for (name, reference) in RATIOS {
        // Stalls and memory are no ratios.
        let ratios = COLUMNS[..4].iter().map(|(_, figure, _)| rounds.ratio(name, reference, figure));
        let Some(ratios) = ratios.collect::<Option<Vec<f64>>>() else { continue };
        let _ = write!(table, "  {:<52}", format!("{name} ÷ {reference}"));
        for ratio in ratios {
            let _ = write!(table, " {ratio:>10.2}×");
        }
        table.push('\n');
    }
    if let Some(example) = &rounds.wrong_answer {
        let _ = writeln!(table, "  {} wrong answers, such as: {example}", rounds.errors());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounds::Series;
    use crate::targets;

    fn rounds(rates: &[(&'static str, f64)]) -> Rounds {
        let figures = |turns_per_second| Figures {
            turns: 1,
            errors: 0,
            turns_per_second,
            p50_ms: 1e3 / turns_per_second,
            p99_ms: 1.0,
            cpu_us_per_turn: 1.0,
            stalls_per_1000_turns: 0.0,
            rss_mib: 1.0,
        };
        let series = |&(name, rate)| Series { name, rounds: vec![figures(rate)] };
        Rounds { connections: 1, contenders: rates.iter().map(series).collect(), wrong_answer: None }
    }

    #[test]
    fn only_those_who_took_part_are_compared() {
        let table = rounds_table("Turns", &rounds(&[(SERVICE, 100.0), (REDIS_HISTORY, 25.0)]));
        let ratios: Vec<&str> = table.lines().filter(|line| line.contains('÷')).collect();
        let [ratio] = ratios[..] else { panic!("one ratio: {table}") };
        assert!(ratio.trim_start().starts_with(&format!("{REDIS_HISTORY} ÷ {SERVICE}")), "{ratio}");
        let figures: Vec<&str> = ratio.split_whitespace().rev().take(4).collect();
        assert_eq!(figures, ["1.00×", "1.00×", "4.00×", "0.25×"]);
        assert!(!rounds_table("Turns", &rounds(&[(SERVICE, 100.0)])).contains('÷'));
    }

    #[test]
    fn a_missed_target_is_told() {
        let mut report = Report::new();
        assert!(!report.missed() && report.targets_table().is_empty());
        let slow = rounds(&[(SERVICE, 100.0), (REDIS_HISTORY, 1.0)]);
        report.add("storage".to_owned(), &(), targets::storage(&slow, Some(5.0))).expect("figures");
        assert!(report.missed());
        let table = report.targets_table();
        assert_eq!(table.matches("MISSED").count(), 2, "{table}");
    }
}
