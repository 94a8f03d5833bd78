//! A tenant that goes to another database.

use std::time::{Duration, Instant};

use tenantry::observe::{Outcome, Step};
use tenantry::tenant::{Alias, Status, Suspension, Tenant};
use tenantry::{Error, ErrorKind, Fleet, MoveOptions, Moved, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::clone::{dump, lines_of};
use crate::support::{Client, builder, check_error, config, database, tenant_files};

/// Things that a copy by rows could lose: numbers that go on, rows without a key, types, parts, views that are filled.
pub(crate) const ALL: &str = "
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE TABLE customer (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 7) PRIMARY KEY,
        name text NOT NULL, mood mood DEFAULT 'good', n positive, doc jsonb,
        upper_name text GENERATED ALWAYS AS (upper(name)) STORED);
    CREATE TABLE item (id serial PRIMARY KEY, customer bigint NOT NULL REFERENCES customer, at timestamptz);
    CREATE INDEX item_at ON item (at DESC);
    CREATE TABLE part (k mood, n int, PRIMARY KEY (k, n)) PARTITION BY HASH (k);
    CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE nokey (j json, x text);
    CREATE UNLOGGED TABLE cache (k int PRIMARY KEY, v text);
    CREATE TABLE audit (what text);
    CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO audit VALUES (NEW.name); RETURN NEW; END $$;
    CREATE TRIGGER noted AFTER INSERT ON customer FOR EACH ROW EXECUTE FUNCTION noted();
    CREATE FUNCTION is_known(bigint) RETURNS boolean LANGUAGE plpgsql AS
        $$ BEGIN RETURN EXISTS (SELECT FROM zebra WHERE id = $1); END $$;
    CREATE TABLE asking (id bigint CHECK (is_known(id)));
    CREATE TABLE zebra (id bigint);
    CREATE SEQUENCE alone INCREMENT BY 5 START WITH 50;
    CREATE MATERIALIZED VIEW names AS SELECT name FROM customer;
    CREATE MATERIALIZED VIEW shouted AS SELECT upper(name) AS name FROM names;
    CREATE MATERIALIZED VIEW empty AS SELECT 1 AS one WITH NO DATA;
    COMMENT ON TABLE customer IS 'it''s';
    INSERT INTO customer (name, n, doc) SELECT E'a\\\\b\\n' || g, g, '{\"a\": 1}' FROM generate_series(1, 50) g;
    INSERT INTO item (customer, at) SELECT id, '2024-01-01' FROM customer;
    INSERT INTO part SELECT m, g FROM unnest(enum_range(NULL::mood)) m, generate_series(1, 20) g;
    INSERT INTO nokey VALUES ('{}', NULL), ('{}', NULL), (NULL, 'x');
    INSERT INTO cache VALUES (1, 'x');
    INSERT INTO zebra VALUES (1); INSERT INTO asking VALUES (1);
    SELECT nextval('alone'), nextval('alone');
    REFRESH MATERIALIZED VIEW names; REFRESH MATERIALIZED VIEW shouted";

fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

/// An installation over two databases.
struct Two {
    tenancy: Tenancy,
    home: ScratchDatabase,
    away: ScratchDatabase,
}

impl Two {
    async fn new(files: &[&str]) -> Self {
        let (home, away) = (database().await, database().await);
        let tenancy = Self::open(&home, &away, files).await;
        Self { tenancy, home, away }
    }

    async fn open(home: &ScratchDatabase, away: &ScratchDatabase, files: &[&str]) -> Tenancy {
        let builder = builder(home).database_as(eu(), config(away)).migrations(tenant_files(files));
        builder.connect().await.unwrap()
    }

    fn at(&self, alias: &Alias) -> &ScratchDatabase {
        if *alias == eu() { &self.away } else { &self.home }
    }

    async fn relocate(&self, tenant: &Tenant, to: Alias) -> Result<Moved, Error> {
        self.relocate_watched(tenant, MoveOptions::to(to), ()).await
    }

    async fn relocate_watched(
        &self,
        tenant: &Tenant,
        order: MoveOptions,
        steps: impl tenantry::observe::Steps,
    ) -> Result<Moved, Error> {
        let dump = async |arguments: &[String]| Ok(dump(self.at(tenant.database()), arguments));
        self.tenancy.move_tenant_observed(tenant, order, steps, dump).await
    }

    /// All that a dump says of a tenant, under one name, whoever owns it.
    fn lines(&self, tenant: &Tenant) -> Vec<String> {
        let database = self.at(tenant.database());
        let lines = lines_of(database, tenant.schema().as_str());
        let mut lines: Vec<_> = lines.iter().map(|line| line.replace(database.name(), "me")).collect();
        lines.sort();
        lines
    }
}

#[tokio::test]
async fn a_moved_tenant_is_what_it_was_and_comes_back() {
    let two = Two::new(&["CREATE TABLE first (id int)"]).await;
    let acme = two.tenancy.create(NewTenant::new("acme").setting("plan", "gold")).await.unwrap();
    let mut owner = Client::owner(&two.home).await;
    owner.run(&format!("SET search_path TO {}; {ALL}", acme.schema())).await;
    let should_be = two.lines(&acme);

    let plan = two.tenancy.examine_move(&acme, &eu()).await.unwrap();
    assert_eq!((&plan.refused[..], plan.tables), (&[][..], 12), "{plan:?}");
    let moved = two.relocate(&acme, eu()).await.unwrap();
    assert_eq!((moved.from, moved.tenant.database()), (Some(Alias::default()), &eu()));
    assert_eq!((moved.rows, &moved.notes[..]), (50 + 50 + 40 + 3 + 1 + 50 + 2, &[][..]));
    assert_eq!((moved.tenant.digest(), moved.tenant.settings()), (acme.digest(), acme.settings()));
    let is = two.lines(&moved.tenant);
    let other: Vec<_> = is.iter().filter(|line| !should_be.contains(line)).collect();
    let missing: Vec<_> = should_be.iter().filter(|line| !is.contains(line)).collect();
    assert!(is == should_be, "other: {other:#?}\nmissing: {missing:#?}");
    let kept = moved.kept_schema.unwrap();
    assert_eq!(owner.count(&format!("{kept}.customer")).await, 50, "it is kept");

    // It lives there: its numbers go on, and its triggers run.
    let db = two.tenancy.db(&moved.tenant).unwrap();
    let insert = "INSERT INTO customer (name) VALUES ('new') RETURNING id";
    let id: i64 = sqlx::query_scalar(insert).fetch_one(&db).await.unwrap();
    assert_eq!(id, 1000 + 50 * 7);
    let audited: i64 = sqlx::query_scalar("SELECT count(*) FROM audit").fetch_one(&db).await.unwrap();
    assert_eq!(audited, 51);

    // Back, suspended, which it stays.
    let suspended = two.tenancy.suspend(&moved.tenant, Suspension::new()).await.unwrap();
    let should_be = two.lines(&suspended);
    let back = two.relocate(&suspended, Alias::default()).await.unwrap();
    assert_eq!((back.tenant.status(), two.lines(&back.tenant)), (Status::Suspended, should_be));
    let already = two.relocate(&back.tenant, Alias::default()).await.unwrap();
    assert_eq!((already.from, already.rows), (None, 0));

    // What is kept goes when its time has come, and with the tenant.
    assert!(two.tenancy.copies_due_for_purge(0, 10).await.unwrap().is_empty());
    owner.run("UPDATE tenantry.move SET purge_after = now() WHERE source = 'default'").await;
    let [due] = &two.tenancy.copies_due_for_purge(0, 10).await.unwrap()[..] else { panic!("one is due") };
    for _ in 0..2 {
        two.tenancy.purge_copy(due, ()).await.unwrap();
    }
    assert_eq!(owner.count(&format!("pg_namespace WHERE nspname = '{kept}'")).await, 0);
    let deleted = two.tenancy.delete(&back.tenant).await.unwrap();
    let now = tenantry::PurgeOptions { now: true, ..Default::default() };
    two.tenancy.purge(&deleted, now).await.unwrap();
    let mut away = Client::owner(&two.away).await;
    assert_eq!(away.count("pg_namespace WHERE nspname LIKE 'tenantry_moved%'").await, 0);
}

#[tokio::test]
async fn rows_that_policies_hide_go_along_and_what_is_kept_of_former_types() {
    let two = Two::new(&["CREATE TABLE first (id int)"]).await;
    let acme = two.tenancy.create(NewTenant::new("acme")).await.unwrap();
    let schema = acme.schema();
    let (mut home, mut away) = (Client::superuser(&two.home).await, Client::superuser(&two.away).await);
    let (owner, other, all) = (two.home.name(), two.away.name(), format!("{}_all", two.home.name()));
    home.run(&format!(
        "SET ROLE {owner}; SET search_path TO {schema};
         CREATE TABLE guarded (id int PRIMARY KEY, tenant text);
         INSERT INTO guarded VALUES (1, 'a'), (2, 'b'), (3, 'c');
         CREATE POLICY own_rows ON guarded USING (tenant = 'a');
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
         RESET ROLE; RESET search_path;
         CREATE ROLE {all} NOLOGIN BYPASSRLS; GRANT pg_read_all_data TO {all}; GRANT {all} TO {owner}, {other};
         INSERT INTO tenantry.kept_file
         SELECT nspname, 'gold', 7, 'more', now(), '\\x01', 5, oid FROM pg_namespace WHERE nspname = '{schema}'"
    ))
    .await;
    let rows = format!("{schema}.guarded");
    // By its number, a schema is known from a later one of its name.
    let kept = "tenantry.kept_file JOIN pg_namespace ON nspname = schema_name AND oid = schema_number";
    let moved = two.relocate(&acme, eu()).await.unwrap();
    assert_eq!((moved.rows, away.count(&rows).await, away.count(kept).await), (3, 3, 1));
    assert_eq!(Client::owner(&two.away).await.count(&rows).await, 1, "policies are as they were");
    assert_eq!(home.count("tenantry.kept_file").await, 0);
    let back = two.relocate(&moved.tenant, Alias::default()).await.unwrap();
    assert_eq!((back.rows, home.count(&rows).await, home.count(kept).await), (3, 3, 1));
    for client in [&mut home, &mut away] {
        client.run(&format!("DROP OWNED BY {all}")).await;
    }
    home.run(&format!("DROP ROLE {all}")).await;
}

#[tokio::test]
async fn what_cannot_be_moved_is_named_before_anything_is_made() {
    let two = Two::new(&["CREATE TABLE first (id int)"]).await;
    let acme = two.tenancy.create(NewTenant::new("acme")).await.unwrap();
    let schema = acme.schema();
    let (mut home, mut away) = (Client::owner(&two.home).await, Client::owner(&two.away).await);
    home.run("CREATE TABLE public.plan (id int PRIMARY KEY)").await;
    home.run(&format!("SET search_path TO {schema}")).await;
    for (make, undo, told) in [
        ("CREATE TABLE t (plan int REFERENCES public.plan)", "DROP TABLE t", "plan"),
        (
            "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM own.first $$",
            "DROP FUNCTION f()",
            "name of its own schema",
        ),
    ] {
        home.run(&make.replace("own", schema.as_str())).await;
        check_error(two.relocate(&acme, eu()).await, ErrorKind::Unsupported, &[told]);
        home.run(undo).await;
    }
    away.run(&format!("CREATE SCHEMA {schema}")).await;
    check_error(two.relocate(&acme, eu()).await, ErrorKind::AlreadyExists, &["`eu`", schema.as_str()]);
    let plan = two.tenancy.examine_move(&acme, &eu()).await.unwrap();
    assert!(plan.refused[0].what.contains(schema.as_str()), "{plan:?}");
    away.run(&format!("DROP SCHEMA {schema}")).await;
    let unknown = two.relocate(&acme, Alias::parse("mars").unwrap()).await;
    check_error(unknown, ErrorKind::Configuration, &["`mars`"]);
    check_error(two.tenancy.abort_move(&acme).await, ErrorKind::InvalidInput, &["not being moved"]);
    let resumed = two.relocate_watched(&acme, MoveOptions::resume(), ()).await;
    check_error(resumed, ErrorKind::InvalidInput, &["not being moved"]);
    assert_eq!(home.count("tenantry.move").await, 0);
    assert_eq!(away.count(&format!("tenantry.applied WHERE schema_name = '{schema}'")).await, 0);

    // What stood in its way is gone.
    let db = two.tenancy.db(&acme).unwrap();
    sqlx::query("INSERT INTO first VALUES (1)").execute(&db).await.unwrap();
    assert!(two.relocate(&acme, eu()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_are_moved_at_once_and_the_second_of_one_tenant_is_told() {
    let two = Two::new(&["CREATE TABLE first (id int)"]).await;
    let acme = two.tenancy.create(NewTenant::new("acme")).await.unwrap();
    let globex = two.tenancy.create(NewTenant::new("globex")).await.unwrap();
    let told = std::sync::Mutex::new(None);
    let steps = |step: Step<'_>| {
        if step.what == "copying tables" && told.lock().unwrap().is_none() {
            let both = async { tokio::join!(two.relocate(&acme, eu()), two.relocate(&globex, eu())) };
            *told.lock().unwrap() = Some(block_in_place(|| Handle::current().block_on(both)));
        }
    };
    two.relocate_watched(&acme, MoveOptions::to(eu()), steps).await.unwrap();
    let (second, other) = told.into_inner().unwrap().unwrap();
    check_error(second, ErrorKind::Conflict, &["is being moved to database `eu` by process"]);
    assert_eq!(*other.unwrap().tenant.database(), eu());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_and_a_move_wait_for_each_other() {
    let two = Two::new(&["CREATE TABLE first (id int)"]).await;
    let acme = two.tenancy.create(NewTenant::new("acme")).await.unwrap();
    let files = ["CREATE TABLE first (id int)", "SELECT pg_sleep(0.4); CREATE TABLE second (id int)"];
    let migrating = Two::open(&two.home, &two.away, &files).await;
    let run = |tenancy: Tenancy| {
        tokio::spawn(async move { tenancy.migrate(Fleet::all(), |_: &Outcome<'_>| {}).await })
    };
    // The run begins while the tenant is on its way.
    let started = std::sync::Mutex::new(None);
    let steps = |step: Step<'_>| {
        if step.what == "copying tables" && started.lock().unwrap().is_none() {
            *started.lock().unwrap() = Some(run(migrating.clone()));
            let pause = tokio::time::sleep(Duration::from_millis(300));
            block_in_place(|| Handle::current().block_on(pause));
        }
    };
    let moved = two.relocate_watched(&acme, MoveOptions::to(eu()), steps).await.unwrap();
    let task = started.into_inner().unwrap().unwrap();
    let summary = task.await.unwrap().unwrap();
    assert_eq!((summary.failed, summary.migrated), (0, 1));
    let mut away = Client::owner(&two.away).await;
    let second = format!("pg_tables WHERE schemaname = '{}' AND tablename = 'second'", acme.schema());
    assert_eq!(away.count(&second).await, 1, "it was migrated where it went");

    // The tenant is asked to go while a run is at it.
    let back = [files[0], files[1], "SELECT pg_sleep(0.4); CREATE TABLE third (id int)"];
    let migrating = Two::open(&two.home, &two.away, &back).await;
    let task = run(migrating);
    let begun = Instant::now();
    let sleeps = "pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()";
    while away.count(sleeps).await == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the run does not come to it");
    }
    let moved = two.relocate(&moved.tenant, Alias::default()).await.unwrap();
    assert_eq!(task.await.unwrap().unwrap().failed, 0);
    let third = format!("pg_tables WHERE schemaname = '{}' AND tablename = 'third'", acme.schema());
    assert_eq!(Client::owner(&two.home).await.count(&third).await, 1);
    assert_eq!(*moved.tenant.database(), Alias::default());
}
