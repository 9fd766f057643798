//! What a role needs to do its work, and whether it is there. Each answer is asked for anew, so it is never an old one.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::{BoxFuture, FutureExt as _, join_all};

/// Whatever takes longer to answer is as good as away.
const ANSWER_MAX: Duration = Duration::from_secs(3);

type Ask = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// All that one process needs. Clones are the same one.
#[derive(Clone, Default)]
pub struct Health {
    needs: Arc<Mutex<Vec<(&'static str, Ask)>>>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}

/// How one need stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub need: &'static str,
    /// Why it is not there.
    pub fault: Option<String>,
}

impl Health {
    /// `ask` fails with a sentence while `need` is not there.
    pub fn needs<F>(&self, need: &'static str, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let ask: Ask = Arc::new(move || ask().boxed());
        self.needs.lock().expect("nobody panics while holding the needs").push((need, ask));
    }

    /// Asks for all of them at once.
    pub async fn answers(&self) -> Vec<Answer> {
        self.answers_within(ANSWER_MAX).await
    }

    async fn answers_within(&self, at_most: Duration) -> Vec<Answer> {
        let needs = self.needs.lock().expect("nobody panics while holding the needs").clone();
        let answers = needs.into_iter().map(|(need, ask)| async move {
            let asked = tokio::time::timeout(at_most, ask()).await;
            let asked = asked.unwrap_or_else(|_| Err(anyhow!("it did not answer within {at_most:?}")));
            Answer { need, fault: asked.err().map(|error| format!("{error:#}")) }
        });
        join_all(answers).await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn every_need_is_asked_for_and_none_for_ever() {
        let health = Health::default();
        health.needs("PostgreSQL", || ready(Ok(())));
        health.needs("BuildKit", || ready(Err(anyhow!("connection refused"))));
        health.needs("Kubernetes", pending);
        let faults: Vec<_> = health
            .answers_within(Duration::from_millis(20))
            .await
            .into_iter()
            .map(|it| (it.need, it.fault))
            .collect();
        let expected = [
            ("PostgreSQL", None),
            ("BuildKit", Some("connection refused".to_owned())),
            ("Kubernetes", Some("it did not answer within 20ms".to_owned())),
        ];
        assert_eq!(faults, expected);
    }
}
