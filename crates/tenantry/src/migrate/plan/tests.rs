#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sqlx::migrate::MigrationType;

use super::*;
use crate::migrate::sentence;
use crate::migration::scripts::{any_script, script_of};
use crate::tenant::TypeName;

const ALONE: &str = "-- no-transaction\nVACUUM";
const PLAIN: &str = "SELECT 1";

fn files(migrations: &[(i64, &str)]) -> MigrationSet {
    let scripts =
        migrations.iter().map(|(version, sql)| script_of(*version, MigrationType::Simple, sql).unwrap());
    MigrationSet::new(scripts.collect(), &mut Vec::new())
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
    check_plan(Goal::latest(&files), &ledger(&files, applied), expect);
}

/// Batches are in brackets, and what is undone has a minus.
#[track_caller]
fn check_plan(goal: Goal<'_>, applied: &[Applied], expect: &str) {
    let plan = plan(goal, applied).unwrap();
    let name = |change: &Change<'_>| match change.direction() {
        Direction::Up => change.migration().version().to_string(),
        Direction::Down => format!("-{}", change.migration().version()),
    };
    let describe = |step: &Step<'_>| {
        let names: Vec<_> = step.changes().iter().map(name).collect();
        match step {
            Step::Batch(_) => format!("[{}]", names.join(" ")),
            Step::Alone(_) => names.join(" "),
        }
    };
    let steps: Vec<_> = plan.steps.iter().map(describe).collect();
    assert_eq!(steps.join(" "), expect);
    assert_eq!(plan.is_empty(), expect.is_empty());
}

/// Migrations that can be undone, but for those with an odd hundred.
fn there_and_back(versions: &[i64]) -> MigrationSet {
    let up = versions.iter().map(|version| script_of(*version, MigrationType::ReversibleUp, PLAIN).unwrap());
    let reversible = versions.iter().filter(|version| **version / 100 % 2 == 0);
    let down = reversible.map(|version| {
        let sql = if version % 10 == 5 { ALONE } else { PLAIN };
        script_of(*version, MigrationType::ReversibleDown, sql).unwrap()
    });
    MigrationSet::new(up.chain(down).collect(), &mut Vec::new())
}

#[track_caller]
fn check_to(versions: &[i64], applied: &[i64], to: i64, expect: &str) {
    let files = there_and_back(versions);
    let goal = Goal::through(&files, to);
    check_plan(goal, &ledger(&files, applied), expect);
}

/// The files of a type, of which those from 1000 on are its own.
fn of_type(versions: &[i64]) -> MigrationSet {
    let of = |is_own: bool| {
        let versions = versions.iter().filter(|version| (**version >= 1000) == is_own);
        files(&versions.map(|version| (*version, PLAIN)).collect::<Vec<_>>())
    };
    of(false).with_type(TypeName::parse("pro").unwrap(), &of(true), &mut Vec::new())
}

#[test]
fn the_files_of_a_type_have_an_order_of_their_own() {
    let files = of_type(&[1, 2, 3, 1001, 1002]);
    let check = |applied: &[i64], expect| {
        check_plan(Goal::latest(&files).in_order(), &ledger(&files, applied), expect);
    };
    check(&[], "[1 2 3 1001 1002]");
    check(&[1, 2, 1001, 1002], "[3]");
    check(&[1, 2, 3, 1001], "[1002]");
    let late = |applied: &[i64]| plan(Goal::latest(&files).in_order(), &ledger(&files, applied)).unwrap_err();
    assert!(matches!(late(&[1, 2, 3, 1002])[..], [Conflict::OutOfOrder { version: 1001, newest: 1002, .. }]));
    assert!(matches!(late(&[1, 3, 1001])[..], [Conflict::OutOfOrder { version: 2, newest: 3, .. }]));
}

#[test]
fn a_target_is_reached_from_both_sides() {
    check_to(&[1, 2, 3, 4], &[1, 2, 3, 4], 4, "");
    check_to(&[1, 2, 3, 4], &[1], 3, "[2 3]");
    check_to(&[1, 2, 3, 4], &[1, 2, 3, 4], 2, "[-4 -3]");
    check_to(&[1, 2, 3, 4], &[1, 2, 3, 4], 0, "[-4 -3 -2 -1]");
    check_to(&[1, 2, 3, 4], &[], 0, "");
    // What is undone goes first.
    check_to(&[1, 2, 3, 4], &[1, 4], 3, "[-4 2 3]");
    check_to(&[1, 5, 7], &[1, 5, 7], 0, "[-7] -5 [-1]");
}

#[test]
fn the_digest_of_a_target_is_that_of_its_files() {
    let (all, some) = (there_and_back(&[1, 2, 3]), there_and_back(&[1, 2]));
    let goal = Goal::through(&all, 2);
    assert_eq!((goal.digest(), goal.newest()), (some.digest(), Some(2)));
    assert_eq!(all.version_of(&some.digest()), Some(2));
    let nothing = Goal::through(&all, 0);
    assert_eq!((nothing.digest(), nothing.newest()), (MigrationSet::empty().digest(), None));
}

#[test]
fn a_migration_without_a_way_back_is_named() {
    let files = there_and_back(&[1, 100, 200]);
    let applied = ledger(&files, &[1, 100, 200]);
    check_plan(Goal::through(&files, 100), &applied, "[-200]");
    let conflicts = plan(Goal::through(&files, 1), &applied).unwrap_err();
    assert_eq!(conflicts, [Conflict::NoWayBack { version: 100, file: "100_a.up.sql".to_owned() }]);
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

#[test]
fn in_order_a_version_that_arrives_late_is_a_conflict() {
    let files = files(&[(1, PLAIN), (2, PLAIN), (3, PLAIN), (4, PLAIN)]);
    let late = |applied: &[i64]| plan(Goal::latest(&files).in_order(), &ledger(&files, applied)).map(drop);
    let conflict =
        |version, newest| Conflict::OutOfOrder { version, file: format!("{version}_a.sql"), newest };
    assert_eq!(late(&[1, 3]), Err(vec![conflict(2, 3)]));
    assert_eq!(late(&[4]), Err(vec![conflict(1, 4), conflict(2, 4), conflict(3, 4)]));
    for applied in [&[][..], &[1], &[1, 2, 3, 4]] {
        assert_eq!(late(applied), Ok(()), "{applied:?}");
    }
    // What is undone first is not in the way.
    let back = there_and_back(&[1, 2, 3]);
    assert!(plan(Goal::through(&back, 2).in_order(), &ledger(&back, &[1, 3])).is_ok());
}

#[test]
fn zero_is_below_a_version_of_that_number() {
    check_to(&[0, 1], &[0, 1], 0, "[-1 -0]");
    check_to(&[0, 1], &[0, 1], 1, "");
    check_to(&[0, 1], &[], 0, "");
    let files = there_and_back(&[0, 1]);
    assert_eq!(Goal::through(&files, 0).digest(), MigrationSet::empty().digest());
}

#[test]
fn a_refused_file_is_a_conflict_while_it_is_pending() {
    let scripts =
        [(1, PLAIN), (2, "COMMIT")].map(|(version, sql)| any_script(version, MigrationType::Simple, sql));
    let files = MigrationSet::new(scripts.to_vec(), &mut Vec::new());
    let conflicts = plan(Goal::latest(&files), &ledger(&files, &[1])).unwrap_err();
    assert_eq!(conflicts[0].to_string(), "2_a.sql:1: `COMMIT` is not allowed in a migration");
    assert!(plan(Goal::latest(&files), &ledger(&files, &[1, 2])).unwrap().is_empty());
}

#[track_caller]
fn check_conflicts(files: &MigrationSet, applied: &[Applied], expect: &[Conflict]) {
    assert_eq!(plan(Goal::latest(files), applied).unwrap_err(), expect);
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
    let many = [2, 7, 9].map(|version| Conflict::Missing { version });
    let all = [&changed, &many[0], &many[1], &many[2]];
    assert_eq!(sentence(all), format!("{changed}; 3 versions are applied and have no file (2 to 9)"));
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
        let plan = plan(Goal::latest(&files), &ledger(&files, &applied.collect::<Vec<_>>())).unwrap();

        let pending: Vec<_> =
            migrations.iter().filter(|(_, (_, applied))| !applied).map(|(version, _)| *version).collect();
        prop_assert_eq!(plan.changes().map(|it| it.migration().version()).collect::<Vec<_>>(), pending);
        for step in &plan.steps {
            let batched = matches!(step, Step::Batch(_));
            prop_assert!(!step.changes().is_empty());
            prop_assert!(step.changes().iter().all(|it| it.script().is_plain() == batched));
        }
        let neighbours = |pair: &[Step<'_>]| pair.iter().all(|step| matches!(step, Step::Batch(_)));
        prop_assert!(!plan.steps.windows(2).any(neighbours), "two batches in a row are one");
    }
}
