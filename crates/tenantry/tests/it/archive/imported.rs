//! Archives that become tenants.

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tenantry::lifecycle::FormerFiles;
use tenantry::tenant::{Alias, Tenant};
use tenantry::{CloneOptions, Error, ErrorKind, FromArchive, ImportedTenant, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use super::export;
use crate::clone::{Nasty, ROWS, acme_with, lines_of};
use crate::support::{Client, NOTHING, builder, check_error, config, database, tenancy, tenant_files};
use crate::types;

pub(crate) async fn import(
    tenancy: &Tenancy,
    archive: &[u8],
    order: &FromArchive,
) -> Result<ImportedTenant, Error> {
    let archive: Arc<[u8]> = archive.into();
    tenancy.import(move || Ok(Box::new(Cursor::new(Arc::clone(&archive))) as Box<_>), order).await
}

fn as_copy() -> FromArchive {
    FromArchive::default().slug("copy")
}

fn assert_same(database: &ScratchDatabase, is: &Tenant, should_be: &[String]) {
    let is = lines_of(database, is.schema().as_str());
    let other: Vec<_> = is.iter().filter(|line| !should_be.contains(line)).collect();
    let missing: Vec<_> = should_be.iter().filter(|line| !is.contains(line)).collect();
    assert!(is == should_be, "other: {other:#?}\nmissing: {missing:#?}");
}

#[tokio::test]
async fn an_import_has_all_that_was_exported() {
    let nasty = Nasty::new().await;
    let Nasty { database, tenancy, acme, app } = &nasty;
    let (exported, archive) = export(database, tenancy, acme).await.unwrap();
    let should_be = lines_of(database, acme.schema().as_str());
    let imported = import(tenancy, &archive, &as_copy()).await.unwrap();
    assert_eq!((imported.rows, imported.is_compared), (exported.rows, true));
    let copy = &imported.tenant;
    assert_eq!((copy.slug().as_str(), copy.name(), copy.digest()), ("copy", "copy", acme.digest()));
    assert_eq!(copy.settings()["plan"], "gold");
    assert!(copy.owns_types());
    assert_same(database, copy, &should_be);
    let entries = tenancy.audit(copy.id(), 10).await.unwrap();
    assert_eq!((entries[0].verb.as_str(), entries[0].digest), ("import", Some(exported.sha256)));
    // An archive of what was imported is one of the same structure.
    let (again, _) = export(database, tenancy, copy).await.unwrap();
    assert_eq!((again.fingerprint, again.rows), (exported.fingerprint, exported.rows));

    // Its own slug, once it is gone.
    check_error(
        import(tenancy, &archive, &FromArchive::default()).await,
        ErrorKind::AlreadyExists,
        &["`acme` already exists"],
    );
    tenancy.delete(acme).await.unwrap();
    let now = tenantry::PurgeOptions { now: true, ..tenantry::PurgeOptions::default() };
    tenancy.purge(acme, now).await.unwrap();
    let back = import(tenancy, &archive, &FromArchive::default()).await.unwrap();
    assert_eq!((back.tenant.slug().as_str(), back.tenant.name()), ("acme", "Acme"));
    assert_same(database, &back.tenant, &should_be);

    // Without a role that has privileges in it.
    let superuser = format!("DROP OWNED BY {app}; DROP ROLE {app}");
    Client::superuser(database).await.run(&superuser).await;
    let refused = import(tenancy, &archive, &FromArchive::default().slug("third")).await;
    check_error(refused, ErrorKind::Unsupported, &["roles have privileges in it", app]);
    let order = FromArchive::default().slug("third").without_privileges();
    let imported = import(tenancy, &archive, &order).await.unwrap();
    assert_eq!((imported.rows, imported.is_compared), (exported.rows, false));
}

#[tokio::test]
async fn an_archive_goes_to_another_installation_and_is_migrated_there() {
    let (database_1, here, acme) = acme_with(ROWS).await;
    let domain = "acme.example".parse().unwrap();
    here.add_domain(&acme, &domain).await.unwrap();
    let (exported, archive) = export(&database_1, &here, &acme).await.unwrap();
    let database = database().await;
    let note = "CREATE TABLE note (id int PRIMARY KEY)";
    let files = [note, "ALTER TABLE note ADD title text", "ALTER TABLE customer ADD phone text"];
    let there = tenancy(&database, &files).await;
    let imported = import(&there, &archive, &FromArchive::default()).await.unwrap();
    assert_eq!((imported.migrated, imported.rows), (vec![2, 3], exported.rows));
    assert_eq!(there.domains(&imported.tenant).await.unwrap(), [domain]);
    let db = there.db(&imported.tenant).unwrap();
    let (emails, phones): (i64, i64) =
        sqlx::query_as("SELECT count(email), count(phone) FROM customer").fetch_one(&db).await.unwrap();
    assert_eq!((emails, phones), (2, 0));
    let summary = there.migrate(tenantry::Fleet::all(), crate::support::unobserved).await.unwrap();
    assert_eq!((summary.failed, summary.migrated), (0, 0));
    let audit = there.audit(imported.tenant.id(), 1).await.unwrap();
    assert_eq!(audit[0].state, tenantry::registry::AuditState::Done);

    // A file that fails, and with it the one before: what there is goes on once it is mended.
    let bad = [note, "ALTER TABLE note ADD title text", "ALTER TABLE nobody ADD x int"];
    let bad = builder(&database).migrations(tenant_files(&bad)).connect().await.unwrap();
    check_error(import(&bad, &archive, &as_copy()).await, ErrorKind::Migration, &["nobody"]);
    check_error(
        there.db(&there.tenant("copy").await.unwrap()),
        ErrorKind::TenantUnavailable,
        &["provisioning"],
    );
    let again = import(&there, &archive, &as_copy()).await.unwrap();
    assert_eq!((again.migrated, again.tenant.status()), (vec![2, 3], tenantry::tenant::Status::Active));
}

#[tokio::test]
async fn what_an_archive_needs_and_does_not_find_is_named_before_anything_is_made() {
    let (database, here, acme) = acme_with("").await;
    let mut superuser = Client::superuser(&database).await;
    superuser.run("CREATE EXTENSION citext SCHEMA extensions").await;
    let mut owner = Client::owner(&database).await;
    owner.run(&format!("CREATE TABLE {}.person (name extensions.citext)", acme.schema())).await;
    let (_, archive) = export(&database, &here, &acme).await.unwrap();
    let note = "CREATE TABLE note (id int PRIMARY KEY)";
    for (files, says) in [(&["CREATE TABLE note (id bigint PRIMARY KEY)"][..], "1"), (&[][..], "1")] {
        let other = builder(&database).migrations(tenant_files(files)).connect().await.unwrap();
        check_error(
            import(&other, &archive, &as_copy()).await,
            ErrorKind::Migration,
            &["cannot be imported", says],
        );
        assert_eq!(owner.traces("copy").await, NOTHING);
    }
    let taken = FromArchive::default().slug("copy").domain("other.example".parse().unwrap());
    here.add_domain(&acme, &"other.example".parse().unwrap()).await.unwrap();
    check_error(import(&here, &archive, &taken).await, ErrorKind::AlreadyExists, &["other.example"]);
    let reserved = FromArchive::default().slug("www");
    check_error(import(&here, &archive, &reserved).await, ErrorKind::InvalidInput, &["reserved"]);
    here.create(NewTenant::new("taken")).await.unwrap();
    let order = FromArchive::default().slug("taken");
    check_error(import(&here, &archive, &order).await, ErrorKind::AlreadyExists, &["`taken`"]);

    let elsewhere = crate::support::database().await;
    let there = tenancy(&elsewhere, &[note]).await;
    let missing = import(&there, &archive, &as_copy()).await;
    check_error(missing, ErrorKind::Unsupported, &["it needs extension `citext` in schema `extensions`"]);
    Client::superuser(&elsewhere).await.run("CREATE EXTENSION citext SCHEMA public").await;
    let moved = import(&there, &archive, &as_copy()).await;
    check_error(moved, ErrorKind::Unsupported, &["`citext` is in schema `public` here"]);
    assert_eq!(Client::owner(&elsewhere).await.traces("copy").await, NOTHING);
    assert_eq!(owner.traces("copy").await, NOTHING);
}

#[tokio::test]
async fn a_tablespace_that_is_not_there_is_named_before_anything_is_made() {
    let (database, tenancy, acme) = acme_with("").await;
    let (space, table) = (format!("{}_space", database.name()), format!("{}.note", acme.schema()));
    let mut superuser = Client::superuser(&database).await;
    superuser.run("SET allow_in_place_tablespaces = on").await;
    superuser.run(&format!("CREATE TABLESPACE {space} LOCATION ''")).await;
    superuser.run(&format!("GRANT CREATE ON TABLESPACE {space} TO PUBLIC")).await;
    superuser.run(&format!("ALTER TABLE {table} SET TABLESPACE {space}")).await;
    let (_, archive) = export(&database, &tenancy, &acme).await.unwrap();
    let imported = import(&tenancy, &archive, &as_copy()).await.unwrap();
    for tenant in [&acme, &imported.tenant] {
        let move_back = format!("ALTER TABLE {}.note SET TABLESPACE pg_default", tenant.schema());
        superuser.run(&move_back).await;
    }
    superuser.run(&format!("DROP TABLESPACE {space}")).await;
    let order = FromArchive::default().slug("other");
    let refused = import(&tenancy, &archive, &order).await;
    check_error(refused, ErrorKind::Unsupported, &["tablespaces that are not here", &space]);
    assert_eq!(Client::owner(&database).await.traces("other").await, NOTHING);
}

#[tokio::test]
async fn what_is_left_of_a_type_comes_along_wherever_a_tenant_is_made_again() {
    let (main, other, folder) = (database().await, database().await, types::folder());
    let eu = Alias::parse("eu").unwrap();
    let builder = types::with_types(&main, &folder).database_as(eu.clone(), config(&other));
    let tenancy = builder.connect().await.unwrap();
    let [_, pro, _] = types::one_of_each(&tenancy).await;
    let former = tenancy.set_type(&pro, None, FormerFiles::Keep).await.unwrap().tenant;
    let (_, archive) = export(&main, &tenancy, &former).await.unwrap();
    let dump = async |arguments: &[String]| Ok::<_, Error>(crate::clone::dump(&main, arguments));
    let new = NewTenant::new("cloned").database(eu.clone());
    let cloned = tenancy.clone_tenant(&former, new, CloneOptions::default(), dump).await.unwrap();
    let mut made = vec![cloned.tenant];
    for (slug, alias) in [("here", Alias::default()), ("there", eu)] {
        let order = FromArchive::default().slug(slug).database(alias);
        made.push(import(&tenancy, &archive, &order).await.unwrap().tenant);
    }
    types::check_clean(&tenancy).await;
    for tenant in made {
        let change =
            tenancy.set_type(&tenant, Some(&types::type_name("pro")), FormerFiles::Keep).await.unwrap();
        assert_eq!((&*change.put_back, &*change.applied), (&[2][..], &[][..]), "{}", tenant.slug());
    }
    types::check_clean(&tenancy).await;
}

#[tokio::test]
async fn nothing_is_made_of_a_damaged_archive() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    let (_, archive) = export(&database, &tenancy, &acme).await.unwrap();
    let mut damages = 0;
    let step = archive.len() / 300;
    for index in (0..archive.len()).step_by(step.max(1)) {
        let mut other = archive.clone();
        other[index] ^= 1 << (index % 8);
        for damaged in [&other[..], &archive[..index]] {
            let refused = import(&tenancy, damaged, &as_copy()).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput, "at {index}");
            damages += 1;
        }
    }
    for damaged in [[&archive[..], &archive[..]].concat(), [&archive[..], b"\0"].concat(), Vec::new()] {
        assert!(import(&tenancy, &damaged, &as_copy()).await.is_err());
        damages += 1;
    }
    assert!(damages >= 500, "{damages}");
    assert_eq!(Client::owner(&database).await.traces("copy").await, NOTHING);

    // One that changes between the two times that it is read.
    let changing: Arc<AtomicUsize> = Arc::default();
    let (first, mut second): (Arc<[u8]>, _) = (archive.clone().into(), archive.clone());
    let middle = second.len() / 2;
    second[middle] ^= 1;
    let second: Arc<[u8]> = second.into();
    let open = move || {
        let is_first = changing.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(Box::new(Cursor::new(Arc::clone(if is_first { &first } else { &second }))) as Box<_>)
    };
    assert!(tenancy.import(open, &as_copy()).await.is_err());
    assert_eq!(Client::owner(&database).await.traces("copy").await, NOTHING);
    import(&tenancy, &archive, &as_copy()).await.unwrap();
}

#[tokio::test]
async fn an_archive_is_of_one_moment_while_others_write() {
    let sql = "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
               CREATE TABLE other (id int PRIMARY KEY, amount int NOT NULL);
               INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i;
               INSERT INTO other SELECT i, 100 FROM generate_series(1, 20) AS i";
    let (database, tenancy, acme) = acme_with(sql).await;
    let db = tenancy.db(&acme).unwrap();
    let moves = "WITH taken AS (UPDATE account SET amount = amount - 1 WHERE id = $1)
                 UPDATE other SET amount = amount + 1 WHERE id = 21 - $1";
    let writer = async {
        for id in (1..=20).cycle() {
            sqlx::query(moves).bind(id).execute(&db).await.unwrap();
        }
    };
    let exports = async {
        let mut sums = Vec::new();
        for number in 0..3 {
            let (_, archive) = export(&database, &tenancy, &acme).await.unwrap();
            let order = FromArchive::default().slug(format!("copy{number}"));
            let copy = import(&tenancy, &archive, &order).await.unwrap().tenant;
            let copy = tenancy.db(&copy).unwrap();
            let sum = "SELECT (SELECT sum(amount) FROM account) + (SELECT sum(amount) FROM other),
                              (SELECT sum(amount) FROM other)";
            let (total, on_other): (i64, i64) = sqlx::query_as(sum).fetch_one(&copy).await.unwrap();
            assert_eq!(total, 4000);
            sums.push(on_other);
        }
        assert!(sums.iter().any(|sum| *sum > 2000), "nothing was moved: {sums:?}");
    };
    tokio::select! {
        () = exports => {}
        () = writer => unreachable!("it writes for ever"),
    }
}

#[tokio::test]
async fn of_two_imports_under_one_slug_the_second_is_refused_at_its_beginning() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    let (_, archive) = export(&database, &tenancy, &acme).await.unwrap();
    let first_has_begun = Arc::new(tokio::sync::Notify::new());
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let (bytes, waits, begun) =
        (Arc::<[u8]>::from(&archive[..]), Mutex::new(waits), Arc::clone(&first_has_begun));
    let passes = AtomicUsize::new(0);
    // It is read once to be verified. While it is read again, the second comes.
    let open = move || {
        if passes.fetch_add(1, Ordering::Relaxed) == 1 {
            begun.notify_one();
            let _ = waits.lock().unwrap().recv();
        }
        Ok(Box::new(Cursor::new(Arc::clone(&bytes))) as Box<_>)
    };
    let order = as_copy();
    let (first, second) = tokio::join!(tenancy.import(open, &order), async {
        first_has_begun.notified().await;
        let second = import(&tenancy, &archive, &as_copy()).await;
        go_on.send(()).unwrap();
        second
    });
    check_error(second, ErrorKind::Conflict, &["`copy` is being made by another process"]);
    assert_eq!(first.unwrap().tenant.slug().as_str(), "copy");
}
