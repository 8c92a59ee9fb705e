//! The counters in Prometheus's text format.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, PoisonError, RwLock, atomic::Ordering::Relaxed},
};

use super::{
    Calls,
    histogram::{BUCKETS_MS, Histogram},
};

/// Writes Prometheus's text format. In the older dialect a counter's name ends in `_total` in its `TYPE` line too, in
/// OpenMetrics only in its samples.
pub(super) struct Text {
    pub(super) out: String,
    pub(super) open_metrics: bool,
}

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let suffix = if kind == "counter" && !self.open_metrics { "_total" } else { "" };
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
    }

    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        let suffix = if kind == "counter" { "_total" } else { "" };
        let _ = writeln!(self.out, "{name}{suffix} {value}");
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
        self.head(name, "counter", help);
        for (value, count) in values {
            let _ = writeln!(self.out, "{name}_total{{{label}=\"{}\"}} {count}", escape(value));
        }
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, label: &str, values: &BTreeMap<String, u64>) {
        self.head(name, "gauge", help);
        for (value, number) in values {
            let _ = writeln!(self.out, "{name}{{{label}=\"{}\"}} {number}", escape(value));
        }
    }

    pub(super) fn calls(
        &mut self,
        name: &str,
        label: &str,
        help: &str,
        family: &RwLock<BTreeMap<Arc<str>, Arc<Calls>>>,
    ) {
        let family = family.read().unwrap_or_else(PoisonError::into_inner);
        let failed = family.iter().map(|(key, calls)| (key.to_string(), calls.failed.load(Relaxed))).collect();
        let all: Vec<_> = family.iter().map(|(key, calls)| (label, &**key, &calls.latency)).collect();
        self.histograms(&format!("{name}_duration_seconds"), help, all);
        self.counter(&format!("{name}_failures"), &format!("{help} that failed"), label, &failed);
    }

    pub(super) fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        all: impl IntoIterator<Item = (&'a str, &'a str, &'a Histogram)>,
    ) {
        self.head(name, "histogram", help);
        for (label, value, histogram) in all {
            let label = if label.is_empty() { String::new() } else { format!("{label}=\"{}\"", escape(value)) };
            let comma = if label.is_empty() { "" } else { "," };
            let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
            let mut count = 0;
            for (index, bucket) in histogram.buckets.iter().enumerate() {
                count += bucket.load(Relaxed);
                let bound = BUCKETS_MS.get(index).map_or("+Inf".to_owned(), |bound| (bound / 1000.0).to_string());
                let _ = writeln!(self.out, "{name}_bucket{{{label}{comma}le=\"{bound}\"}} {count}");
            }
            let sum = histogram.sum_ms() / 1000.0;
            let _ = writeln!(self.out, "{name}_sum{braces} {sum}\n{name}_count{braces} {count}");
        }
    }
}

fn escape(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
