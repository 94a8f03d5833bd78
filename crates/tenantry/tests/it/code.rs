//! Migrations that are functions of the application.

use sqlx::{Connection as _, PgConnection};
use tenantry::migrate::CodeFuture;
use tenantry::{ErrorKind, Fleet, Migrations, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use crate::support::{
    Client, Folder, builder, check_error, database, ledger, report, slug, table, unobserved,
};

const PERSON: &str = "CREATE TABLE person (name text, initials text);
                      INSERT INTO person VALUES ('Ada Lovelace'), ('Alan Turing')";

fn folder() -> Folder {
    let folder = Folder::of(&[PERSON]);
    folder.write("tenant/0002_initials.sql", "-- code\n-- Splits names as no SQL can.\n");
    folder.write("tenant/0003_strict.sql", "ALTER TABLE person ALTER initials SET NOT NULL");
    folder
}

fn initials(connection: &mut PgConnection) -> CodeFuture<'_> {
    Box::pin(async move {
        let names: Vec<String> =
            sqlx::query_scalar("SELECT name FROM person").fetch_all(&mut *connection).await?;
        for name in names {
            let initials: String = name.split(' ').filter_map(|word| word.chars().next()).collect();
            sqlx::query("UPDATE person SET initials = $2 WHERE name = $1")
                .bind(name)
                .bind(initials)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    })
}

async fn open(database: &ScratchDatabase, migrations: Migrations) -> Tenancy {
    builder(database).migrations(migrations).connect().await.unwrap()
}

async fn initials_of(database: &ScratchDatabase, tenancy: &Tenancy, name: &str) -> String {
    let tenant = tenancy.tenant(name).await.unwrap();
    let all = format!("SELECT string_agg(initials, ' ' ORDER BY initials) FROM {}", table(&tenant, "person"));
    Client::owner(database).await.value(&all).await
}

#[tokio::test]
async fn a_function_is_applied_like_a_file() {
    let (database, folder) = (database().await, folder());
    let before = Folder::of(&[PERSON]);
    let tenancy = open(&database, before.migrations()).await;
    for slug in ["acme", "globex"] {
        tenancy.create(NewTenant::new(slug)).await.unwrap();
    }

    // Whoever has only the files knows of it, and cannot apply it.
    let files_alone = open(&database, folder.migrations()).await;
    let summary = files_alone.migrate(Fleet::only([slug("acme")]), unobserved).await.unwrap();
    assert_eq!(summary.failed, 1);
    let error = files_alone.tenant("acme").await.unwrap().last_error().unwrap().to_owned();
    assert!(error.contains("0002_initials.sql` stands for a function that this program does not"), "{error}");

    let tenancy = open(&database, folder.migrations().with_code(2, initials).unwrap()).await;
    let summary = tenancy.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.migrated, summary.failed), (2, 0));
    let mut client = Client::owner(&database).await;
    for name in ["acme", "globex"] {
        assert_eq!(initials_of(&database, &tenancy, name).await, "AL AT");
        let tenant = tenancy.tenant(name).await.unwrap();
        assert_eq!(ledger(&mut client, &tenant).await, [(1, true), (2, true), (3, true)]);
    }
    let again = files_alone.migrate(Fleet::all(), unobserved).await.unwrap();
    assert_eq!((again.run, again.failed), (None, 0), "what is applied needs no function");

    tenancy.create(NewTenant::new("initech")).await.unwrap();
    assert_eq!(initials_of(&database, &tenancy, "initech").await, "AL AT");
    check_error(tenancy.fill_spares(1).await, ErrorKind::Unsupported, &["0002_initials.sql"]);
}

#[tokio::test]
async fn a_function_that_fails_leaves_nothing_and_is_called_again() {
    let (database, folder) = (database().await, folder());
    let before = Folder::of(&[PERSON]);
    open(&database, before.migrations()).await.create(NewTenant::new("acme")).await.unwrap();
    let failing = folder.migrations().with_code(2, |connection| {
        Box::pin(async move {
            // A transaction of its own is a part of the whole.
            let mut tx = connection.begin().await?;
            sqlx::query("DELETE FROM person").execute(&mut *tx).await?;
            tx.commit().await?;
            Err("no initials today".into())
        })
    });
    let tenancy = open(&database, failing.unwrap()).await;
    let mut told = Vec::new();
    let seen = std::sync::Mutex::new(&mut told);
    let tell = |outcome: &tenantry::observe::Outcome<'_>| {
        seen.lock().unwrap().extend(outcome.error.map(report));
    };
    let summary = tenancy.migrate(Fleet::all(), tell).await.unwrap();
    assert_eq!(summary.failed, 1);
    let says = "0002_initials.sql: no initials today (tenant `acme`";
    assert!(told.len() == 1 && told[0].contains(says), "{told:?}");
    let mut client = Client::owner(&database).await;
    let acme = tenancy.tenant("acme").await.unwrap();
    assert_eq!(ledger(&mut client, &acme).await, [(1, true)]);
    assert_eq!(client.count(&table(&acme, "person")).await, 2);

    let tenancy = open(&database, folder.migrations().with_code(2, initials).unwrap()).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().migrated, 1);
    assert_eq!(initials_of(&database, &tenancy, "acme").await, "AL AT");
}

#[tokio::test]
async fn a_function_that_ends_its_transaction_counts_as_interrupted() {
    let (database, folder) = (database().await, folder());
    let before = Folder::of(&[PERSON]);
    open(&database, before.migrations()).await.create(NewTenant::new("acme")).await.unwrap();
    let ending = folder.migrations().with_code(2, |connection| {
        Box::pin(async move {
            sqlx::raw_sql("ALTER TABLE person ADD age int; COMMIT; BEGIN").execute(connection).await?;
            Ok(())
        })
    });
    let tenancy = open(&database, ending.unwrap()).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().failed, 1);
    let acme = tenancy.tenant("acme").await.unwrap();
    let error = acme.last_error().unwrap();
    assert!(error.contains("0002_initials.sql: the file has ended its transaction"), "{error}");
    assert_eq!(ledger(&mut Client::owner(&database).await, &acme).await, [(1, true), (2, false)]);
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().failed, 1);
    let error = tenancy.tenant("acme").await.unwrap().last_error().unwrap().to_owned();
    assert!(error.contains("0002_initials.sql` was interrupted"), "{error}");
}

#[tokio::test]
async fn a_function_that_changes_something_outside_is_undone() {
    let (database, folder) = (database().await, folder());
    let before = Folder::of(&[PERSON]);
    open(&database, before.migrations()).await.create(NewTenant::new("acme")).await.unwrap();
    let leaking = folder.migrations().with_code(2, |connection| {
        Box::pin(async move {
            sqlx::query("CREATE TABLE public.leak (id int)").execute(connection).await?;
            Ok(())
        })
    });
    let tenancy = open(&database, leaking.unwrap()).await;
    assert_eq!(tenancy.migrate(Fleet::all(), unobserved).await.unwrap().failed, 1);
    let error = tenancy.tenant("acme").await.unwrap().last_error().unwrap().to_owned();
    assert!(error.contains("0002_initials.sql") && error.contains("public.leak"), "{error}");
}

#[tokio::test]
async fn a_function_without_a_file_and_a_file_with_both_are_refused() {
    let folder = folder();
    for version in [1, 9] {
        let error = folder.migrations().with_code(version, initials).unwrap_err();
        assert!(error.to_string().ends_with("begins with `-- code`"), "{error}");
    }
    folder.write("tenant/0002_initials.sql", "-- code\n\nSELECT 1;");
    let error = Migrations::from_dirs(folder.tenant(), folder.tenant()).unwrap_err();
    assert!(
        error.to_string().contains("0002_initials.sql:3: a `-- code` file stands for a function"),
        "{error}"
    );
}
