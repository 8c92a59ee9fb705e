//! The pages as their readers see them: in a real browser, against the real binary.
//!
//! Every test has a browser of its own ([`browser`]) and a service of its own ([`scene`]). Whatever a page writes on its
//! console as an error fails the test, unless the test has said that it is to come.

mod admin;
mod archive;
mod browser;
mod chat;
mod disk;
mod export;
mod front;
mod interruptions;
mod keyboard;
mod languages;
mod looks;
mod markdown;
mod metrics;
mod refusals;
mod runtime;
mod scene;
mod screenshots;
mod streams;
mod tabs;
mod texts;
mod themes;
