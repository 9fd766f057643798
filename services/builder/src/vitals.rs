//! What a builder tells of itself: whether a BuildKit is there, how each of them stands, and each build in numbers.

use std::sync::Arc;

use anyhow::ensure;
use domain::state::BuildState;
use host::admin::Vitals;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use uuid::Uuid;

use crate::Builder;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct At {
    daemon: String,
}

#[derive(Clone, Debug, Default)]
struct Daemons {
    well: Family<At, Gauge>,
    active: Family<At, Gauge>,
    spilled: Family<At, Gauge>,
    lost: Family<At, Gauge>,
    set_aside: Family<At, Gauge>,
}

pub(crate) fn tell(vitals: &Vitals, builder: &Arc<Builder>) {
    let asked = builder.clone();
    vitals.health.needs("BuildKit", move || {
        let away: Vec<String> =
            asked.pool.seen().filter(|it| !it.is_well).map(|it| it.name.to_owned()).collect();
        let is_any = asked.pool.seen().any(|it| it.is_well);
        async move {
            ensure!(is_any, "{} can build nothing", away.join(", "));
            Ok(())
        }
    });
    let daemons = Daemons::default();
    let all = daemons.clone();
    let metrics = &vitals.metrics;
    metrics.register("buildkit_up", "Whether a BuildKit can build", all.well);
    metrics.register("buildkit_builds", "Builds of this builder at a BuildKit", all.active);
    metrics.register("buildkit_spilled", "Builds that it took over from another one", all.spilled);
    metrics.register("buildkit_lost", "Builds during which it went away", all.lost);
    metrics.register("buildkit_set_aside", "How often its cache was damaged", all.set_aside);
    let builder = builder.clone();
    metrics.before_each_answer(move || {
        for it in builder.pool.seen() {
            let at = At { daemon: it.name.to_owned() };
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            daemons.well.get_or_create(&at).set(i64::from(it.is_well));
            daemons.active.get_or_create(&at).set(i64::try_from(it.active).unwrap_or(i64::MAX));
            daemons.spilled.get_or_create(&at).set(count(it.spilled));
            daemons.lost.get_or_create(&at).set(count(it.lost));
            daemons.set_aside.get_or_create(&at).set(count(it.set_aside));
        }
        std::future::ready(())
    });
}

/// After an attempt: if the build has ended with it, how. Nobody waits for this. Says whether it succeeded.
pub(crate) async fn count(builder: &Builder, build_id: Uuid) -> bool {
    let figures = match store::figures::of_build(&builder.db, build_id).await {
        Ok(Some(figures)) if figures.took.is_some() => figures,
        Ok(_) => return false,
        Err(error) => {
            tracing::debug!("counting a build: {error:#}");
            return false;
        }
    };
    let numbers = &builder.numbers;
    numbers.ended(&figures.state, &figures.reason, figures.waited, figures.took);
    numbers.steps(figures.steps, figures.cached_steps);
    numbers.made(figures.image_bytes);
    numbers.logged(figures.log_bytes);
    figures.state == BuildState::Succeeded.as_str()
}
