//! Fakes that keep the ports' promises, scripted models and tools, and the conformance suites every adapter runs.

pub mod clock;
pub mod conformance;
pub mod history;
#[cfg(test)]
pub(crate) mod house;
pub mod limits;
pub mod llm;
#[cfg(test)]
pub(crate) mod paused;
pub mod samples;
pub mod sessions;
pub mod tasks;
pub mod tools;

pub use self::{
    clock::{FakeClock, FixedRandom, SeqIds},
    history::{HistoryMode, MemoryHistory, MemorySpool},
    limits::{MemoryBypass, MemoryLimiter},
    llm::{Asked, Reply, ScriptedLlm},
    sessions::MemorySessions,
    tasks::{InlineTasks, RecordingObserver, SpawnedTasks},
    tools::{Behaviour, Gate, ScriptedTools},
};
