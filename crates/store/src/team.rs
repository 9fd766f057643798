//! Teams and applications as those who share the builders: each with a weight and a limit of builds that run at a time.

use anyhow::Result;
use domain::job::BuildPolicy;
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use crate::{Word, moved};

/// The team of an application of which nothing else was said.
pub const DEFAULT: &str = "default";
/// Of weights and limits.
pub const NUMBER_MAX: i32 = 1000;

#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Team {
    pub name: String,
    /// How many turns it gets for one turn of a team of weight 1.
    pub weight: i32,
    /// `None`: as many of its builds run as there are builders.
    pub build_limit: Option<i32>,
    pub apps: i64,
    pub waiting: i64,
    pub running: i64,
}

/// By name, with what waits and runs of each.
pub async fn list(db: &PgPool) -> Result<Vec<Team>> {
    Ok(sqlx::query_as(
        "select name, weight, build_limit, (select count(*) from turn where team = name) as apps,
             (select count(*) from job join turn using (app_id) where team = name and state = 'queued') as waiting,
             (select count(*) from job join turn using (app_id) where team = name and state = 'running') as running
         from team order by name",
    )
    .fetch_all(db)
    .await?)
}

/// Makes or changes a team; what is left out stays. `Some(None)`: no limit.
/// Wake [`domain::job::JobKind::Build`] after the commit.
pub async fn set(
    conn: &mut PgConnection,
    name: &str,
    weight: Option<i32>,
    build_limit: Option<Option<i32>>,
) -> Result<()> {
    // A new team begins where the round is.
    sqlx::query(
        "insert into team (name, weight, build_limit, served)
         values ($1, coalesce($2, 1), $3, (select max(began) from team))
         on conflict (name) do update set weight = coalesce($2, team.weight),
             build_limit = case when $4 then $3 else team.build_limit end",
    )
    .bind(name)
    .bind(weight)
    .bind(build_limit.flatten())
    .bind(build_limit.is_some())
    .execute(conn)
    .await?;
    Ok(())
}

/// An application's share of the builders.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Share {
    pub team: String,
    /// How many turns it gets for one turn of an application of weight 1 of its team.
    pub weight: i32,
    /// So many of its builds run at a time, each of another branch.
    pub build_limit: i32,
}

pub async fn share(db: &PgPool, app_id: Uuid) -> Result<Share> {
    Ok(sqlx::query_as("select team, weight, build_limit from turn where app_id = $1")
        .bind(app_id)
        .fetch_one(db)
        .await?)
}

/// What is to change of a share; the rest stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    pub team: Option<&'a str>,
    pub weight: Option<i32>,
    pub build_limit: Option<i32>,
}

/// `false`: there is no such team. Wake [`domain::job::JobKind::Build`] after the commit.
pub async fn change_share(conn: &mut PgConnection, app_id: Uuid, change: &Change<'_>) -> Result<bool> {
    // In another team it begins where that one's round is.
    moved(
        sqlx::query(
            "update turn set team = g.name, weight = coalesce($3, turn.weight),
                 build_limit = coalesce($4, turn.build_limit),
                 served = case when g.name = turn.team then turn.served else g.clock end
             from team g where turn.app_id = $1 and g.name = coalesce($2, turn.team)",
        )
        .bind(app_id)
        .bind(change.team)
        .bind(change.weight)
        .bind(change.build_limit)
        .execute(conn)
        .await,
    )
}

/// Holds for the commits that come from now on.
pub async fn set_policy(conn: &mut PgConnection, branch_id: Uuid, policy: BuildPolicy) -> Result<()> {
    sqlx::query("update branch set build_policy = $2 where id = $1")
        .bind(branch_id)
        .bind(policy.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

#[derive(Debug, Clone, FromRow)]
pub struct BranchPolicy {
    pub branch: String,
    #[sqlx(try_from = "String")]
    pub policy: Word<BuildPolicy>,
}

/// The branches of which not simply the newest commit is built.
pub async fn policies(db: &PgPool, app_id: Uuid) -> Result<Vec<BranchPolicy>> {
    Ok(sqlx::query_as(
        "select name as branch, build_policy as policy from branch
         where app_id = $1 and build_policy <> 'newest' order by name",
    )
    .bind(app_id)
    .fetch_all(db)
    .await?)
}

#[cfg(test)]
mod tests;
