#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sqlx::migrate::MigrationType;

use super::*;
use crate::migrate::script::tests::script_of;

const ALONE: &str = "-- no-transaction\nVACUUM";
const PLAIN: &str = "SELECT 1";

fn files(migrations: &[(i64, &str)]) -> MigrationSet {
    let scripts =
        migrations.iter().map(|(version, sql)| script_of(*version, MigrationType::Simple, sql).unwrap());
    MigrationSet::new(scripts.collect()).unwrap()
}

/// The ledger of a schema that has applied these versions.
fn ledger(files: &MigrationSet, versions: &[i64]) -> Vec<Applied> {
    let row = |&version| Applied {
        version,
        checksum: files.get(version).map(|it| it.checksum().to_vec()).unwrap_or_default(),
        success: true,
    };
    versions.iter().map(row).collect()
}

#[track_caller]
fn check(migrations: &[(i64, &str)], applied: &[i64], expect: &str) {
    let files = files(migrations);
    let plan = plan(&files, &ledger(&files, applied)).unwrap();
    let describe = |step: &Step<'_>| {
        let versions: Vec<_> = step.migrations().iter().map(|it| it.version().to_string()).collect();
        match step {
            Step::Batch(_) => format!("[{}]", versions.join(" ")),
            Step::Alone(_) => versions.join(" "),
        }
    };
    let steps: Vec<_> = plan.steps.iter().map(describe).collect();
    assert_eq!(steps.join(" "), expect);
    assert_eq!(plan.is_empty(), expect.is_empty());
}

#[test]
fn consecutive_transactional_files_share_a_transaction() {
    check(&[], &[], "");
    check(&[(1, PLAIN), (2, PLAIN)], &[1, 2], "");
    check(&[(1, PLAIN), (2, PLAIN), (3, PLAIN)], &[], "[1 2 3]");
    check(&[(1, PLAIN), (2, ALONE), (3, PLAIN), (4, PLAIN)], &[], "[1] 2 [3 4]");
    check(&[(1, ALONE), (2, ALONE), (3, PLAIN)], &[], "1 2 [3]");
    check(&[(1, PLAIN), (2, ALONE), (3, PLAIN)], &[2], "[1 3]");
}

#[test]
fn a_version_that_arrives_late_is_applied_in_its_place() {
    check(&[(1, PLAIN), (2, PLAIN), (3, PLAIN), (4, PLAIN)], &[3, 1], "[2 4]");
}

#[track_caller]
fn check_conflicts(files: &MigrationSet, applied: &[Applied], expect: &[Conflict]) {
    assert_eq!(plan(files, applied).unwrap_err(), expect);
    assert!(expect.iter().all(|conflict| !conflict.hint().is_empty()));
}

#[test]
fn every_contradiction_is_reported_by_version() {
    let files = files(&[(1, PLAIN), (2, ALONE), (3, PLAIN), (4, PLAIN)]);
    let mut applied = ledger(&files, &[9, 3, 2, 1]);
    applied[1].checksum = b"other".to_vec();
    applied[2].success = false;
    check_conflicts(
        &files,
        &applied,
        &[
            Conflict::Interrupted { version: 2, file: "2_a.sql".to_owned() },
            Conflict::Changed { version: 3, file: "3_a.sql".to_owned() },
            Conflict::Missing { version: 9 },
        ],
    );
}

#[test]
fn an_interrupted_migration_may_have_been_corrected() {
    let files = files(&[(1, ALONE)]);
    let applied = Applied { version: 1, checksum: b"before".to_vec(), success: false };
    check_conflicts(&files, &[applied], &[Conflict::Interrupted { version: 1, file: "1_a.sql".to_owned() }]);
}

#[test]
fn conflicts_name_the_file() {
    let changed = Conflict::Changed { version: 1, file: "1_a.sql".to_owned() };
    assert_eq!(changed.to_string(), "`1_a.sql` was changed after it had been applied");
    let missing = Conflict::Missing { version: 7 };
    assert_eq!(missing.to_string(), "version 7 was applied, but there is no file for it");
}

proptest! {
    #[test]
    fn steps_are_the_pending_versions_in_order(
        migrations in prop::collection::btree_map(0i64..40, (any::<bool>(), any::<bool>()), 0..25),
    ) {
        let texts: Vec<_> =
            migrations.iter().map(|(version, (alone, _))| (*version, if *alone { ALONE } else { PLAIN })).collect();
        let applied = migrations.iter().filter(|(_, (_, applied))| *applied).map(|(version, _)| *version);
        let files = files(&texts);
        let plan = plan(&files, &ledger(&files, &applied.collect::<Vec<_>>())).unwrap();

        let pending: Vec<_> =
            migrations.iter().filter(|(_, (_, applied))| !applied).map(|(version, _)| *version).collect();
        prop_assert_eq!(plan.migrations().map(Migration::version).collect::<Vec<_>>(), pending);
        for step in &plan.steps {
            let batched = matches!(step, Step::Batch(_));
            prop_assert!(!step.migrations().is_empty());
            prop_assert!(step.migrations().iter().all(|it| it.is_transactional() == batched));
        }
        let neighbours = |pair: &[Step<'_>]| pair.iter().all(|step| matches!(step, Step::Batch(_)));
        prop_assert!(!plan.steps.windows(2).any(neighbours), "two batches in a row are one");
    }
}
