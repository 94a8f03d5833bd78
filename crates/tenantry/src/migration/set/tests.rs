#![allow(clippy::unwrap_used)]

use sqlx::migrate::MigrationType::{ReversibleDown, ReversibleUp, Simple};

use super::*;
use crate::migration::script::tests::script_of;

fn set_of(scripts: &[Script]) -> MigrationSet {
    let mut errors = Vec::new();
    let set = MigrationSet::new(scripts.to_vec(), &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    set
}

#[test]
fn migrations_are_ordered_and_found_by_version() {
    let scripts = [10, 2, 0].map(|version| script_of(version, Simple, "SELECT 1").unwrap());
    let set = set_of(&scripts);
    assert_eq!(set.iter().map(Migration::version).collect::<Vec<_>>(), [0, 2, 10]);
    assert_eq!(set.latest(), Some(10));
    assert_eq!(set.get(2).map(Migration::file), Some("2_a.sql"));
    assert!(set.get(3).is_none());
    assert_eq!((set.len(), set.is_empty()), (3, false));
}

#[test]
fn a_down_file_belongs_to_its_version() {
    let scripts = [
        script_of(1, ReversibleDown, "DROP TABLE a").unwrap(),
        script_of(1, ReversibleUp, "CREATE TABLE a ()").unwrap(),
        script_of(2, Simple, "SELECT 1").unwrap(),
    ];
    let set = set_of(&scripts);
    assert_eq!(set.get(1).unwrap().down().map(Script::sql), Some("DROP TABLE a"));
    assert_eq!(set.get(1).unwrap().up().sql(), "CREATE TABLE a ()");
    assert!(set.get(2).unwrap().down().is_none());
}

#[track_caller]
fn check_refused(scripts: &[Script], expect: &str) {
    let mut errors = Vec::new();
    let set = MigrationSet::new(scripts.to_vec(), &mut errors);
    assert!(set.len() <= 1, "the first of them stays");
    let error = errors.pop().expect(expect);
    assert!(errors.is_empty());
    assert_eq!(error.to_string(), expect);
    assert!(error.hint().is_some() && error.line().is_none());
}

#[test]
fn a_version_exists_once() {
    let simple = script_of(3, Simple, "SELECT 1").unwrap();
    let up = script_of(3, ReversibleUp, "SELECT 1").unwrap();
    let down = script_of(3, ReversibleDown, "SELECT 1").unwrap();
    check_refused(&[simple, up.clone()], "3_a.up.sql: version 3 is already used by `3_a.sql`");
    check_refused(&[up, down.clone(), down], "3_a.down.sql: version 3 is already used by `3_a.down.sql`");
}

#[test]
fn a_down_file_alone_is_refused() {
    let down = script_of(3, ReversibleDown, "SELECT 1").unwrap();
    check_refused(&[down], "3_a.down.sql: there is no migration with version 3 that this file would undo");
}

#[test]
fn the_digest_is_that_of_the_ledger() {
    let scripts = [2, 1].map(|version| script_of(version, Simple, "SELECT 1").unwrap());
    let set = set_of(&scripts);
    let checksum = set.get(1).unwrap().checksum();
    assert_eq!(set.digest(), digest_of([(1, checksum), (2, checksum)]));
    assert_ne!(set.digest(), digest_of([(1, checksum)]));
    assert_ne!(set.digest(), digest_of([(2, checksum), (1, checksum)]));
    assert_eq!(checksum.len(), 48, "SHA-384");
}

#[test]
fn digests_never_change() {
    // Stored in every database: another value would make every schema look out of date.
    assert_eq!(
        MigrationSet::empty().digest().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    assert_eq!(
        digest_of([(1, b"ab".as_slice()), (-2, b"c")]).to_string(),
        "35cece1282fa7271ebe4535eb02a18136c1aff657d591fd31eb9f7fc71ceeb22"
    );
}

fn set_of_versions(versions: &[i64]) -> MigrationSet {
    let script = |version: &i64| script_of(*version, Simple, "SELECT 1").unwrap();
    set_of(&versions.iter().map(script).collect::<Vec<_>>())
}

#[test]
fn a_type_has_the_files_of_all_and_its_own_in_one_order() {
    let (all, pro) = (set_of_versions(&[1, 3, 5]), TypeName::parse("pro").unwrap());
    let mut errors = Vec::new();
    let set = all.with_type(pro.clone(), &set_of_versions(&[2, 4]), &mut errors);
    assert!(errors.is_empty());
    let versions: Vec<_> = set.iter().map(|file| (file.version(), file.is_of_type())).collect();
    assert_eq!(versions, [(1, false), (2, true), (3, false), (4, true), (5, false)]);
    assert_eq!((set.type_name(), all.type_name()), (Some(&pro), None));
    assert_eq!(all.with_type(pro.clone(), &set_of_versions(&[]), &mut errors).digest(), all.digest());

    let clash = all.with_type(pro, &set_of_versions(&[3, 6]), &mut errors);
    assert_eq!(clash.len(), 4, "the file of all tenants stays");
    assert_eq!(errors.remove(0).to_string(), "3_a.sql: version 3 is already used by `3_a.sql`");
    assert!(errors.is_empty());
}

#[test]
fn a_schema_that_has_all_files_of_one_directory_and_some_of_the_other_is_known() {
    let pro = TypeName::parse("pro").unwrap();
    let set = set_of_versions(&[1, 3, 5]).with_type(pro, &set_of_versions(&[2, 4]), &mut Vec::new());
    let version = |applied: &[i64]| {
        let files = applied.iter().map(|version| set.get(*version).unwrap());
        set.version_of(&digest_of(files.map(|file| (file.version(), file.checksum()))))
    };
    assert_eq!(version(&[1, 2, 3]), Some(3));
    assert_eq!(version(&[1, 2, 4]), Some(2), "behind with the files of all");
    assert_eq!(version(&[1, 3, 5]), Some(1), "has become of the type, and has none of its files");
    assert_eq!(version(&[1, 2, 3, 5]), Some(3));
    assert_eq!(version(&[2, 4]), None, "version 1 is missing");
    assert_eq!(version(&[1, 5]), None);
}
