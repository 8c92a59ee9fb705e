//! How long things take, counted in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the latency buckets in milliseconds. A turn takes from one (a scripted model) to minutes (a chain of
/// tools); steps of about 1.5 keep percentiles within a fifth.
pub(super) const BUCKETS_MS: [f64; 24] = [
    1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 25.0, 40.0, 60.0, 100.0, 150.0, 250.0, 400.0, 600.0, 1_000.0, 1_500.0,
    2_500.0, 5_000.0, 10_000.0, 20_000.0, 45_000.0, 100_000.0, 300_000.0,
];

/// Durations, counted without locks.
#[derive(Default)]
pub(super) struct Histogram {
    /// The last one holds what is above all bounds.
    pub(super) buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(super) fn record(&self, took: Duration) {
        let millis = took.as_secs_f64() * 1000.0;
        self.buckets[BUCKETS_MS.partition_point(|bound| *bound < millis)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Relaxed)).sum()
    }

    pub(super) fn sum_ms(&self) -> f64 {
        self.sum_us.load(Relaxed) as f64 / 1000.0
    }

    pub(super) fn average_ms(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => self.sum_ms() / count as f64,
        }
    }

    /// The value below which `share` of all lie, evenly spread within its bucket.
    pub(super) fn percentile_ms(&self, share: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let mut left = counts.iter().sum::<u64>() as f64 * share;
        if left == 0.0 {
            return 0.0;
        }
        for (index, count) in counts.into_iter().enumerate() {
            let count = count as f64;
            if count >= left {
                let low = if index == 0 { 0.0 } else { BUCKETS_MS[index - 1] };
                let high = BUCKETS_MS.get(index).copied().unwrap_or(low);
                return low + (high - low) * left / count;
            }
            left -= count;
        }
        BUCKETS_MS[BUCKETS_MS.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_within_their_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.percentile_ms(0.99), 0.0);
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let (p50, p99) = (histogram.percentile_ms(0.5), histogram.percentile_ms(0.99));
        assert!((40.0..=60.0).contains(&p50) && (60.0..=100.0).contains(&p99), "{p50} {p99}");
        assert_eq!(histogram.average_ms(), 50.5);
    }
}
