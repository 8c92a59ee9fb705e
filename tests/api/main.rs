//! The API's contract, held against the real binary over real HTTP.
//!
//! Every test starts a service of its own, and a scripted upstream for it to ask; what it needs is in [`scene`].

mod admin;
mod errors;
mod limits;
mod messages;
mod meta;
mod pages;
mod scene;
mod sessions;
mod streaming;
mod upstream;
