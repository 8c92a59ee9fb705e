//! Who is not limited, in Redis: [`RedisBypass`].

use std::{
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::Duration,
};

use async_trait::async_trait;
use chat_domain::{
    admission::{NetworkSet, parse_network, show_network},
    ports::{BoxError, limits::BypassList},
};
use fred::types::Value;
use ipnet::IpNet;
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    client::{Command, Inner, PATIENCE},
    error::Error,
};

/// The list is read anew so often, whether or not anything was told: changes are promised within the second.
const READ_EVERY: Duration = Duration::from_millis(700);

/// A set in Redis that every replica keeps a snapshot of. While Redis is away, the last one that was read holds.
pub struct RedisBypass(Arc<List>);

struct List {
    redis: Arc<Inner>,
    known: RwLock<Arc<NetworkSet>>,
}

impl RedisBypass {
    pub(crate) fn new(redis: Arc<Inner>) -> Self {
        let list = Arc::new(List { redis, known: RwLock::default() });
        list.redis.runtime.spawn(follow(Arc::downgrade(&list)));
        Self(list)
    }
}

/// Reads the list when it is told of a change, and every now and then. Ends with the list.
async fn follow(list: Weak<List>) {
    let mut due = interval(READ_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let Some((channel, mut messages)) = list.upgrade().map(|list| (list.redis.keys.bypass(), list.redis.messages()))
    else {
        return;
    };
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) if *message.channel != *channel => continue,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            },
            _ = due.tick() => {}
        }
        let Some(list) = list.upgrade() else { return };
        if let Err(error) = list.read(Instant::now() + PATIENCE).await {
            tracing::debug!(error = %error, "the bypass list cannot be read: the last one known holds");
        }
    }
}

impl List {
    async fn read(&self, deadline: Instant) -> Result<Arc<NetworkSet>, Error> {
        let members = self.redis.run(Command::on("SMEMBERS", self.redis.keys.bypass()).by(deadline)).await?;
        // What an operator's own hand put there and cannot be read lets nobody pass.
        let networks = members.into_array().into_iter().filter_map(|member| parse_network(&member.as_str()?).ok());
        let known: Arc<NetworkSet> = Arc::new(networks.collect());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known.clone();
        Ok(known)
    }

    /// Changes the set, sees to it that this replica knows, and tells the others.
    async fn change(&self, name: &'static str, network: IpNet) -> Result<Value, Error> {
        let (key, deadline) = (self.redis.keys.bypass(), Instant::now() + PATIENCE);
        let change = Command::on(name, key.as_str()).arg(show_network(&network));
        let changed = self.redis.run(change.by(deadline)).await?;
        // It is done: what comes now happens by itself as well, within the second.
        let _ = self.read(deadline).await;
        let _ = self.redis.run(Command::on("PUBLISH", key).arg("changed").by(deadline)).await;
        Ok(changed)
    }
}

#[async_trait]
impl BypassList for RedisBypass {
    fn contains(&self, address: IpAddr) -> bool {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.contains(address)
    }

    async fn list(&self) -> Result<Vec<IpNet>, BoxError> {
        Ok(self.0.read(Instant::now() + PATIENCE).await?.list())
    }

    async fn add(&self, network: IpNet) -> Result<(), BoxError> {
        self.0.change("SADD", network).await?;
        Ok(())
    }

    async fn remove(&self, network: IpNet) -> Result<bool, BoxError> {
        // Sent again after an answer that was lost, it finds nothing any more: then it is gone, whatever is answered.
        Ok(self.0.change("SREM", network).await? != Value::from(0i64))
    }
}
