//! What became of every commit that was pushed: lost, built twice, or as it was told.

use std::collections::{BTreeMap, HashSet};

use anyhow::Result;
use sqlx::{FromRow, PgPool};

use super::pusher::Asked;
use super::told::Told;

/// A build, and what was true in the moment in which it was made: a trigger has seen it, in the same transaction.
#[derive(Debug, Clone, FromRow)]
pub struct Built {
    pub app: String,
    pub branch: String,
    pub commit: String,
    pub number: i32,
    /// Of its push, in seconds since 1970.
    pub intended_at: f64,
    pub made_at: f64,
    /// There were builds of the same commit that had not settled.
    pub beside_another: bool,
    /// The commit was what the branch showed.
    pub was_head: bool,
    pub was_live: bool,
}

const WATCH: &str = "
    create table soak_made (build_id uuid primary key, at timestamptz not null, beside_another bool not null, was_head bool not null);
    create function soak_make() returns trigger language plpgsql as $$
    begin
        insert into soak_made select new.id, clock_timestamp(),
            exists (select from build b where b.branch_id = new.branch_id and b.commit = new.commit and b.id <> new.id
                    and (b.state in ('queued', 'running') or exists (
                        select from release r where r.build_id = b.id and r.state in ('queued', 'rolling')))),
            exists (select from branch where id = new.branch_id and head = new.commit);
        return null;
    end $$;
    create trigger soak_make after insert on build for each row execute function soak_make();";

/// From now on it is written down what is true when a build is made.
pub async fn watch(db: &PgPool) -> Result<()> {
    sqlx::raw_sql(WATCH).execute(db).await?;
    Ok(())
}

/// All builds, oldest first.
pub async fn builds(db: &PgPool) -> Result<Vec<Built>> {
    Ok(sqlx::query_as(
        "select a.name as app, b.branch, b.commit, b.number,
                extract(epoch from p.created_at)::float8 as intended_at, extract(epoch from m.at)::float8 as made_at,
                m.beside_another, m.was_head,
                exists (select from release r where r.build_id = b.id and r.state in ('live', 'replaced')) as was_live
         from build b join app a on a.id = b.app_id join push p on p.id = b.push_id join soak_made m on m.build_id = b.id
         order by a.name, b.number",
    )
    .fetch_all(db)
    .await?)
}

/// Each in words.
#[derive(Debug, Default)]
pub struct Findings {
    /// Acknowledged commits without a build.
    pub lost: Vec<String>,
    /// Builds that nobody asked for: of a commit that was being built or was live, or whose user had had an answer.
    pub doubled: Vec<String>,
    /// Commits that a user was told were live, and that never were.
    pub untrue: Vec<String>,
    /// Commits that could not be pushed in the end.
    pub unanswered: Vec<String>,
}

pub fn judge(asked: &[Asked], built: &[Built]) -> Findings {
    let mut builds: BTreeMap<(&str, &str, &str), Vec<&Built>> = BTreeMap::new();
    for it in built {
        builds.entry((&it.app, &it.branch, &it.commit)).or_default().push(it);
    }
    let mut findings = Findings::default();
    for it in asked {
        let builds = builds.get(&(it.app.as_str(), it.branch.as_str(), it.commit.as_str()));
        let words =
            format!("{} {} {}: {:?} after {} attempts", it.app, it.branch, it.commit, it.told, it.attempts);
        match &it.told {
            Told::Nothing(_) => findings.unanswered.push(words),
            Told::Well | Told::Verdict(_) if builds.is_none() => findings.lost.push(words),
            Told::Well if it.waits && !builds.is_some_and(|all| all.iter().any(|it| it.was_live)) => {
                findings.untrue.push(words);
            }
            Told::Well | Told::Verdict(_) => {}
        }
    }
    for ((app, branch, commit), builds) in builds {
        let wishes: Vec<&Asked> =
            asked.iter().filter(|it| it.app == app && it.branch == branch && it.commit == commit).collect();
        for why in unasked(&builds, &wishes) {
            findings.doubled.push(format!("{app} {branch} {commit}: {why}"));
        }
    }
    findings
}

/// Every build but a commit's first needs a wish that began before it and was not answered yet: a commit whose build has
/// failed is built again for who pushes it again, be it because the answer never came, and for nobody else.
fn unasked(builds: &[&Built], wishes: &[&Asked]) -> Vec<String> {
    let mut found = Vec::new();
    let attempts: u64 = wishes.iter().map(|it| it.attempts).sum();
    if builds.len() as u64 > attempts {
        found.push(format!("{} builds after {attempts} attempts", builds.len()));
    }
    let numbers: HashSet<i32> = builds.iter().map(|it| it.number).collect();
    if numbers.len() < builds.len() {
        found.push("two builds have one number".to_owned());
    }
    for (n, build) in builds.iter().enumerate() {
        let is_wished = |it: &&&Asked| it.from <= build.intended_at && build.made_at <= it.until;
        if build.beside_another {
            found.push(format!("build #{} was made beside another of the same commit", build.number));
        } else if build.was_head {
            found.push(format!("build #{} was made although the commit was live", build.number));
        } else if n > 0 && !wishes.iter().any(|it| is_wished(&it)) {
            found.push(format!("build #{} was made although its user had had an answer", build.number));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(from: f64, until: f64, told: Told) -> Asked {
        let text = |text: &str| text.to_owned();
        Asked {
            app: text("a"),
            branch: text("main"),
            commit: text("c1"),
            waits: true,
            attempts: 2,
            from,
            until,
            told,
        }
    }

    fn built(number: i32, intended_at: f64, made_at: f64) -> Built {
        Built {
            app: "a".to_owned(),
            branch: "main".to_owned(),
            commit: "c1".to_owned(),
            number,
            intended_at,
            made_at,
            beside_another: false,
            was_head: false,
            was_live: false,
        }
    }

    fn failed() -> Told {
        Told::Verdict("build #1 failed: x".to_owned())
    }

    #[test]
    fn what_was_acknowledged_has_a_build() {
        let findings = judge(&[asked(1.0, 2.0, failed())], &[]);
        assert_eq!((findings.lost.len(), findings.doubled.len()), (1, 0));
        let findings = judge(&[asked(1.0, 2.0, failed())], &[built(1, 1.1, 1.2)]);
        assert_eq!((findings.lost.len(), findings.doubled.len()), (0, 0));
    }

    #[test]
    fn what_is_said_to_be_live_was() {
        let mut build = built(1, 1.1, 1.2);
        assert_eq!(judge(&[asked(1.0, 2.0, Told::Well)], &[build.clone()]).untrue.len(), 1);
        build.was_live = true;
        assert_eq!(judge(&[asked(1.0, 2.0, Told::Well)], &[build]).untrue.len(), 0);
    }

    #[test]
    fn a_second_build_needs_a_user_who_waits() {
        let first = built(1, 1.1, 1.2);
        let again = [asked(1.0, 2.0, failed()), asked(3.0, 4.0, failed())];
        assert!(judge(&again, &[first.clone(), built(2, 3.1, 3.2)]).doubled.is_empty());
        let cut_off = [asked(1.0, 2.0, failed())];
        assert!(judge(&cut_off, &[first.clone(), built(2, 1.5, 1.6)]).doubled.is_empty());
        assert_eq!(
            judge(&cut_off, &[first.clone(), built(2, 1.5, 2.6)]).doubled.len(),
            1,
            "rolled forward too late"
        );
        assert_eq!(judge(&again, &[first.clone(), built(2, 1.5, 3.2)]).doubled.len(), 1, "of the first wish");
        let three = [first.clone(), built(2, 1.3, 1.4), built(3, 1.5, 1.6)];
        assert_eq!(judge(&cut_off, &three).doubled.len(), 1, "more than attempts");
        let beside = Built { beside_another: true, ..built(2, 1.5, 1.6) };
        assert_eq!(judge(&cut_off, &[first.clone(), beside]).doubled.len(), 1);
        let live = Built { was_head: true, ..built(2, 1.5, 1.6) };
        assert_eq!(judge(&cut_off, &[first, live]).doubled.len(), 1);
    }
}
