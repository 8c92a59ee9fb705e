//! The catalogue server as a client sees it: the built binary, over the protocol, on a real MariaDB.

mod arguments;
mod colors;
mod common;
mod http;
mod oracle;
mod outages;
mod protocol;
mod search;
mod start;
