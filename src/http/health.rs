//! How what turns depend on is: asked once for all who want to know at the same time.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chat_domain::ports::health::{Health, HealthCheck, HealthState};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared, join_all},
};

/// A check that takes longer is down: probes of orchestrators do not wait.
const CHECK_PATIENCE: Duration = Duration::from_secs(2);

/// How long an answer is good for. Anybody may ask, without limits, and asking writes into databases.
const KEPT: Duration = Duration::from_secs(1);

/// What readiness looks at.
#[derive(Default)]
pub struct HealthChecks {
    all: Vec<Arc<dyn HealthCheck>>,
    recent: Mutex<Recent>,
}

/// What was found, and when.
#[derive(Clone)]
struct Answer {
    at: Instant,
    healths: Arc<[Health]>,
}

#[derive(Default)]
struct Recent {
    answer: Option<Answer>,
    /// Held by those who wait for it: when all of them have gone away, nobody goes on asking.
    asking: Option<WeakShared<BoxFuture<'static, Answer>>>,
}

impl HealthChecks {
    /// All that turns depend on.
    pub fn new(all: Vec<Arc<dyn HealthCheck>>) -> Self {
        Self { all, recent: Mutex::default() }
    }

    /// How all of it is, or was within the last second.
    pub(super) async fn ask(&self) -> Arc<[Health]> {
        let asking = match self.recent().answer_or_asking(&self.all) {
            Ok(answer) => return answer.healths,
            Err(asking) => asking,
        };
        // Held until the answer is laid down, so that nobody in between finds neither.
        let answer = asking.clone().await;
        let mut recent = self.recent();
        if recent.answer.as_ref().is_none_or(|known| known.at < answer.at) {
            recent.answer = Some(answer.clone());
        }
        answer.healths
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    fn answer_or_asking(&mut self, all: &[Arc<dyn HealthCheck>]) -> Result<Answer, Shared<BoxFuture<'static, Answer>>> {
        if let Some(answer) = self.answer.as_ref().filter(|answer| answer.at.elapsed() < KEPT) {
            return Ok(answer.clone());
        }
        Err(self.asking.as_ref().and_then(WeakShared::upgrade).unwrap_or_else(|| {
            let asking = ask_all(all.to_vec()).boxed().shared();
            self.asking = asking.downgrade();
            asking
        }))
    }
}

async fn ask_all(checks: Vec<Arc<dyn HealthCheck>>) -> Answer {
    let healths = join_all(checks.iter().map(|check| async {
        tokio::time::timeout(CHECK_PATIENCE, check.check()).await.unwrap_or_else(|_| Health {
            name: "unknown".into(),
            state: HealthState::Down,
            since: None,
            last_error: Some("the check itself did not answer".to_owned()),
            backlog: None,
            note: None,
        })
    }))
    .await;
    Answer { at: Instant::now(), healths: healths.into() }
}
