//! Traces, from the outside: the real binary, a collector of the test's own, a scripted model and scripted tools.
//!
//! Needs the feature `otel`: `cargo test --workspace --features otel --test tracing`.

mod collector;
mod contents;
mod failures;
mod outages;
mod propagation;
mod scene;
mod spans;
