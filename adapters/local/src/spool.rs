//! What the archive's database could not take: [`DiskSpool`], which outlives the process, and [`MemorySpool`].

mod disk;
mod memory;

pub use disk::{DISK_BYTES, DiskSpool};
pub use memory::{MEMORY_BYTES, MemorySpool};

use chat_domain::ports::history::SpoolError;

/// The bytes a spool may hold, and holds.
#[derive(Debug)]
struct Budget {
    most: u64,
    used: u64,
    /// What did not fit. Until so much is free, or something as large has fitted, [`Budget::probe`] finds no room, even if a
    /// smaller record would still fit: a turn that is let in must find room for its record when its answer has been paid for.
    wanted: u64,
}

impl Budget {
    fn new(most: u64) -> Self {
        Self { most, used: 0, wanted: 0 }
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), SpoolError> {
        if bytes > self.most.saturating_sub(self.used) {
            self.wanted = bytes;
            return Err(SpoolError::Full);
        }
        self.used += bytes;
        if bytes >= self.wanted {
            self.wanted = 0;
        }
        Ok(())
    }

    fn release(&mut self, bytes: u64) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Whether there is room.
    fn probe(&self) -> Result<(), SpoolError> {
        // What is larger than the whole will never fit: that the spool is empty has to do.
        let wanted = self.wanted.clamp(1, self.most.max(1));
        if wanted > self.most.saturating_sub(self.used) { Err(SpoolError::Full) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_record_that_still_fits_makes_no_room_for_a_large_one() {
        let mut budget = Budget::new(100);
        budget.reserve(50).expect("room");
        assert!(budget.reserve(60).is_err());
        budget.reserve(10).expect("room for this one");
        assert!(budget.probe().is_err());
        budget.release(20);
        budget.probe().expect("room for the large one");
        budget.reserve(60).expect("room");
    }
}
