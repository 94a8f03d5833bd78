#![allow(clippy::unwrap_used)]

use std::{
    env,
    error::Error as _,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::migrate::{Migration as SqlxMigration, Migrator};

use super::*;

/// A directory of its own for each test, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn directory(files: &[(&str, &[u8])]) -> Directory {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = Directory(env::temp_dir().join(format!("tenantry-source-{}-{number}", process::id())));
    fs::create_dir_all(directory.path()).unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[track_caller]
fn check_refused(files: &[(&str, &[u8])], file: &str, line: Option<usize>, problem: &str) {
    let directory = directory(files);
    let error = Migrations::from_dirs(directory.path(), directory.path()).expect_err(problem);
    assert_eq!(Path::new(error.file()), directory.path().join(file));
    assert_eq!(error.line(), line);
    assert!(error.to_string().ends_with(problem), "{error}");
}

#[test]
fn files_are_read_as_sqlx_reads_them() {
    let directory = directory(&[
        ("0001_first_table.sql", b"CREATE TABLE a ();"),
        ("2_ünïcode name.sql", b"-- no-transaction\r\nVACUUM"),
        ("3_pair.up.sql", b"SELECT 1"),
        ("3_pair.down.sql", b"SELECT 2"),
        ("20260101120000_later.sql", b""),
        ("+5_signed.sql", b"SELECT 5;\n"),
        ("6_.sql", b"SELECT 6"),
        ("7_twice.sql.sql", b"SELECT 7"),
        ("README.md", b"\xff"),
        ("notes.sql", b"COMMIT"),
        ("4_backup.sql.bak", b"COMMIT"),
        ("x_y.txt", b"\xff"),
    ]);
    fs::create_dir(directory.path().join("8_folder.sql")).unwrap();
    let ours = Migrations::from_dirs(directory.path(), directory.path()).unwrap();
    let theirs = sqlx::migrate::resolve_blocking(directory.path()).unwrap();

    let describe = |it: &SqlxMigration| {
        (it.version, it.description.to_string(), it.migration_type, it.checksum.to_vec(), it.no_tx)
    };
    let scripts = ours.tenant().iter().flat_map(|it| [Some(it.up()), it.down()]).flatten();
    let ours_as_sqlx: Vec<_> =
        scripts.map(|script| (describe(script.source()), script.sql().to_owned())).collect();
    let theirs: Vec<_> = theirs.iter().map(|(it, _)| (describe(it), it.sql.as_str().to_owned())).collect();
    assert_eq!(ours_as_sqlx, theirs);
    assert_eq!(theirs.len(), 8);
}

#[test]
fn a_file_is_called_by_its_path() {
    let directory = directory(&[("0001_a.sql", b"SELECT 1")]);
    let migrations = Migrations::from_dirs(directory.path(), directory.path()).unwrap();
    let file = migrations.tenant().get(1).unwrap().file();
    assert_eq!(Path::new(file), directory.path().join("0001_a.sql"));
}

#[test]
fn a_missing_directory_is_named() {
    let directory = directory(&[("not_a_directory.txt", b"")]);
    for missing in ["missing", "not_a_directory.txt"] {
        let path = directory.path().join(missing);
        let error = Migrations::from_dirs(directory.path(), &path).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: there is no such directory", path.display()));
        assert!(error.hint().is_some());
    }
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere_is_no_missing_migration() {
    let directory = directory(&[]);
    let link = directory.path().join("0001_a.sql");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    let error = Migrations::from_dirs(directory.path(), directory.path()).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot be read", link.display()));
}

#[test]
fn mistakes_are_found_while_loading() {
    check_refused(
        &[("1_a.sql", b"\nCOMMIT;")],
        "1_a.sql",
        Some(2),
        ":2: `COMMIT` is not allowed in a migration",
    );
    check_refused(&[("1_a.sql", b"a\nb \xff")], "1_a.sql", Some(2), ":2: the file is not UTF-8");
    check_refused(&[("one_a.sql", b"")], "one_a.sql", None, "the name does not begin with a version number");
    check_refused(&[("01_a.sql", b""), ("1_b.sql", b"")], "1_b.sql", None, "01_a.sql`");
    check_refused(&[("1_a.down.sql", b"")], "1_a.down.sql", None, "that this file would undo");
    check_refused(
        &[("1_a.up.sql", b""), ("1_a.down.sql", b"COMMIT")],
        "1_a.down.sql",
        Some(1),
        "`COMMIT` is not allowed in a migration",
    );
}

#[test]
fn the_message_holds_nothing_of_its_source() {
    let error = MigrationError::in_file("a.sql", io::Error::other("disk on fire"));
    assert_eq!(error.to_string(), "a.sql: cannot be read");
    assert_eq!(error.source().unwrap().to_string(), "disk on fire");
}

fn migrator(migrations: &[(i64, &'static str, MigrationType, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|&(version, description, kind, sql)| {
        let no_transaction = sql.starts_with("-- no-transaction");
        SqlxMigration::new(version, description.into(), kind, sql.into_sql_str(), no_transaction)
    });
    Migrator::with_migrations(migrations.collect())
}

#[test]
fn what_was_compiled_in_is_called_by_its_name() {
    let tenant = migrator(&[
        (3, "notes and more", MigrationType::ReversibleUp, "SELECT 1"),
        (3, "notes and more", MigrationType::ReversibleDown, "SELECT 2"),
        (4, "index", MigrationType::Simple, "-- no-transaction\nVACUUM"),
    ]);
    let migrations = Migrations::from_migrators(migrator(&[]), tenant).unwrap();
    assert!(migrations.master().is_empty());
    let notes = migrations.tenant().get(3).unwrap();
    assert_eq!((notes.file(), notes.description()), ("3_notes_and_more.up.sql", "notes and more"));
    assert_eq!(notes.down().map(Script::file), Some("3_notes_and_more.down.sql"));
    assert!(!migrations.tenant().get(4).unwrap().is_plain());
}

#[test]
fn what_was_compiled_in_is_judged_too() {
    let bad = || migrator(&[(1, "a b", MigrationType::Simple, "\nSET ROLE x")]);
    for migrations in
        [Migrations::from_migrators(bad(), migrator(&[])), Migrations::from_migrators(migrator(&[]), bad())]
    {
        let message = migrations.unwrap_err().to_string();
        assert_eq!(message, "1_a_b.sql:2: `SET ROLE` is not allowed in a migration");
    }
}

#[test]
fn none_is_what_empty_directories_give() {
    let directory = directory(&[]);
    let empty = Migrations::from_dirs(directory.path(), directory.path()).unwrap();
    assert_eq!(empty.tenant().digest(), Migrations::none().tenant().digest());
    assert_eq!(empty.master().latest(), None);
}
