//! How many files this process may have open: every connection is one, a client's as well as a model's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For what is no client's connection: logs, databases, tool servers, connections to models that wait to be used again.
const OTHERS: usize = 512;

/// How many clients may be connected, of those that are configured: at most one for every two files, since the turn of
/// each may need a connection to a model. The soft limit is raised as far as that needs and the hard one allows: shells
/// and containers set it for programs that know no better (1024, mostly), and a service that has run out of files can
/// neither accept nor ask a model.
pub(super) fn room_for(configured: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = configured.saturating_mul(2).saturating_add(OTHERS);
    let maximum = limit.maximum.map_or(wanted, at_most);
    let mut current = limit.current.map_or(wanted, at_most);
    let raised = wanted.min(maximum);
    let soft = Rlimit { current: u64::try_from(raised).ok(), maximum: limit.maximum };
    if raised > current && setrlimit(Resource::Nofile, soft).is_ok() {
        current = raised;
    }
    let room = clients(current).min(configured);
    if room < configured {
        tracing::warn!(
            event = "few_files",
            files = current,
            max_connections = room,
            configured,
            "too few open files are allowed for MAX_CONNECTIONS: raise the limit (ulimit -n) or lower MAX_CONNECTIONS"
        );
    }
    room
}

fn at_most(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How many clients these files are enough for.
fn clients(files: usize) -> usize {
    (files.saturating_sub(OTHERS) / 2).max(files / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_files_are_for_what_answers() {
        assert_eq!(clients(20_512), 10_000);
        assert_eq!(clients(1024), 256);
        assert_eq!(clients(256), 64, "few files are no reason to serve nobody");
        assert_eq!(clients(0), 1);
    }
}
