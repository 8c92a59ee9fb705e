//! Redis behind the chat's ports, against real servers.

mod archive;
mod conformance;
mod contents;
mod faults;
mod health;
mod line;
mod load;
mod patience;
mod replicas;
mod restarts;
mod scene;
mod topologies;
mod trips;
