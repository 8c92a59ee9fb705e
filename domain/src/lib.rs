//! What the service is for, without any I/O: sessions and their turns, the agent loop, limits, the archive.
//!
//! Reading order: [`message`] and [`session`] (what there is), [`ports`] (what is needed from outside), [`agent`] (one
//! turn), [`chat`] (the service), [`archive`] (history that never loses), [`admission`] (who may ask how often).
//!
//! Invariants, each held by the code named:
//! - Nothing here does I/O, tells the time, rolls dice or spawns: that is what ports are for. (The manifest's allow-list.)
//! - A turn is stored whole or not at all. ([`ports::sessions::TurnTicket::commit`])
//! - What can be cancelled is cancelled by dropping it; behind the point of no return all runs to its end. ([`chat`])
//! - A tool result is never without its call. ([`message::Round`])
//! - No lock is held across an await.

pub mod admission;
pub mod agent;
pub mod archive;
pub mod chat;
pub mod json;
pub mod message;
pub mod options;
pub mod ports;
pub mod record;
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
