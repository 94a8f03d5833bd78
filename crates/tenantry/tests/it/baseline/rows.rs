//! Rows that migrations leave.

use tenantry::migrate::BaselineOptions;
use tenantry::{ErrorKind, NewTenant};

use super::{check, check_nothing_left, make, tenancy, with_baseline};
use crate::support::{Client, Folder, check_error, database, report, table};

/// Migrations that leave rows, of which some are gone in the end.
const SEEDS: [&str; 4] = [
    "CREATE TABLE plan (id serial PRIMARY KEY, name text, made timestamptz DEFAULT clock_timestamp());
     CREATE TABLE queue (id int);
     INSERT INTO queue VALUES (1);",
    "DELETE FROM queue; CREATE TABLE note (plan int REFERENCES plan);",
    "INSERT INTO plan (name) VALUES ('free'), ('it''s \\ paid');",
    "ALTER TABLE plan ADD COLUMN price int; UPDATE plan SET price = id * 10;",
];

#[tokio::test]
async fn a_baseline_ends_before_the_first_rows_and_says_which() {
    let database = database().await;
    let folder = Folder::of(&SEEDS);
    let first =
        make(&database, &tenancy(&database, &folder).await, BaselineOptions::default()).await.unwrap();
    let rows = first.rows.unwrap();
    assert_eq!((first.version, rows.version, rows.tables), (2, 3, vec!["plan".to_owned()]));
    assert!(rows.file.contains("0003_step.sql"));
    folder.write("tenant/baseline.sql", &first.text);

    let tenancy = tenancy(&database, &folder).await;
    assert_eq!(check(&database, &tenancy).await.map_err(|error| report(&error)), Ok(2));
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    assert_eq!(client.count(&format!("{} WHERE price = id * 10", table(&acme, "plan"))).await, 2);

    // What was asked for in so many words is made or refused.
    let made = make(&database, &tenancy, BaselineOptions::default().at(4)).await;
    let error =
        check_error(made, ErrorKind::Migration, &["from `", "0003_step.sql` on", "leave rows in `plan`"]);
    assert!(error.hint().unwrap().contains("--with-rows plan`, or end the baseline at 2"), "{error:?}");
    let made = make(&database, &tenancy, BaselineOptions::default().with_rows(["plans"])).await;
    check_error(made, ErrorKind::InvalidInput, &["make no table `plans`"]);
    check_nothing_left(&database).await;
}

#[tokio::test]
async fn rows_are_carried_where_that_is_wanted() {
    let database = database().await;
    let folder = Folder::of(&SEEDS);
    let options = BaselineOptions::default().with_rows(["plan"]);
    let made = make(&database, &tenancy(&database, &folder).await, options.clone()).await;
    let made = made.unwrap_or_else(|error| panic!("{}", report(&error)));
    assert_eq!((made.version, made.rows), (4, None));
    assert!(made.text.contains("-- rows: [\"plan\"]\n"), "{}", made.text);
    folder.write("tenant/baseline.sql", &made.text);

    let with_rows = tenancy(&database, &folder).await;
    // `made` is another moment in each replay.
    assert_eq!(check(&database, &with_rows).await.map_err(|error| report(&error)), Ok(4));
    let acme = with_rows.create(NewTenant::new("acme")).await.unwrap();
    let mut client = Client::owner(&database).await;
    let rows: Vec<(i32, String, i32)> =
        client.rows(&format!("SELECT id, name, price FROM {} ORDER BY 1", table(&acme, "plan"))).await;
    assert_eq!(rows, [(1, "free".to_owned(), 10), (2, "it's \\ paid".to_owned(), 20)]);
    let next: i32 = client
        .value(&format!("INSERT INTO {} (name) VALUES ('new') RETURNING id", table(&acme, "plan")))
        .await;
    assert_eq!(next, 3);

    folder.write("tenant/baseline.sql", &made.text.replace("'free'", "'gratis'"));
    let result = check(&database, &tenancy(&database, &folder).await).await;
    check_error(result, ErrorKind::Migration, &["rows of table", "plan", "column name"]);
    let folder = Folder::of(&["CREATE TABLE a (id int);"]);
    let made = make(&database, &tenancy(&database, &folder).await, options).await;
    check_error(made, ErrorKind::InvalidInput, &["make no table `plan`"]);
    check_nothing_left(&database).await;
}

#[tokio::test]
async fn rows_are_seen_and_carried_behind_policies_that_are_forced() {
    let database = database().await;
    let forced = "ALTER TABLE note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
        CREATE POLICY nobody ON note USING (false);";
    let table_only = ["CREATE TABLE note (id int, title text);", forced];
    let folder = with_baseline(&database, &table_only).await;
    assert_eq!(check(&database, &tenancy(&database, &folder).await).await.unwrap(), 2);

    let seeded = ["CREATE TABLE note (id int, title text); INSERT INTO note VALUES (1, 'seed');", forced];
    let folder = Folder::of(&seeded);
    let made = make(&database, &tenancy(&database, &folder).await, BaselineOptions::default()).await;
    check_error(made, ErrorKind::Migration, &["0001_step.sql` on, the migrations leave rows in `note`"]);
    let options = BaselineOptions::default().with_rows(["note"]);
    let made = make(&database, &tenancy(&database, &folder).await, options).await;
    folder.write("tenant/baseline.sql", &made.unwrap_or_else(|error| panic!("{}", report(&error))).text);
    let tenancy = tenancy(&database, &folder).await;
    assert_eq!(check(&database, &tenancy).await.map_err(|error| report(&error)), Ok(2));
    let acme = tenancy.create(NewTenant::new("acme")).await.unwrap();
    assert_eq!(Client::superuser(&database).await.count(&table(&acme, "note")).await, 1);
    assert_eq!(Client::owner(&database).await.count(&table(&acme, "note")).await, 0);
}
