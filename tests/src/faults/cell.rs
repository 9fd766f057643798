//! What a cell of the fault matrix is: which fault, when, and what has to come of the build it hits.

use std::time::Duration;

use super::http::{Answer, Asked};

/// How far a build has come when the fault hits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Its job is claimed; the builder has begun to ask for its commit.
    Claimed,
    /// Its files are on their way to BuildKit.
    SourceSent,
    /// A step of it runs.
    Solving,
    /// Its layers are being packed.
    Exporting,
    /// The first bytes of a layer are on their way to the registry.
    BlobPushing,
    /// The registry has the manifest; BuildKit does not know that yet.
    ManifestPushed,
    /// The builder asks the registry for the digest that it is to record.
    Confirming,
    /// A request to the registry, the first one of its kind.
    Asks(Asked),
    /// Before it is pushed.
    Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    BuilderKilled,
    /// It is stopped, wakes up after so many seconds, and finds its work taken.
    BuilderPaused(u64),
    /// Asked to end, as when it is replaced.
    BuilderEnded,
    DaemonKilled,
    DaemonPaused(u64),
    DaemonEnded,
    /// Killed, and its state is gone when it starts again.
    DaemonEmptied,
    /// Killed, and this file of its state is rubbish when it starts again.
    DaemonBroken(&'static str),
    /// Its blobs are removed, and the registry has none to spare.
    BlobsGone,
    /// As before, but the bytes are others.
    BlobsChanged,
    /// Of two daemons the application's own is killed, and stays away for so many seconds.
    OwnDaemonGone(u64),
    /// Its disk is full for so many seconds.
    DaemonFull(u64),
    /// Nothing passes between builder and BuildKit, for so many seconds.
    DaemonUnheard(u64),
    /// Connections between builder and BuildKit end, and none is taken, for so many seconds.
    DaemonCut(u64),
    /// The registry answers so, that many times.
    Registry(Answer, u32),
    /// It answers so until the attempt has failed, however often it is asked.
    RegistryRefuses(Answer),
    RegistryKilled(u64),
    /// Its files are gone: all that was pushed.
    RegistryEmptied,
    DatabaseCut(u64),
    DatabaseUnheard(u64),
    /// All connections end; new ones are taken.
    DatabaseTerminated,
    DatabaseReadOnly(u64),
    /// No connections are taken.
    DatabaseRefuses(u64),
    /// A transaction of somebody else holds the job's row.
    JobLocked(u64),
    /// The builder reaches the repository's server no more.
    SourceCut(u64),
}

/// What has to come of the build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeds; in how many attempts does not matter.
    Succeeds,
    /// In its first attempt: the fault is none that a build should notice.
    Unhurt,
    /// After a failed attempt, and the log says so.
    Retried,
    /// All attempts are used up, and this is the reason.
    Fails(&'static str),
}

#[derive(Debug, Clone, Copy)]
pub struct Cell {
    pub fault: Fault,
    pub moment: Moment,
    pub outcome: Outcome,
    /// From the fault to the build's end, in seconds.
    pub within: u64,
    /// What its log has to say.
    pub says: &'static str,
}

impl Fault {
    pub const fn component(self) -> &'static str {
        match self {
            Fault::BuilderKilled | Fault::BuilderPaused(_) | Fault::BuilderEnded => "builder",
            Fault::DaemonKilled
            | Fault::DaemonPaused(_)
            | Fault::DaemonEnded
            | Fault::DaemonEmptied
            | Fault::DaemonBroken(_)
            | Fault::OwnDaemonGone(_)
            | Fault::BlobsGone
            | Fault::BlobsChanged => "BuildKit",
            Fault::Registry(..)
            | Fault::RegistryRefuses(_)
            | Fault::RegistryKilled(_)
            | Fault::RegistryEmptied => "registry",
            Fault::DatabaseCut(_)
            | Fault::DatabaseUnheard(_)
            | Fault::DatabaseTerminated
            | Fault::DatabaseReadOnly(_)
            | Fault::DatabaseRefuses(_)
            | Fault::JobLocked(_) => "PostgreSQL",
            Fault::DaemonUnheard(_) | Fault::DaemonCut(_) | Fault::SourceCut(_) => "network",
            Fault::DaemonFull(_) => "disk",
        }
    }

    pub fn words(self) -> String {
        match self {
            Fault::BuilderKilled | Fault::DaemonKilled => "killed".to_owned(),
            Fault::BuilderPaused(s) | Fault::DaemonPaused(s) => format!("stopped for {s} s"),
            Fault::BuilderEnded | Fault::DaemonEnded => "asked to end".to_owned(),
            Fault::DaemonEmptied => "killed, starts with empty state".to_owned(),
            Fault::DaemonBroken(file) => format!("killed, starts with a broken {file}"),
            Fault::BlobsGone => "its blobs are gone".to_owned(),
            Fault::BlobsChanged => "its blobs hold other bytes".to_owned(),
            Fault::OwnDaemonGone(s) => format!("of two, the application's own is gone for {s} s"),
            Fault::DaemonFull(s) => format!("BuildKit's disk is full for {s} s"),
            Fault::DaemonUnheard(s) => format!("nothing passes to BuildKit for {s} s"),
            Fault::DaemonCut(s) => format!("BuildKit is cut off for {s} s"),
            Fault::Registry(answer, times) => format!("{} ({times} times)", answer.words()),
            Fault::RegistryRefuses(answer) => format!("{} for a whole attempt", answer.words()),
            Fault::RegistryKilled(s) => format!("killed, back after {s} s"),
            Fault::RegistryEmptied => "starts with empty state".to_owned(),
            Fault::DatabaseCut(s) => format!("cut off for {s} s"),
            Fault::DatabaseUnheard(s) => format!("nothing passes for {s} s"),
            Fault::DatabaseTerminated => "all connections terminated".to_owned(),
            Fault::DatabaseReadOnly(s) => format!("read-only for {s} s"),
            Fault::DatabaseRefuses(s) => format!("takes no connections for {s} s"),
            Fault::JobLocked(s) => format!("a transaction holds the job's row for {s} s"),
            Fault::SourceCut(s) => format!("the git server is cut off for {s} s"),
        }
    }

    /// How long it lasts.
    pub const fn lasts(self) -> Duration {
        let (Fault::BuilderPaused(s)
        | Fault::DaemonPaused(s)
        | Fault::OwnDaemonGone(s)
        | Fault::DaemonFull(s)
        | Fault::DaemonUnheard(s)
        | Fault::DaemonCut(s)
        | Fault::RegistryKilled(s)
        | Fault::DatabaseCut(s)
        | Fault::DatabaseUnheard(s)
        | Fault::DatabaseReadOnly(s)
        | Fault::DatabaseRefuses(s)
        | Fault::JobLocked(s)
        | Fault::SourceCut(s)) = self
        else {
            return Duration::ZERO;
        };
        Duration::from_secs(s)
    }
}

impl Moment {
    pub const fn words(self) -> &'static str {
        match self {
            Moment::Claimed => "claimed",
            Moment::SourceSent => "source sent",
            Moment::Solving => "solving",
            Moment::Exporting => "exporting",
            Moment::BlobPushing => "blob pushing",
            Moment::ManifestPushed => "manifest pushed",
            Moment::Confirming => "digest confirmed",
            Moment::Asks(asked) => asked.words(),
            Moment::Before => "before the build",
        }
    }
}

impl Cell {
    pub fn name(&self) -> String {
        format!("{}: {}, {}", self.fault.component(), self.fault.words(), self.moment.words())
    }
}
