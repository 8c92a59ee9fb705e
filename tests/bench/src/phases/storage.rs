//! Turns whose sessions, limits and history are kept in databases, beside the same turns with all of it in process.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use super::Stage;
use crate::Failure;
use crate::cli::PhaseName;
use crate::report::{Report, rounds_table};
use crate::rounds::{Contend, Contender, Figures, alternate, median};
use crate::scenery::databases::Keeper;
use crate::service::{Service, WARM_TURNS, answer_check, turns};
use crate::targets::{self, MYSQL_HISTORY, ON_REDIS, REDIS_HISTORY, SERVICE};

/// Sessions that the turns go through.
const SESSIONS: usize = 1_000;

const CONNECTIONS: usize = 64;

/// The pause between two looks at what is spooled.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What takes longer to get out of the spool than this is stuck there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service with its sessions, and where it keeps them.
struct Party {
    contender: Contender,
    // The service ends before its database does.
    service: Service,
    keeper: Keeper,
    /// What the database had been asked when all was warm, and it knew the scripts.
    round_trips_before: u64,
    /// Turns answered since then.
    turns: Cell<usize>,
    spooled: RefCell<Vec<Spooled>>,
}

/// What was not in the database when the load ended, and how long it took to get there.
#[derive(Clone, Copy, Debug, Serialize)]
struct Spooled {
    operations: usize,
    drained_ms: f64,
}

/// What a service has left behind.
#[derive(Debug, Serialize)]
struct Left {
    name: &'static str,
    round_trips_per_turn: Option<f64>,
    archive: Option<Archive>,
}

/// The archive, and what should be there.
#[derive(Debug, Serialize)]
struct Archive {
    messages: usize,
    expected: usize,
    spooled: Vec<Spooled>,
}

impl Contend for Party {
    fn name(&self) -> &'static str {
        self.contender.name
    }

    /// A turn is not done before it is in the database: the time until the spool is empty counts.
    async fn measure(&self, connections: usize, length: Duration) -> Result<(Figures, Option<String>), Failure> {
        let drained = async || {
            if self.keeper.has_archive() {
                let spooled = self.drained().await?;
                self.spooled.borrow_mut().push(spooled);
            }
            Ok(())
        };
        let measured = self.contender.measure_until(connections, length, drained).await?;
        self.turns.update(|turns| turns + measured.0.turns);
        Ok(measured)
    }
}

/// Runs it.
pub(super) async fn run(stage: &Stage<'_>, report: &mut Report) -> Result<(), Failure> {
    let keepers = [
        (SERVICE, Keeper::Process),
        (ON_REDIS, Keeper::redis(false)),
        (REDIS_HISTORY, Keeper::redis(true)),
        (MYSQL_HISTORY, Keeper::mysql()),
    ];
    let mut parties = Vec::new();
    for (number, (name, keeper)) in keepers.into_iter().enumerate() {
        parties.push(Party::new(stage, number, name, keeper).await?);
    }
    let rounds = alternate(&parties, CONNECTIONS, stage.cli.rounds(), stage.cli.round_length()).await?;
    print!("{}", rounds_table(&format!("JSON turns, {CONNECTIONS} connections, kept in"), &rounds));
    report.count_wrong(rounds.errors());
    let left = parties.iter().map(Party::left).collect::<Result<Vec<_>, _>>()?;
    for left in &left {
        print!("{}", left.told());
        report.count_wrong(left.archive.as_ref().map_or(0, |archive| archive.messages.abs_diff(archive.expected)));
    }
    let scripts = left.iter().find(|left| left.name == REDIS_HISTORY).and_then(|left| left.round_trips_per_turn);
    let judged = targets::storage(&rounds, scripts);
    report.add(PhaseName::Storage.name(), &json!({"rounds": rounds, "left": left}), judged)
}

impl Party {
    async fn new(stage: &Stage<'_>, number: usize, name: &'static str, keeper: Keeper) -> Result<Self, Failure> {
        let folder = stage.folder.path().join(format!("storage-{number}"));
        std::fs::create_dir(&folder)?;
        let model = format!("http://{}/v1", stage.upstream);
        let service = Service::start_with(&stage.cli.binary, &folder, &model, &keeper.variables(&folder)).await?;
        let sessions = service.create_sessions(SESSIONS).await?;
        service.warm(&sessions).await?;
        let round_trips_before = keeper.round_trips()?.unwrap_or_default();
        let contender = Contender {
            name,
            address: service.address,
            tree: service.tree(),
            questions: turns(&sessions, CONNECTIONS, false),
            check: answer_check(false),
            log: Some(service.log().to_owned()),
        };
        let (turns, spooled) = (Cell::default(), RefCell::default());
        Ok(Self { contender, service, keeper, round_trips_before, turns, spooled })
    }

    /// Waits until nothing is spooled any more.
    async fn drained(&self) -> Result<Spooled, Failure> {
        let start = Instant::now();
        let operations = self.service.backlog().await?;
        let mut left = operations;
        while left > 0 {
            if start.elapsed() > PATIENCE {
                return Err(format!("{}: {left} operations do not get out of the spool", self.name()).into());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            left = self.service.backlog().await?;
        }
        Ok(Spooled { operations, drained_ms: start.elapsed().as_secs_f64() * 1e3 })
    }

    fn left(&self) -> Result<Left, Failure> {
        let turns = self.turns.get();
        let per_turn = |now: u64| now.saturating_sub(self.round_trips_before) as f64 / turns as f64;
        let archive = self.keeper.has_archive().then(|| {
            let spooled = self.spooled.borrow().clone();
            // A question and an answer each, and no prompt.
            let expected = 2 * (SESSIONS * WARM_TURNS + turns);
            Ok::<_, Failure>(Archive { messages: self.keeper.archived()?, expected, spooled })
        });
        Ok(Left {
            name: self.name(),
            round_trips_per_turn: self.keeper.round_trips()?.map(per_turn),
            archive: archive.transpose()?,
        })
    }
}

impl Left {
    fn told(&self) -> String {
        let Some(round_trips) = self.round_trips_per_turn else { return String::new() };
        let mut told = format!("  {}: {round_trips:.2} round trips a turn", self.name);
        if let Some(archive) = &self.archive {
            told += &format!("; {archive}", archive = archive.told());
        }
        told + "\n"
    }
}

impl Archive {
    fn told(&self) -> String {
        let Self { messages, expected, spooled } = self;
        let typical = |figure: fn(&Spooled) -> f64| median(spooled.iter().map(figure)).unwrap_or_default();
        let most = spooled.iter().map(|spooled| spooled.operations).max().unwrap_or_default();
        format!(
            "{messages} of {expected} messages archived; spooled at a round's end: {:.0} operations (at most {most}), \
             written within {:.0} ms",
            typical(|spooled| spooled.operations as f64),
            typical(|spooled| spooled.drained_ms),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_an_archive_lacks() {
        let spooled = |operations, drained_ms| Spooled { operations, drained_ms };
        let spooled = vec![spooled(0, 1.0), spooled(40, 90.0), spooled(2, 8.0)];
        let archive = Some(Archive { messages: 198, expected: 200, spooled });
        let left = Left { name: MYSQL_HISTORY, round_trips_per_turn: Some(6.004), archive };
        assert_eq!(
            left.told(),
            "  chat-agent, MySQL's history: 6.00 round trips a turn; 198 of 200 messages archived; \
             spooled at a round's end: 2 operations (at most 40), written within 8 ms\n"
        );
        assert_eq!(Left { name: SERVICE, round_trips_per_turn: None, archive: None }.told(), "");
    }
}
