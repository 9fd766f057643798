//! Where a build stands in the queue, for those who wait for it: its place, what comes before it, why it waits and for how
//! long, if builds take as long as they took before.

mod round;

use std::time::Duration;

use anyhow::Result;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use self::round::{App, Place, Round, Running, Team, Turn};

/// So many of those ahead are named.
const NAMED_MAX: usize = 3;
/// So many builds that wait are looked at; nobody reads a larger number exactly.
const COUNTED_MAX: i64 = 5000;
/// So many of an application's newest builds say how long its next one takes.
const RECENT: i64 = 10;
/// What an application's builds are taken to last when nothing is known of any.
const UNKNOWN_S: f64 = 60.0;
/// One that takes longer than usual is taken to end soon.
const OVERDUE_S: f64 = 1.0;

/// A build that waits for a builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// From 1, over all applications, in the order in which builds will be taken.
    pub position: i64,
    /// All builds that wait, this one included.
    pub waiting: i64,
    /// All builds that run.
    pub running: i64,
    /// The first of those ahead of it that wait too.
    pub ahead: Vec<Ahead>,
    pub why: Why,
    /// From what builds took before; `None`: too little is known.
    pub starts_in: Option<Duration>,
    /// Attempts that were begun before: a fault of the platform ended them.
    pub attempt: i32,
    pub attempt_max: i32,
    /// What ended the last of them; a builder that was shut down says nothing.
    pub error: Option<String>,
    /// It is not taken before this has gone by.
    pub pause: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    pub app: String,
    pub number: i32,
}

/// What a build waits for before all else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The pause after a fault of the platform.
    Pause,
    /// An older build of its branch, which runs or waits.
    Branch { number: i32 },
    /// A build of its application: so many run at a time.
    App { number: i32, limit: i32 },
    /// Any build of its team: so many run at a time.
    Team { name: String, limit: i32 },
    /// Others whose turn comes first.
    Turn,
    /// A free builder: its turn is next.
    Builder,
}

impl Why {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Why::Pause => "pause",
            Why::Branch { .. } => "branch",
            Why::App { .. } => "app",
            Why::Team { .. } => "team",
            Why::Turn => "turn",
            Why::Builder => "builder",
        }
    }

    /// The build of its own application that it waits for.
    pub const fn number(&self) -> Option<i32> {
        match self {
            Why::Branch { number } | Why::App { number, .. } => Some(*number),
            Why::Pause | Why::Team { .. } | Why::Turn | Why::Builder => None,
        }
    }
}

/// The build's own job.
#[derive(FromRow)]
struct Own {
    app_id: Uuid,
    /// Of its application, those that are taken before it.
    before: i64,
    branch_held_by: Option<i32>,
    app_held_by: Option<i32>,
    attempt: i32,
    attempt_max: i32,
    error: Option<String>,
    pause_ms: i64,
}

/// An application of which builds wait or run.
#[derive(FromRow)]
struct InLine {
    app_id: Uuid,
    name: String,
    weight: i32,
    build_limit: i32,
    served: f64,
    served_at: f64,
    team: String,
    team_weight: i32,
    team_limit: Option<i32>,
    team_served: f64,
    team_served_at: f64,
    clock: f64,
    round: f64,
    now: f64,
    waiting: i64,
    /// For how many seconds each of those that run does so.
    running_for: Vec<f64>,
    takes: Option<f64>,
}

/// `None`: it does not wait.
pub async fn of_build(db: &PgPool, build_id: Uuid) -> Result<Option<Standing>> {
    let Some(own) = own(db, build_id).await? else { return Ok(None) };
    let line = line(db).await?;
    let Some((round, places)) = round_of(&line, &own) else { return Ok(None) };
    let Some(own_place) = line.iter().position(|it| it.app_id == own.app_id).map(|index| places[index])
    else {
        return Ok(None);
    };
    let now = line.first().map_or(0.0, |it| it.now);
    let played = round::play(round.clone(), own_place, usize::try_from(own.before).unwrap_or(0), now);
    let taken = played.as_ref().map(|it| it.taken.as_slice()).unwrap_or_default();
    let is_known = line.iter().any(|it| it.takes.is_some()) && !round.running.is_empty();
    let pause = Duration::from_millis(u64::try_from(own.pause_ms).unwrap_or_default());
    let starts_in =
        played.as_ref().filter(|_| is_known).map(|it| Duration::from_secs_f64(it.starts_in).max(pause));
    let mut ahead = Vec::new();
    for (index, of) in taken.iter().take(NAMED_MAX).enumerate() {
        let nth = taken[..index].iter().filter(|it| *it == of).count();
        let app = places.iter().position(|it| it == of).map(|index| &line[index]);
        if let Some(app) = app
            && let Some(number) = nth_waiting(db, app.app_id, nth).await?
        {
            ahead.push(Ahead { app: app.name.clone(), number });
        }
    }
    let position = i64::try_from(taken.len()).unwrap_or(i64::MAX).saturating_add(1);
    Ok(Some(Standing {
        position,
        waiting: line.iter().map(|it| it.waiting).sum::<i64>().max(position),
        running: i64::try_from(round.running.len()).unwrap_or(i64::MAX),
        ahead,
        why: why(&own, &round.teams[own_place.0], own_place.1, position),
        starts_in,
        attempt: own.attempt,
        attempt_max: own.attempt_max,
        error: own.error,
        pause,
    }))
}

fn why(own: &Own, team: &Team, of_app: usize, position: i64) -> Why {
    let app = &team.apps[of_app];
    let running: usize = team.apps.iter().map(|app| app.running).sum();
    let limit = |limit: usize| i32::try_from(limit).unwrap_or(i32::MAX);
    match (own.branch_held_by, own.app_held_by, team.limit) {
        _ if own.pause_ms > 0 => Why::Pause,
        (Some(number), _, _) => Why::Branch { number },
        (None, Some(number), _) if app.running >= app.limit => Why::App { number, limit: limit(app.limit) },
        (None, _, Some(most)) if running >= most => Why::Team { name: team.name.clone(), limit: limit(most) },
        _ if position > 1 => Why::Turn,
        _ => Why::Builder,
    }
}

async fn own(db: &PgPool, build_id: Uuid) -> Result<Option<Own>> {
    Ok(sqlx::query_as(
        "select own.app_id, own.attempt, own.attempt_max, own.error,
             (select count(*) from job q where q.app_id = own.app_id and q.state = 'queued'
              and (q.priority, q.run_at, q.id) < (own.priority, own.run_at, own.id)) as before,
             (select b.number from job r join build b on b.id = r.subject
              where r.kind = own.kind and r.lock_key = own.lock_key
                and (r.state = 'running' or r.state = 'queued' and r.id < own.id)
              order by b.number limit 1) as branch_held_by,
             (select min(b.number) from job r join build b on b.id = r.subject
              where r.app_id = own.app_id and r.seat is not null) as app_held_by,
             greatest(0, ceil(extract(epoch from own.run_at - now()) * 1000))::bigint as pause_ms
         from job own where own.state = 'queued' and own.subject = $1 and own.kind = 'build'",
    )
    .bind(build_id)
    .fetch_optional(db)
    .await?)
}

async fn line(db: &PgPool) -> Result<Vec<InLine>> {
    Ok(sqlx::query_as(
        "with waiting as (
             select app_id, count(*) as count from (
                 select app_id from job where state = 'queued' and app_id is not null limit $1) counted
             group by app_id
         ), running as (
             select j.app_id, array_agg(extract(epoch from now() - coalesce(b.started_at, now()))::float8) as lasting
             from job j left join build b on b.id = j.subject where j.seat is not null group by j.app_id
         )
         select t.app_id, a.name, t.weight, t.build_limit, t.served, extract(epoch from t.served_at)::float8 as served_at,
             t.team, g.weight as team_weight, g.build_limit as team_limit, g.served as team_served,
             extract(epoch from g.served_at)::float8 as team_served_at, g.clock,
             (select max(began) from team) as round, extract(epoch from now())::float8 as now,
             coalesce(waiting.count, 0) as waiting, coalesce(running.lasting, '{}') as running_for,
             (select percentile_cont(0.5) within group (order by extract(epoch from finished_at - started_at)::float8)
              from (select started_at, finished_at from build where app_id = t.app_id and state = 'succeeded'
                    order by number desc limit $2) recent) as takes
         from waiting full join running using (app_id)
         join turn t using (app_id) join team g on g.name = t.team join app a on a.id = t.app_id
         order by t.team, a.name",
    )
    .bind(COUNTED_MAX)
    .bind(RECENT)
    .fetch_all(db)
    .await?)
}

/// The build that is taken after `before` others of its application.
async fn nth_waiting(db: &PgPool, app_id: Uuid, before: usize) -> Result<Option<i32>> {
    Ok(sqlx::query_scalar(
        "select b.number from job q join build b on b.id = q.subject where q.app_id = $1 and q.state = 'queued'
         order by q.priority, q.run_at, q.id offset $2 limit 1",
    )
    .bind(app_id)
    .bind(i64::try_from(before)?)
    .fetch_optional(db)
    .await?)
}

/// The round as it is now, and where in it each application of the line is. The line is sorted by team.
fn round_of(line: &[InLine], own: &Own) -> Option<(Round, Vec<Place>)> {
    let known: Vec<f64> = line.iter().filter_map(|it| it.takes).collect();
    let usual = if known.is_empty() { UNKNOWN_S } else { known.iter().sum::<f64>() / known.len() as f64 };
    let mut round = Round { clock: line.first()?.round, ..Round::default() };
    let mut places = Vec::with_capacity(line.len());
    for it in line {
        if round.teams.last().is_none_or(|team| team.name != it.team) {
            round.teams.push(Team {
                name: it.team.clone(),
                limit: it.team_limit.and_then(|limit| usize::try_from(limit).ok()),
                turn: turn(it.team_weight, it.team_served, it.team_served_at),
                clock: it.clock,
                apps: Vec::new(),
            });
        }
        let of_team = round.teams.len() - 1;
        let place = (of_team, round.teams[of_team].apps.len());
        let takes = it.takes.unwrap_or(usual);
        // It waits, even if it is behind all that were counted.
        let least = if it.app_id == own.app_id { own.before + 1 } else { 0 };
        round.teams[of_team].apps.push(App {
            limit: usize::try_from(it.build_limit).unwrap_or(1),
            turn: turn(it.weight, it.served, it.served_at),
            waiting: usize::try_from(it.waiting.max(least)).unwrap_or(0),
            running: it.running_for.len(),
            takes,
        });
        let left = |lasting: &f64| Running { of: place, ends: (takes - lasting).max(OVERDUE_S) };
        round.running.extend(it.running_for.iter().map(left));
        places.push(place);
    }
    Some((round, places))
}

fn turn(weight: i32, served: f64, served_at: f64) -> Turn {
    Turn { weight: f64::from(weight), served, served_at }
}

#[cfg(test)]
mod tests;
