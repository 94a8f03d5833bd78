#![allow(clippy::unwrap_used)]

use std::{
    env,
    error::Error as _,
    fs, io,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration as SqlxMigration, MigrationType, Migrator};

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
        ("05_zero.sql", b"SELECT 5;\n"),
        ("6_.sql", b"SELECT 6"),
        ("7_twice.sql.sql", b"SELECT 7"),
        ("README.md", b"\xff"),
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
fn sql_in_a_folder_is_named_and_other_folders_are_not() {
    for (folder, file, right) in [
        ("20240101_init", "migration.sql", "as `20240101_init.sql`"),
        ("00000000000000_a/b", "up.sql", "as `0001_b.up.sql`"),
        ("old", "1_a.SQL", "as `1_a.sql`"),
    ] {
        let directory = directory(&[("1_a.sql", b"SELECT 1")]);
        fs::create_dir_all(directory.path().join(folder)).unwrap();
        fs::write(directory.path().join(folder).join("README"), "").unwrap();
        fs::create_dir(directory.path().join(".git")).unwrap();
        fs::write(directory.path().join(".git/1_a.sql"), "").unwrap();
        // What archives of macOS and editors leave behind.
        fs::write(directory.path().join("._1_a.sql"), b"\xff").unwrap();
        fs::write(directory.path().join(".1_a.sql.swp"), b"\xff").unwrap();
        assert_eq!(Migrations::from_dirs(directory.path(), directory.path()).unwrap().tenant().len(), 1);
        let path = directory.path().join(folder).join(file);
        fs::write(&path, "SELECT 1").unwrap();
        let error = Migrations::from_dirs(directory.path(), directory.path()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}: it is in a folder, and folders are not read", path.display())
        );
        assert!(error.hint().unwrap().contains(right), "{error:?}");
    }
}

#[test]
fn one_directory_may_be_in_the_other() {
    let outer = directory(&[("1_a.sql", b"SELECT 1")]);
    let inner = outer.path().join("deep/tenant");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("2_b.sql"), "SELECT 2").unwrap();
    fs::write(inner.join("baseline.sql"), "no baseline").unwrap();
    let error = Migrations::from_dirs(outer.path(), &inner).unwrap_err();
    assert!(error.to_string().contains("name no version and digest"), "{error}");
    fs::remove_file(inner.join("baseline.sql")).unwrap();
    let migrations = Migrations::from_dirs(outer.path(), &inner).unwrap();
    assert_eq!((migrations.master().latest(), migrations.tenant().latest()), (Some(1), Some(2)));
    let turned = Migrations::from_dirs(&inner, outer.path()).unwrap();
    assert_eq!((turned.master().latest(), turned.tenant().latest()), (Some(2), Some(1)));
}

#[test]
fn a_baseline_of_the_master_schema_or_of_another_name_is_none() {
    let (master, tenant) = (directory(&[("baseline.sql", b"")]), directory(&[]));
    let error = Migrations::from_dirs(master.path(), tenant.path()).unwrap_err();
    assert!(
        error.to_string().ends_with("baseline.sql: the name does not begin with a version number"),
        "{error}"
    );
    let capital = directory(&[("Baseline.sql", b"")]);
    Migrations::from_dirs(tenant.path(), capital.path()).unwrap_err();
}

#[test]
fn a_baseline_in_another_encoding_is_named() {
    for (bytes, problem) in [
        (&b"\xef\xbb\xbf-- version: 1"[..], "the file begins with a byte order mark"),
        (b"\xff\xfe-\0", "the file is UTF-16"),
        (b"\xfe\xff\0-", "the file is UTF-16"),
    ] {
        let (master, tenant) = (directory(&[]), directory(&[("baseline.sql", bytes)]));
        let error = Migrations::from_dirs(master.path(), tenant.path()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("baseline.sql:1: {problem}")), "{error}");
    }
}

#[test]
fn what_is_wrong_is_kept_for_those_who_need_the_files() {
    let tenant = directory(&[
        ("1_a.sql", b"SELECT 1"),
        ("2_b.sql", b"COMMIT"),
        ("3_c.up.sql", b"SELECT 3"),
        ("3_c.down.sql", b"SET ROLE a"),
        ("baseline.sql", b"no baseline"),
    ]);
    let master = directory(&[]);
    let migrations = Migrations::read(master.path(), tenant.path());
    let mistakes: Vec<_> = migrations.mistakes().iter().map(MigrationError::version).collect();
    assert_eq!(mistakes, [Some(2), Some(3), None]);
    assert_eq!(migrations.tenant().len(), 3, "what some schema may have applied keeps its place");
    migrations.check_files().unwrap();
    let message = migrations.creation_files(None).unwrap_err().to_string();
    assert!(
        message.ends_with("baseline.sql: the comments at its beginning name no version and digest"),
        "{message}"
    );

    fs::remove_file(tenant.path().join("baseline.sql")).unwrap();
    let message =
        Migrations::read(master.path(), tenant.path()).creation_files(None).unwrap_err().to_string();
    assert!(message.ends_with("2_b.sql:1: `COMMIT` is not allowed in a migration"), "{message}");
    fs::write(tenant.path().join("2_b.sql"), "SELECT 2").unwrap();
    // The way back is of no use to a new tenant.
    Migrations::read(master.path(), tenant.path()).creation_files(None).unwrap();
    fs::write(tenant.path().join("02_b.sql"), "SELECT 2").unwrap();
    let unclear = Migrations::read(master.path(), tenant.path());
    assert!(unclear.check_files().unwrap_err().to_string().contains("version 2 is already used by"));
    assert_eq!(unclear.mistakes().len(), 2);
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
    check_refused(&[("0001-a.sql", b"\xff")], "0001-a.sql", None, "the version is not followed by `_`");
    check_refused(&[("1_a.sql", b"\xff\xfe-\0")], "1_a.sql", Some(1), "the file is UTF-16");
    check_refused(
        &[("1_a.sql", b"\xef\xbb\xbf")],
        "1_a.sql",
        Some(1),
        "the file begins with a byte order mark",
    );
    check_refused(&[("1_a.sql", b"a\rb\r\n \xff")], "1_a.sql", Some(3), ":3: the file is not UTF-8");
    check_refused(&[("01_a.sql", b""), ("1_b.sql", b"")], "1_b.sql", None, "01_a.sql`");
    check_refused(&[("1_a.down.sql", b"")], "1_a.down.sql", None, "that this file would undo");
    check_refused(&[("1_a.sql", b"a\0")], "1_a.sql", Some(1), "the file is UTF-16");
    check_refused(&[("1_a.sql", b"ab\n\0")], "1_a.sql", Some(2), "the file contains a NUL character");
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
fn a_version_with_a_sign_is_not_compiled_in() {
    let signed = migrator(&[(-5, "x", MigrationType::Simple, "SELECT 1")]);
    let error = Migrations::from_migrators(migrator(&[]), signed).unwrap_err();
    assert_eq!(error.to_string(), "-5_x.sql: a version number has no sign");
}

#[test]
fn none_is_what_empty_directories_give() {
    let directory = directory(&[]);
    let empty = Migrations::from_dirs(directory.path(), directory.path()).unwrap();
    assert_eq!(empty.tenant().digest(), Migrations::none().tenant().digest());
    assert_eq!(empty.master().latest(), None);
}

fn pro() -> TypeName {
    TypeName::parse("pro").unwrap()
}

#[test]
fn a_type_has_a_directory_of_further_files() {
    let tenant = directory(&[("1_a.sql", b"SELECT 1"), ("3_b.sql", b"SELECT 1")]);
    let further = directory(&[("2_c.sql", b"SELECT 1"), ("9_d.sql", b"SELECT 1")]);
    let files = Migrations::from_dirs(tenant.path(), tenant.path()).unwrap();
    let files = files.with_type_dir(pro(), further.path()).unwrap();
    let versions = |set: &MigrationSet| set.iter().map(Migration::version).collect::<Vec<_>>();
    assert_eq!(versions(files.tenant()), [1, 3]);
    assert_eq!(versions(files.of_type(Some(&pro())).unwrap()), [1, 2, 3, 9]);
    assert!(files.of_type(Some(&TypeName::parse("gold").unwrap())).is_none());
    assert_eq!(files.types().count(), 1);
}

#[test]
fn what_is_wrong_with_the_files_of_a_type_stops_that_type_alone() {
    let tenant = directory(&[("1_a.sql", b"SELECT 1")]);
    let files = || Migrations::read(tenant.path(), tenant.path());
    let further = directory(&[("1_c.sql", b"SELECT 1")]);
    for (path, says) in [
        (further.path().to_owned(), "version 1 is already used by"),
        (further.path().join("gone"), "there is no such directory"),
    ] {
        let files = files().with_read(&pro(), &path, Baselines::Read);
        files.check_files().unwrap();
        files.creation_files(None).unwrap();
        let error = files.files_of(Some(&pro())).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
        let mistakes = files.mistakes();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].to_string().contains(says), "{}", mistakes[0]);
        let refused = files_of_dir(&tenant).with_type_dir(pro(), &path).unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

fn files_of_dir(directory: &Directory) -> Migrations {
    Migrations::from_dirs(directory.path(), directory.path()).unwrap()
}

#[test]
fn a_type_starts_from_the_baseline_of_all_tenants_unless_it_has_its_own() {
    let tenant = directory(&[("1_a.sql", b"SELECT 1"), ("3_b.sql", b"SELECT 1")]);
    let further = directory(&[("2_c.sql", b"SELECT 1")]);
    let head = |set: &MigrationSet, version: i64| {
        let digest = set.through(version).digest();
        format!("-- version: {version}\n-- digest: {digest}\n")
    };
    let files = files_of_dir(&tenant);
    fs::write(tenant.path().join("baseline.sql"), head(files.tenant(), 3)).unwrap();
    let files = files_of_dir(&tenant).with_type_dir(pro(), further.path()).unwrap();
    let squashed = |files: &Migrations| {
        let files = files.creation_files(Some(&pro())).unwrap();
        let versions = |file: &Migration| file.version();
        let beyond: Vec<_> = files.beyond_baseline().map(versions).collect();
        (files.squashed().map(versions).collect::<Vec<_>>(), beyond)
    };
    assert_eq!(squashed(&files), (vec![1, 3], vec![2]));

    fs::write(further.path().join("baseline.sql"), head(files.of_type(Some(&pro())).unwrap(), 2)).unwrap();
    let files = files_of_dir(&tenant).with_type_dir(pro(), further.path()).unwrap();
    assert_eq!(squashed(&files), (vec![1, 2], vec![3]));
    // One that was made from other files is a mistake of the type alone.
    fs::write(further.path().join("baseline.sql"), head(files.tenant(), 3)).unwrap();
    let files = files_of_dir(&tenant).with_read(&pro(), further.path(), Baselines::Read);
    files.creation_files(None).unwrap();
    files.files_of(Some(&pro())).unwrap();
    assert!(files.creation_files(Some(&pro())).unwrap_err().to_string().contains("other files"));
}
