//! A tenant that is made as a copy of another one.

mod elsewhere;
mod large;
mod refused;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenantry::observe::{Outcome, Step};
use tenantry::tenant::Tenant;
use tenantry::{CloneOptions, Cloned, Error, ErrorKind, NewTenant, Tenancy};
use tenantry_embedded::{Binaries, ScratchDatabase};

use crate::support::{
    Client, NOTHING, builder, check_error, database, table, tenancy, tenant_files, unobserved,
};

const NASTY: &str = include_str!("clone/nasty.sql");

/// Calls `pg_dump` of the server's own programs.
pub(crate) fn dump(database: &ScratchDatabase, arguments: &[String]) -> String {
    let mut command = Command::new(Binaries::find().unwrap().directory().join("pg_dump"));
    let output = command.args(arguments).arg("--dbname").arg(database.superuser_url()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Clones `acme`.
async fn clone_as(
    database: &ScratchDatabase,
    tenancy: &Tenancy,
    slug: &str,
    options: CloneOptions,
) -> Result<Cloned, Error> {
    let acme = tenancy.tenant("acme").await.unwrap();
    let dump = async |arguments: &[String]| Ok(dump(database, arguments));
    tenancy.clone_tenant(&acme, NewTenant::new(slug), options, dump).await
}

/// An installation with a tenant `acme` whose schema holds what the SQL makes.
pub(crate) async fn acme_with(sql: &str) -> (ScratchDatabase, Tenancy, Tenant) {
    let database = database().await;
    let tenancy = tenancy(&database, &["CREATE TABLE note (id int PRIMARY KEY)"]).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut owner = Client::owner(&database).await;
    owner.run(&format!("SET search_path TO {}, extensions, pg_temp", acme.schema())).await;
    owner.run(sql).await;
    (database, tenancy, acme)
}

/// The lines of a dump of a schema, with its rows, under one name, in the order of the alphabet: rows of a hash
/// partition may be in another one.
fn lines(database: &ScratchDatabase, tenant: &Tenant) -> Vec<String> {
    lines_of(database, tenant.schema().as_str())
}

pub(crate) fn lines_of(database: &ScratchDatabase, schema: &str) -> Vec<String> {
    let quoted = format!("\"{}\"", schema.replace('"', "\"\""));
    let text = dump(database, &[format!("--schema={quoted}")]);
    let text = text.replace(&quoted, "own").replace(schema, "own");
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.contains("restrict ")).map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A tenant `acme` whose schema has one of everything.
pub(crate) struct Nasty {
    pub(crate) database: ScratchDatabase,
    pub(crate) tenancy: Tenancy,
    pub(crate) acme: Tenant,
    /// A role that has privileges in it.
    pub(crate) app: String,
}

impl Nasty {
    pub(crate) async fn new() -> Self {
        let database = database().await;
        let tenancy = tenancy(&database, &["CREATE TABLE first (id int)"]).await;
        let acme = tenancy.create(NewTenant::new("acme").setting("plan", "gold").name("Acme")).await.unwrap();
        let app = format!("{}_reader", database.name());
        let superuser = format!(
            "CREATE ROLE {app}; CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER remote FOREIGN DATA WRAPPER nothing;
             GRANT USAGE ON FOREIGN SERVER remote TO PUBLIC"
        );
        Client::superuser(&database).await.run(&superuser).await;
        let mut owner = Client::owner(&database).await;
        owner.run("CREATE TABLE public.plan (id int PRIMARY KEY); INSERT INTO public.plan VALUES (1)").await;
        owner.run(&format!("SET search_path TO {}", acme.schema())).await;
        // A value that was added later has a number out of line.
        owner.run("CREATE TYPE mood AS ENUM ('good', 'it''s bad')").await;
        owner.run("ALTER TYPE mood ADD VALUE 'so so' BEFORE 'it''s bad'").await;
        owner.run(&NASTY.replace(":app", &app).replace(":schema", acme.schema().as_str())).await;
        let acme = tenancy.tenant("acme").await.unwrap();
        Self { database, tenancy, acme, app }
    }

    /// Removes what belongs to no database.
    pub(crate) async fn end(self) {
        let app = &self.app;
        Client::superuser(&self.database).await.run(&format!("DROP OWNED BY {app}; DROP ROLE {app}")).await;
    }
}

#[tokio::test]
async fn a_clone_has_all_that_its_source_has_and_outlives_it() {
    let Nasty { database, tenancy, acme, app } = Nasty::new().await;
    let mut owner = Client::owner(&database).await;

    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    assert!(!cloned.structure_was_kept);
    assert_eq!(cloned.notes, [""; 0]);
    assert_eq!((cloned.tenant.settings()["plan"].as_str(), cloned.tenant.name()), (Some("gold"), "copy"));
    assert_eq!((cloned.tenant.digest(), cloned.tenant.owns_types()), (acme.digest(), true));
    let (is, should_be) = (lines(&database, &cloned.tenant), lines(&database, &acme));
    let other: Vec<_> = is.iter().filter(|line| !should_be.contains(line)).collect();
    let missing: Vec<_> = should_be.iter().filter(|line| !is.contains(line)).collect();
    assert!(is == should_be, "other: {other:#?}\nmissing: {missing:#?}");
    let casts = "pg_cast AS c WHERE obj_description(c.oid, 'pg_cast') = 'loud'";
    assert_eq!(owner.count(casts).await, 2);

    // The next one is made of what is kept.
    let again = clone_as(&database, &tenancy, "copy2", CloneOptions::default()).await.unwrap();
    assert!(again.structure_was_kept);
    assert_eq!(again.rows, cloned.rows);
    // And of a clone, which has the same structure.
    let third = tenancy
        .clone_tenant(&cloned.tenant, NewTenant::new("copy3"), CloneOptions::default(), no_dump)
        .await
        .unwrap();
    assert_eq!(lines(&database, &third.tenant), should_be);

    owner.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
    assert_eq!(lines(&database, &cloned.tenant), should_be);
    let db = tenancy.db(&cloned.tenant).unwrap();
    for sql in [
        "SELECT with_path() + definer() + next_number()",
        "SELECT count(*) FROM rows_of((SELECT c FROM customer AS c LIMIT 1))",
        "WITH made AS (INSERT INTO customer (name) VALUES ('new') RETURNING 1) SELECT count(*) FROM made",
        "SELECT count(*) FROM pointers WHERE r = 'customer'::regclass AND t = 'mood'::regtype",
    ] {
        let value: i64 = sqlx::query_scalar(sql).fetch_one(&db).await.unwrap();
        assert!(value > 0, "{sql}");
    }
    Nasty { database, tenancy, acme, app }.end().await;
}

pub(crate) async fn no_dump(_: &[String]) -> Result<String, Error> {
    Err(Error::invalid_input("the structure is kept"))
}

pub(crate) const ROWS: &str = "CREATE TABLE customer (id serial PRIMARY KEY, email text NOT NULL);
    CREATE TABLE log (id serial PRIMARY KEY, customer int REFERENCES customer);
    CREATE TABLE day (at date) PARTITION BY RANGE (at);
    CREATE TABLE day_1 PARTITION OF day DEFAULT;
    CREATE MATERIALIZED VIEW emails AS SELECT email FROM customer;
    INSERT INTO customer (email) VALUES ('a@b.c'), ('d@e.f');
    INSERT INTO log (customer) VALUES (1), (2), (2);
    INSERT INTO day VALUES ('2024-01-01');
    REFRESH MATERIALIZED VIEW emails";

/// The numbers of rows of the tables of [`ROWS`].
async fn counts(database: &ScratchDatabase, tenant: &Tenant) -> [i64; 4] {
    let mut owner = Client::owner(database).await;
    let mut counts = [0; 4];
    for (count, table) in counts.iter_mut().zip(["customer", "log", "day", "emails"]) {
        *count = owner.count(&format!("{}.{table}", tenant.schema())).await;
    }
    counts
}

#[tokio::test]
async fn a_clone_has_the_rows_that_were_asked_for() {
    let (database, tenancy, _) = acme_with(ROWS).await;
    for (slug, options, rows) in [
        ("all", CloneOptions::default(), [2, 3, 1, 2]),
        ("none", CloneOptions::default().without_rows(), [0, 0, 0, 0]),
        ("only", CloneOptions::default().only_tables(["customer", "day"]), [2, 0, 1, 2]),
        ("except", CloneOptions::default().except_tables(["log"]), [2, 0, 1, 2]),
    ] {
        let cloned = clone_as(&database, &tenancy, slug, options).await.unwrap();
        assert_eq!(counts(&database, &cloned.tenant).await, rows, "{slug}");
    }
    let unknown =
        clone_as(&database, &tenancy, "other", CloneOptions::default().only_tables(["custom"])).await;
    check_error(unknown, ErrorKind::InvalidInput, &["no table `custom`"]);
    // Rows that lead to none are refused by the key.
    let orphans = clone_as(&database, &tenancy, "other", CloneOptions::default().only_tables(["log"])).await;
    check_error(orphans, ErrorKind::Migration, &["foreign key"]);
    assert_eq!(Client::owner(&database).await.traces("other").await, NOTHING);
}

#[tokio::test]
async fn nobody_sees_a_clone_before_it_is_anonymous() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    let anonymize = |sql: &str| CloneOptions::default().anonymize("hide.sql", sql);
    let update = "UPDATE customer SET email = 'customer' || id || '@example.com'";
    let cloned = clone_as(&database, &tenancy, "shown", anonymize(update)).await.unwrap();
    let mut owner = Client::owner(&database).await;
    for (tenant, known) in [(&cloned.tenant, 0), (&acme, 2)] {
        for table in ["customer", "emails"] {
            let what = format!("{}.{table} WHERE email NOT LIKE '%@example.com'", tenant.schema());
            assert_eq!(owner.count(&what).await, known, "{what}");
        }
    }
    let entries = tenancy.audit(cloned.tenant.id(), 10).await.unwrap();
    let expect = serde_json::json!({ "source": "acme", "anonymize": "hide.sql" });
    assert_eq!((entries[0].verb.as_str(), &entries[0].options), ("clone", &expect));

    owner.run("CREATE TABLE public.shared (id int)").await;
    for (sql, kind, says) in [
        ("UPDATE customer SET email = NULL", ErrorKind::Migration, "hide.sql:1"),
        ("\nCOMMIT", ErrorKind::Migration, "hide.sql:2"),
        ("ALTER TABLE customer ADD x int", ErrorKind::Unsupported, "column `customer.x`"),
        ("DELETE FROM public.shared", ErrorKind::InvalidInput, "public.shared"),
        (&format!("DELETE FROM {}.log", acme.schema()), ErrorKind::InvalidInput, "log"),
    ] {
        let refused = clone_as(&database, &tenancy, "other", anonymize(sql)).await;
        check_error(refused, kind, &[says]);
        assert_eq!(owner.traces("other").await, NOTHING, "{sql}");
    }
    assert_eq!(counts(&database, &acme).await, [2, 3, 1, 2]);
}

#[tokio::test]
async fn a_clone_is_of_one_moment_while_others_write() {
    let sql = "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
               INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i";
    let (database, tenancy, acme) = acme_with(sql).await;
    let writer = async {
        let db = tenancy.db(&acme).unwrap();
        loop {
            let (from, to) = (fastrand(20), fastrand(20));
            let moved = "UPDATE account SET amount = amount + CASE id WHEN $1 THEN -1 ELSE 1 END WHERE id IN ($1, $2)";
            if from != to {
                sqlx::query(moved).bind(from).bind(to).execute(&db).await.unwrap();
            }
        }
    };
    let clones = async {
        for number in 0..4 {
            let slug = format!("copy{number}");
            let cloned = clone_as(&database, &tenancy, &slug, CloneOptions::default()).await.unwrap();
            let mut owner = Client::owner(&database).await;
            let sum = format!("SELECT sum(amount) FROM {}.account", cloned.tenant.schema());
            assert_eq!(owner.value::<i64>(&sum).await, 2000);
        }
    };
    tokio::select! {
        () = clones => {}
        () = writer => unreachable!("it writes for ever"),
    }
}

fn fastrand(below: i32) -> i32 {
    let [first, second, ..] = uuid::Uuid::new_v4().into_bytes();
    i32::from(u16::from_be_bytes([first, second])) % below + 1
}

#[tokio::test]
async fn a_migration_of_the_source_waits_for_its_clone() {
    let (database, tenancy, acme) = acme_with("").await;
    let files = ["CREATE TABLE note (id int PRIMARY KEY)", "ALTER TABLE note ADD title text"];
    let later = builder(&database).migrations(tenant_files(&files)).connect().await.unwrap();
    let dump = async |arguments: &[String]| {
        let run = later.migrate(tenantry::Fleet::all(), unobserved);
        assert!(tokio::time::timeout(Duration::from_millis(700), run).await.is_err(), "it does not wait");
        Ok::<_, Error>(dump(&database, arguments))
    };
    let cloned =
        tenancy.clone_tenant(&acme, NewTenant::new("copy"), CloneOptions::default(), dump).await.unwrap();
    assert_eq!(cloned.tenant.digest(), acme.digest());
    let summary = later.migrate(tenantry::Fleet::all(), unobserved).await.unwrap();
    assert_eq!((summary.failed, summary.migrated), (0, 2));
}

/// Wants no more after this many steps.
struct Cancel<'a>(&'a AtomicUsize, usize);
impl tenantry::observe::Steps for Cancel<'_> {
    fn step(&self, _: Step<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= self.1
    }
}

#[tokio::test]
async fn a_clone_that_is_made_and_aborted_can_be_made_again() {
    let (database, tenancy, acme) = acme_with(ROWS).await;
    let cancelled = AtomicUsize::new(0);
    for after in [2, 4, 6] {
        cancelled.store(0, Ordering::Relaxed);
        let dump = async |arguments: &[String]| Ok::<_, Error>(dump(&database, arguments));
        let steps = Cancel(&cancelled, after);
        let result = tenancy
            .clone_tenant_observed(&acme, NewTenant::new("copy"), CloneOptions::default(), steps, dump)
            .await;
        check_error(result, ErrorKind::Conflict, &["cancelled"]);
        assert_eq!(Client::owner(&database).await.traces("copy").await, NOTHING);
    }
    let cloned = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await.unwrap();
    let exists = clone_as(&database, &tenancy, "copy", CloneOptions::default()).await;
    check_error(exists, ErrorKind::AlreadyExists, &["`copy` already exists"]);
    // It is a tenant like others.
    let summary = tenancy.migrate(tenantry::Fleet::all(), |_: &Outcome<'_>| {}).await.unwrap();
    assert_eq!((summary.failed, summary.up_to_date), (0, 3));
    assert_eq!(Client::owner(&database).await.count(&table(&cloned.tenant, "customer")).await, 2);
}
