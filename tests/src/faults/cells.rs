//! The matrix. A fault that BuildKit, the registry's client or the queue bears by itself leaves a build unhurt; all others
//! cost it an attempt, which its log says.

use super::cell::Fault::{
    BlobsChanged, BlobsGone, BuilderEnded, BuilderKilled, BuilderPaused, DaemonBroken, DaemonCut,
    DaemonEmptied, DaemonEnded, DaemonFull, DaemonKilled, DaemonPaused, DaemonUnheard, DatabaseCut,
    DatabaseReadOnly, DatabaseRefuses, DatabaseTerminated, DatabaseUnheard, JobLocked, OwnDaemonGone,
    Registry, RegistryEmptied, RegistryKilled, RegistryRefuses, SourceCut,
};
use super::cell::Moment::{
    Asks, Before, BlobPushing, Claimed, Confirming, Exporting, ManifestPushed, Solving, SourceSent,
};
use super::cell::Outcome::{Fails, Retried, Succeeds, Unhurt};
use super::cell::{Cell, Fault, Moment, Outcome};
use super::http::Answer::{Forgotten, Late, Reset, Status, TooMany, WrongDigest};
use super::http::Asked::{Base, Blob, BlobData, Manifest, ManifestPut};

const AGAIN: &str = "trying again in";
const OVER: &str = "starting over (attempt 2 of";
const ELSEWHERE: &str = "is away or full: building at";
const GIVEN_BACK: &str = "this builder shuts down";

const fn cell(fault: Fault, moment: Moment, outcome: Outcome, within: u64, says: &'static str) -> Cell {
    Cell { fault, moment, outcome, within, says }
}

/// What damages BuildKit's state is last.
#[rustfmt::skip]
pub const CELLS: &[Cell] = &[
    cell(BuilderKilled, Claimed, Retried, 20, OVER),
    cell(BuilderKilled, SourceSent, Retried, 20, OVER),
    cell(BuilderKilled, Solving, Retried, 20, OVER),
    cell(BuilderKilled, Exporting, Retried, 20, OVER),
    cell(BuilderKilled, BlobPushing, Retried, 20, OVER),
    cell(BuilderKilled, ManifestPushed, Retried, 20, OVER),
    cell(BuilderKilled, Confirming, Retried, 20, OVER),
    cell(BuilderPaused(20), Claimed, Retried, 20, OVER),
    cell(BuilderPaused(20), Solving, Retried, 20, OVER),
    cell(BuilderPaused(20), ManifestPushed, Retried, 20, OVER),
    cell(BuilderPaused(30), Confirming, Retried, 20, OVER),
    cell(BuilderEnded, Claimed, Unhurt, 15, GIVEN_BACK),
    cell(BuilderEnded, SourceSent, Unhurt, 15, GIVEN_BACK),
    cell(BuilderEnded, Solving, Unhurt, 15, GIVEN_BACK),
    cell(BuilderEnded, BlobPushing, Unhurt, 15, GIVEN_BACK),
    cell(BuilderEnded, Confirming, Unhurt, 15, GIVEN_BACK),

    cell(DaemonKilled, SourceSent, Retried, 20, AGAIN),
    cell(DaemonKilled, Solving, Retried, 20, AGAIN),
    cell(DaemonKilled, Exporting, Retried, 20, AGAIN),
    cell(DaemonKilled, BlobPushing, Retried, 20, AGAIN),
    cell(DaemonKilled, ManifestPushed, Retried, 20, AGAIN),
    cell(DaemonPaused(5), Solving, Unhurt, 15, ""),
    cell(DaemonPaused(25), Solving, Retried, 45, AGAIN),
    cell(DaemonPaused(25), BlobPushing, Retried, 45, AGAIN),
    cell(OwnDaemonGone(20), Solving, Retried, 20, ELSEWHERE),
    cell(DaemonEnded, Solving, Unhurt, 25, ""),
    cell(DaemonEnded, BlobPushing, Unhurt, 25, ""),

    cell(DaemonUnheard(4), Solving, Unhurt, 15, ""),
    cell(DaemonUnheard(25), SourceSent, Retried, 45, AGAIN),
    cell(DaemonUnheard(25), Solving, Retried, 45, AGAIN),
    cell(DaemonCut(3), SourceSent, Retried, 20, AGAIN),
    cell(DaemonCut(3), Solving, Retried, 20, AGAIN),
    cell(DaemonCut(3), BlobPushing, Retried, 20, AGAIN),
    cell(SourceCut(2), Claimed, Retried, 15, AGAIN),

    cell(Registry(Status(500), 1), Asks(Base), Retried, 15, AGAIN),
    cell(Registry(Status(503), 1000), Asks(Base), Fails("registry_unavailable"), 45, AGAIN),
    cell(Registry(TooMany(3), 6), Asks(Base), Succeeds, 30, ""),
    cell(Registry(Reset, 1), Asks(Base), Succeeds, 20, ""),
    cell(Registry(Late(10), 1), Asks(Base), Unhurt, 20, ""),
    cell(RegistryRefuses(Status(503)), Asks(Blob), Retried, 40, AGAIN),
    cell(Registry(Status(500), 1), Asks(BlobData), Unhurt, 20, ""),
    cell(Registry(Status(502), 1), Asks(BlobData), Unhurt, 20, ""),
    cell(Registry(TooMany(3), 4), Asks(BlobData), Unhurt, 20, ""),
    cell(Registry(Reset, 1), Asks(BlobData), Succeeds, 20, ""),
    cell(Registry(Status(401), 1), Asks(BlobData), Retried, 20, AGAIN),
    cell(Registry(Late(10), 1), Asks(BlobData), Unhurt, 20, ""),
    cell(Registry(Status(500), 1), Asks(ManifestPut), Unhurt, 20, ""),
    cell(RegistryRefuses(Status(503)), Asks(ManifestPut), Retried, 40, AGAIN),
    cell(RegistryRefuses(TooMany(3)), Asks(ManifestPut), Retried, 30, AGAIN),
    cell(Registry(Reset, 1), Asks(ManifestPut), Succeeds, 20, ""),
    cell(Registry(Forgotten, 1), Asks(ManifestPut), Retried, 20, AGAIN),
    cell(Registry(WrongDigest, 1), Asks(ManifestPut), Retried, 20, AGAIN),
    cell(Registry(Late(10), 1), Asks(ManifestPut), Unhurt, 20, ""),
    cell(Registry(Status(500), 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(Status(503), 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(TooMany(3), 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(Status(401), 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(Status(404), 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(Reset, 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(WrongDigest, 1), Asks(Manifest), Retried, 15, AGAIN),
    cell(Registry(Late(12), 1), Asks(Manifest), Retried, 25, AGAIN),
    cell(Registry(Status(503), 1000), Asks(Manifest), Fails("registry_unavailable"), 45, AGAIN),
    cell(RegistryKilled(3), BlobPushing, Succeeds, 25, ""),
    cell(RegistryKilled(3), ManifestPushed, Succeeds, 25, ""),
    cell(RegistryKilled(3), Confirming, Retried, 25, AGAIN),
    cell(RegistryEmptied, Confirming, Retried, 25, AGAIN),

    cell(DatabaseCut(3), Claimed, Succeeds, 20, ""),
    cell(DatabaseCut(3), Solving, Succeeds, 20, ""),
    cell(DatabaseCut(3), Confirming, Succeeds, 25, ""),
    cell(DatabaseCut(14), Solving, Succeeds, 40, ""),
    cell(DatabaseUnheard(4), Solving, Unhurt, 20, ""),
    cell(DatabaseUnheard(15), Solving, Succeeds, 45, ""),
    cell(DatabaseUnheard(15), Confirming, Succeeds, 45, ""),
    cell(DatabaseTerminated, Claimed, Succeeds, 20, ""),
    cell(DatabaseTerminated, Solving, Unhurt, 20, ""),
    cell(DatabaseTerminated, Confirming, Succeeds, 25, ""),
    cell(DatabaseReadOnly(4), Solving, Succeeds, 25, ""),
    cell(DatabaseReadOnly(4), Confirming, Succeeds, 30, ""),
    cell(DatabaseRefuses(4), Solving, Succeeds, 25, ""),
    cell(DatabaseRefuses(4), Confirming, Succeeds, 30, ""),
    cell(JobLocked(5), Solving, Unhurt, 20, ""),
    cell(JobLocked(14), Solving, Succeeds, 45, ""),

    cell(DaemonFull(4), SourceSent, Retried, 30, AGAIN),
    cell(DaemonFull(4), Solving, Retried, 30, AGAIN),
    cell(DaemonEmptied, SourceSent, Retried, 25, AGAIN),
    cell(DaemonEmptied, Solving, Retried, 25, AGAIN),
    cell(DaemonEmptied, BlobPushing, Retried, 25, AGAIN),
    cell(DaemonBroken("cache.db"), Solving, Retried, 25, AGAIN),
    cell(DaemonBroken("history.db"), BlobPushing, Retried, 25, AGAIN),
    cell(DaemonBroken("runc-overlayfs/metadata_v2.db"), Solving, Retried, 25, AGAIN),
    cell(DaemonBroken("runc-overlayfs/containerdmeta.db"), Solving, Retried, 30, AGAIN),
    cell(DaemonBroken("runc-overlayfs/snapshots/metadata.db"), BlobPushing, Retried, 30, AGAIN),
    cell(BlobsGone, Before, Retried, 30, "BuildKit's cache is damaged"),
    cell(BlobsChanged, Before, Retried, 30, "BuildKit's cache is damaged"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_cell_is_there_once_and_all_components_are() {
        let names: BTreeSet<String> = CELLS.iter().map(Cell::name).collect();
        assert_eq!(names.len(), CELLS.len());
        assert!(CELLS.len() >= 60, "{}", CELLS.len());
        let components: BTreeSet<&str> = CELLS.iter().map(|it| it.fault.component()).collect();
        assert_eq!(components.len(), 6, "{components:?}");
    }
}
