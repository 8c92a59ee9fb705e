//! The adapter against servers that behave and servers that do not.

mod conformance;
mod faults;
mod http;
mod processes;
mod raw;
mod scene;
mod trouble;
mod wire;
