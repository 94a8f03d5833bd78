//! Clones in another database than that of the registry, from there, and within it.

use tenantry::tenant::{Alias, Status, Tenant};
use tenantry::{CloneOptions, Cloned, Error, ErrorKind, NewTenant, Tenancy};
use tenantry_embedded::ScratchDatabase;

use super::{Nasty, ROWS, counts, dump, fastrand, lines, no_dump};
use crate::support::{Client, NOTHING, builder, check_error, config, database, tenant_files};

fn eu() -> Alias {
    Alias::parse("eu").unwrap()
}

/// Opens an installation over two databases. The owner of each is called another name.
async fn over_both(main: &ScratchDatabase, other: &ScratchDatabase, file: &str) -> Tenancy {
    let builder = builder(main).database_as(eu(), config(other));
    builder.migrations(tenant_files(&[file])).connect().await.unwrap()
}

async fn clone(
    from: &ScratchDatabase,
    tenancy: &Tenancy,
    source: &Tenant,
    new: NewTenant,
    options: CloneOptions,
) -> Result<Cloned, Error> {
    let dump = async |arguments: &[String]| Ok(dump(from, arguments));
    tenancy.clone_tenant(source, new, options, dump).await
}

/// The lines of a dump, with one name for both owners.
fn lines_by_owner(place: &ScratchDatabase, tenant: &Tenant, owners: [&str; 2]) -> Vec<String> {
    let lines = lines(place, tenant);
    let mut lines: Vec<_> = lines
        .iter()
        .map(|line| owners.iter().fold(line.clone(), |line, it| line.replace(it, "owner")))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_clone_in_another_database_has_all_that_its_source_has() {
    let nasty = Nasty::new().await;
    let other = database().await;
    let (main, acme) = (&nasty.database, &nasty.acme);
    let tenancy = over_both(main, &other, "CREATE TABLE first (id int)").await;
    let there = || NewTenant::new("copy").database(eu());
    // What is missing there is named before anything is made.
    for (says, by_owner, by_superuser) in [
        (
            "foreign servers that are not here: `remote`",
            "SELECT 1",
            "CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER remote FOREIGN DATA WRAPPER nothing;
             GRANT USAGE ON FOREIGN SERVER remote TO PUBLIC",
        ),
        (
            "depends on what is not here: `public.plan`",
            "CREATE TABLE public.plan (id int PRIMARY KEY); INSERT INTO public.plan VALUES (1)",
            "SELECT 1",
        ),
    ] {
        let refused = clone(main, &tenancy, acme, there(), CloneOptions::default()).await;
        check_error(refused, ErrorKind::Unsupported, &["`acme` cannot be cloned", says]);
        assert_eq!(Client::owner(main).await.traces("copy").await, NOTHING);
        assert_eq!(Client::owner(&other).await.count("tenantry.applied").await, 0);
        Client::owner(&other).await.run(by_owner).await;
        Client::superuser(&other).await.run(by_superuser).await;
    }
    let cloned = clone(main, &tenancy, acme, there(), CloneOptions::default()).await.unwrap();
    let owners = [main.name(), other.name()];
    let should_be = lines_by_owner(main, acme, owners);
    let check = |place: &ScratchDatabase, tenant: &Tenant| {
        let is = lines_by_owner(place, tenant, owners);
        let more: Vec<_> = is.iter().filter(|line| !should_be.contains(line)).collect();
        let missing: Vec<_> = should_be.iter().filter(|line| !is.contains(line)).collect();
        assert!(is == should_be, "{}: more: {more:#?}\nmissing: {missing:#?}", tenant.slug());
    };
    check(&other, &cloned.tenant);
    assert_eq!((cloned.tenant.database(), cloned.tenant.status()), (&eu(), Status::Active));
    assert_eq!((cloned.tenant.digest(), cloned.tenant.owns_types()), (acme.digest(), true));
    assert_eq!(cloned.tenant.settings()["plan"], "gold");

    // Within that database, which is where a clone is made if nothing else is said.
    let within = NewTenant::new("copy2");
    let second = clone(&other, &tenancy, &cloned.tenant, within, CloneOptions::default()).await.unwrap();
    assert_eq!((second.tenant.database(), second.rows), (&eu(), cloned.rows));
    check(&other, &second.tenant);
    let third = NewTenant::new("copy3");
    let third = tenancy.clone_tenant(&second.tenant, third, CloneOptions::default(), no_dump).await.unwrap();
    assert!(third.structure_was_kept);
    // And back.
    let back = NewTenant::new("back").database(Alias::default());
    let back = tenancy.clone_tenant(&third.tenant, back, CloneOptions::default(), no_dump).await.unwrap();
    check(main, &back.tenant);

    Client::owner(main).await.run(&format!("DROP SCHEMA {} CASCADE", acme.schema())).await;
    check(&other, &cloned.tenant);
    let db = tenancy.db(&cloned.tenant).unwrap();
    let pointed = "SELECT count(*) FROM pointers WHERE r = 'customer'::regclass AND t = 'mood'::regtype";
    assert_eq!(sqlx::query_scalar::<_, i64>(pointed).fetch_one(&db).await.unwrap(), 1);
    drop(db);
    let app = &nasty.app;
    Client::superuser(&other).await.run(&format!("DROP OWNED BY {app}")).await;
    nasty.end().await;
}

#[tokio::test]
async fn a_clone_elsewhere_is_of_one_moment_and_has_the_rows_that_were_asked_for() {
    let (main, other) = (database().await, database().await);
    let tenancy = over_both(&main, &other, ROWS).await;
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let accounts = "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL);
                    INSERT INTO account SELECT i, 100 FROM generate_series(1, 20) AS i";
    Client::owner(&main).await.run(&format!("SET search_path TO {}; {accounts}", acme.schema())).await;
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
    let hide = "UPDATE customer SET email = 'customer' || id || '@example.com'";
    let clones = async {
        for (slug, options, rows) in [
            ("all", CloneOptions::default(), [2, 3, 1, 2]),
            ("none", CloneOptions::default().without_rows(), [0, 0, 0, 0]),
            ("except", CloneOptions::default().except_tables(["log"]).anonymize("a.sql", hide), [2, 0, 1, 2]),
        ] {
            let new = NewTenant::new(slug).database(eu());
            let cloned = clone(&main, &tenancy, &acme, new, options).await.unwrap();
            assert_eq!(counts(&other, &cloned.tenant).await, rows, "{slug}");
            let sum = format!("SELECT coalesce(sum(amount), 0) FROM {}.account", cloned.tenant.schema());
            let expect = if slug == "none" { 0 } else { 2000 };
            assert_eq!(Client::owner(&other).await.value::<i64>(&sum).await, expect);
            let known = format!("{}.emails WHERE email NOT LIKE '%@example.com'", cloned.tenant.schema());
            let expect = if slug == "all" { 2 } else { 0 };
            assert_eq!(Client::owner(&other).await.count(&known).await, expect);
        }
    };
    tokio::select! {
        () = clones => {}
        () = writer => unreachable!("it writes for ever"),
    }
    // What fails leaves nothing, in neither database.
    let wrong = CloneOptions::default().anonymize("a.sql", "UPDATE customer SET email = NULL");
    let new = NewTenant::new("wrong").database(eu());
    let refused = clone(&main, &tenancy, &acme, new, wrong).await;
    check_error(refused, ErrorKind::Migration, &["a.sql:1"]);
    assert_eq!(Client::owner(&main).await.traces("wrong").await, NOTHING);
    assert_eq!(Client::owner(&other).await.count("tenantry.applied").await, 3);
}
