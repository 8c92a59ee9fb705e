//! What goes on beside the turns: leases are renewed, hints are followed, the index is swept.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use chat_domain::{ports::sessions::Lost, session::SessionId};
use fred::types::{Message, Value};
use futures_util::{
    StreamExt,
    future::join_all,
    stream::{self, FuturesUnordered},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use uuid::Uuid;

use super::{Store, millis, registry::Turn};
use crate::{
    client::{Command, PATIENCE},
    error::Error,
    scripts,
};

/// Sessions that have expired are taken out of the index so often.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Sessions that a sweep asks for at once.
const SWEPT_AT_ONCE: i64 = 200;
/// Leases that are renewed at once: what one connection carries without keeping others waiting.
const RENEWED_AT_ONCE: usize = 256;

/// Renews the leases of all running turns, three times in a lease's time, and looks at once after the turns that Redis
/// tells of. Ends with the store.
pub(super) async fn keep_leases(store: Weak<Store>, mut messages: Receiver<Message>, lease: Duration) {
    let mut due = interval((lease / 3).max(Duration::from_millis(10)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Beside the rest: one turn's lease must not wait for another's answer.
    let mut looking = FuturesUnordered::new();
    let mut renewing = FuturesUnordered::new();
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(store) = store.upgrade() else { return };
                match message {
                    Ok(message) => looking.extend(hinted(&store, &message)),
                    // Some were missed: whoever waits asks, and the next renewal finds out the rest.
                    Err(RecvError::Lagged(_)) => store.registry.all().iter().for_each(|turn| turn.news.notify_one()),
                    Err(RecvError::Closed) => return,
                }
            }
            _ = due.tick() => {
                let Some(store) = store.upgrade() else { return };
                // While Redis is slow, one round of renewals is enough.
                if renewing.is_empty() {
                    renewing.push(renew_all(store));
                }
            }
            Some(()) = looking.next() => {}
            Some(()) = renewing.next() => {}
        }
    }
}

/// Follows a hint: one who waits asks for its turn, one that runs asks whether it still may.
fn hinted(store: &Arc<Store>, message: &Message) -> Option<impl Future<Output = ()> + use<>> {
    let number: Uuid = message.value.as_str()?.parse().ok()?;
    let turn = store.registry.get(number)?;
    if turn.is_running() {
        return Some(renew(store.clone(), turn));
    }
    turn.news.notify_one();
    None
}

async fn renew_all(store: Arc<Store>) {
    let running = store.registry.all().into_iter().filter(|turn| turn.is_running());
    let renewals = stream::iter(running).map(|turn| renew(store.clone(), turn));
    renewals.buffer_unordered(RENEWED_AT_ONCE).collect::<()>().await;
}

async fn renew(store: Arc<Store>, turn: Arc<Turn>) {
    let renew = store.script(&scripts::RENEW, turn.session).arg(turn.ticket.as_str());
    match store.redis.run(renew.arg(millis(store.policy.lease))).await {
        Ok(answer) => match answer.as_str().as_deref() {
            Some("deleted") => turn.lose(Lost::Deleted),
            Some("fenced") => turn.lose(Lost::FencedOff),
            _ => {}
        },
        // The commit will tell.
        Err(error) => tracing::debug!(error = %error, "a turn's lease cannot be renewed yet"),
    }
}

/// Takes sessions that have expired out of the index, on one replica at a time. Ends with the store.
pub(super) async fn sweep_index(store: Weak<Store>) {
    let mut due = interval(SWEEP_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let Some(store) = store.upgrade() else { return };
        match sweep(&store).await {
            Ok(0) => {}
            Ok(swept) => tracing::debug!(swept, "sessions have expired"),
            Err(error) => tracing::debug!(error = %error, "expired sessions cannot be looked for"),
        }
    }
}

/// Looks through the index, unless somebody else is at it; tells how many had expired. Begins with the oldest, which are
/// the likeliest to have, and where the index is too long for one sweep goes on where the last one, whoever's, ended.
async fn sweep(store: &Store) -> Result<usize, Error> {
    let Store { redis, .. } = store;
    // It is over by itself before the next is due.
    let only = Command::on("SET", redis.keys.sweep()).arg(&*redis.replica).arg("NX").arg("PX");
    if redis.run(only.arg(millis(SWEEP_EVERY) - 1_000)).await?.is_null() {
        return Ok(0);
    }
    let end = Instant::now() + SWEEP_EVERY - Duration::from_secs(2);
    let mut place = redis.run(Command::on("GET", redis.keys.swept())).await?.as_i64().unwrap_or_default();
    let mut swept = 0;
    while Instant::now() < end {
        // New sessions come in at the other end: they move nothing here.
        let last = place.saturating_add(SWEPT_AT_ONCE - 1);
        let ids = redis.run(Command::on("ZREVRANGE", redis.keys.index()).arg(place).arg(last)).await?.into_array();
        if ids.is_empty() {
            place = 0;
            break;
        }
        let ids: Vec<String> = ids.iter().filter_map(Value::as_string).collect();
        let live = join_all(ids.iter().map(|id| exists(store, id))).await;
        let mut dead = Vec::new();
        for (id, is_live) in ids.into_iter().zip(live) {
            if is_live? {
                place += 1;
            } else {
                dead.push(id);
            }
        }
        swept += dead.len();
        store.forget(dead, Instant::now() + PATIENCE).await?;
        // Between requests, not before them.
        sleep(Duration::from_millis(5)).await;
    }
    redis.run(Command::on("SET", redis.keys.swept()).arg(place)).await?;
    Ok(swept)
}

async fn exists(store: &Store, id: &str) -> Result<bool, Error> {
    let Ok(id) = id.parse::<SessionId>() else { return Ok(false) };
    let [session, ..] = store.redis.keys.session(id);
    let exists = store.redis.run(Command::on("EXISTS", session).in_lane_of(&id)).await?;
    Ok(exists != Value::from(0i64))
}
