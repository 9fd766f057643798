//! What must be true when all is at rest: the invariants of the platform, as far as PostgreSQL holds them.

use std::collections::BTreeMap;

use anyhow::Result;
use domain::job::BuildPolicy;
use uuid::Uuid;

use super::world::World;

/// Each in words; none is what should be.
pub async fn judge(world: &mut World<'_>) -> Result<Vec<String>> {
    let mut findings = rows(world).await?;
    findings.extend(branches(world).await?);
    findings.extend(told(world).await?);
    findings.extend(logs(world).await?);
    Ok(findings)
}

/// Of the rows alone.
async fn rows(world: &mut World<'_>) -> Result<Vec<String>> {
    let apps: Vec<Uuid> = world.apps.iter().map(|app| app.id).collect();
    let every: Vec<Uuid> =
        world.branches.iter().filter(|it| it.policy == BuildPolicy::Every).map(|it| it.id).collect();
    Ok(sqlx::query_scalar(include_str!("audit.sql"))
        .bind(apps)
        .bind(every)
        .fetch_all(&mut world.place.direct)
        .await?)
}

/// A branch is here what it is on its forge, and its newest build is of that.
async fn branches(world: &mut World<'_>) -> Result<Vec<String>> {
    let apps: Vec<Uuid> = world.apps.iter().filter(|app| app.hook.is_some()).map(|app| app.id).collect();
    let rows: Vec<(Uuid, Option<String>, Option<String>)> = sqlx::query_as(
        "select id, commit, (select commit from build where branch_id = b.id order by number desc limit 1)
         from branch b where app_id = any($1)",
    )
    .bind(apps)
    .fetch_all(&mut world.place.direct)
    .await?;
    let mut findings = Vec::new();
    for (id, commit, built) in rows {
        let Some((index, branch)) = world.branches.iter().enumerate().find(|(_, it)| it.id == id) else {
            continue;
        };
        // Of a branch that is not known, nobody is told but by its forge.
        if commit.is_none() && branch.name != "main" && branch.heard < branch.commits {
            continue;
        }
        if commit != branch.tip {
            findings.push(format!("branch {index} is {:?} on its forge and {commit:?} here", branch.tip));
        }
        if branch.tip.is_some() && built != branch.tip {
            findings.push(format!("branch {index} is {:?} and {built:?} was built last", branch.tip));
        }
    }
    Ok(findings)
}

/// Whoever was told of a build has one.
async fn told(world: &mut World<'_>) -> Result<Vec<String>> {
    if world.told.is_empty() {
        return Ok(Vec::new());
    }
    let kept: Vec<Uuid> = sqlx::query_scalar("select push_id from build where push_id = any($1)")
        .bind(&world.told)
        .fetch_all(&mut world.place.direct)
        .await?;
    let lost = world.told.iter().filter(|push| !kept.contains(push));
    Ok(lost.map(|push| format!("the push {push} was acknowledged and has no build")).collect())
}

/// All lines that were acknowledged are there, and none that nobody wrote.
async fn logs(world: &mut World<'_>) -> Result<Vec<String>> {
    if world.lines.is_empty() {
        return Ok(Vec::new());
    }
    let builds: Vec<Uuid> = world.lines.keys().copied().collect();
    let counts: Vec<(Uuid, i64)> =
        sqlx::query_as("select build_id, line_count from build_log where build_id = any($1)")
            .bind(builds)
            .fetch_all(&mut world.place.direct)
            .await?;
    let counts: BTreeMap<Uuid, i64> = counts.into_iter().collect();
    let mut findings = Vec::new();
    for (build, (least, most)) in &world.lines {
        let count = counts.get(build).copied().unwrap_or_default();
        if count < *least || count > *most {
            findings.push(format!("a log has {count} lines, not {least} to {most}"));
        }
    }
    Ok(findings)
}
