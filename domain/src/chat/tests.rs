//! The service over fakes. Memory and archive are asked directly, so that what is left behind shows.

mod dropped;
mod failing;
mod sessions;
mod turns;
