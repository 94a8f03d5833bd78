//! The abilities of a handle besides statements, whichever the driver: nested transactions, kinds of transactions,
//! settings, `COPY`.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::cancellation::{BACKEND, send_and_drop_unanswered};
use crate::fixture::{Driver, Installation, RunInTransaction, RunStatements, Tx, with_one_connection};
use crate::pool::{IsolationLevel, TxOptions};
use crate::{Error, ErrorKind, Result, TenantDb, Transaction};

const TABLE: &str = "CREATE TABLE note (title text UNIQUE)";
const TITLES: &str = "SELECT coalesce(string_agg(title, ' ' ORDER BY title), '') FROM note";

/// A handle of ours, whose abilities these are.
enum Handle {
    Sqlx(TenantDb),
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres(crate::pool::TenantClient),
}

const KINDS: &[Driver] = &[
    Driver::Sqlx,
    #[cfg(feature = "tokio-postgres")]
    Driver::TokioPostgres,
];

impl std::ops::Deref for Handle {
    type Target = dyn RunStatements;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Sqlx(db) => db,
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => client,
        }
    }
}

impl Handle {
    async fn begin_with(&self, options: TxOptions) -> HandleTx {
        match self {
            Self::Sqlx(db) => HandleTx::Sqlx(Box::new(db.begin_with(options).await.unwrap())),
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(client) => {
                HandleTx::TokioPostgres(Box::new(client.begin_with(options).await.unwrap()))
            }
        }
    }
}

/// A transaction of ours.
enum HandleTx {
    Sqlx(Box<Transaction>),
    #[cfg(feature = "tokio-postgres")]
    TokioPostgres(Box<crate::pool::ClientTransaction>),
}

impl HandleTx {
    fn any(&mut self) -> &mut dyn RunInTransaction {
        match self {
            Self::Sqlx(tx) => &mut **tx,
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => &mut **tx,
        }
    }

    fn into_any(self) -> Tx {
        match self {
            Self::Sqlx(tx) => tx,
            #[cfg(feature = "tokio-postgres")]
            Self::TokioPostgres(tx) => tx,
        }
    }
}

async fn two_tenants(driver: Driver) -> (Installation, Handle, Handle) {
    let installation = with_one_connection(&[TABLE]).await;
    let [acme, globex] = [installation.create("acme").await, installation.create("globex").await];
    let handle = |tenant| match driver {
        #[cfg(feature = "tokio-postgres")]
        Driver::TokioPostgres => Handle::TokioPostgres(installation.tenancy.client(tenant).unwrap()),
        #[cfg(feature = "diesel-async")]
        Driver::Diesel => unreachable!("Diesel has transactions of its own kind, in `invariants/diesel.rs`"),
        _ => Handle::Sqlx(installation.tenancy.db(tenant).unwrap()),
    };
    let (acme, globex) = (handle(&acme), handle(&globex));
    (installation, acme, globex)
}

/// The end of a nested transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    Rollback,
    Drop,
}

/// Adds notes in a transaction in a transaction, ends the inner one, and tells whether both statements went well.
macro_rules! nest {
    ($outer:expr, $run:ident, $end:expr) => {{
        let mut outer = $outer.begin().await?;
        let first = $run(&mut outer, "outer").await;
        let mut inner = outer.begin().await?;
        let second = $run(&mut inner, "inner").await;
        match $end {
            End::Commit => inner.commit().await?,
            End::Rollback => inner.rollback().await?,
            End::Drop => drop(inner),
        }
        // A dropped one is undone before the outer one is committed.
        outer.commit().await?;
        Ok(first.is_ok() && second.is_ok())
    }};
}

async fn insert(checkout: &mut crate::pool::Checkout, title: &str) -> Result<()> {
    let insert = sqlx::query("INSERT INTO note VALUES ($1)").bind(title);
    Ok(insert.execute(checkout).await.map(drop)?)
}

#[cfg(feature = "tokio-postgres")]
async fn insert_by_client(checkout: &mut crate::pool::ClientCheckout, title: &str) -> Result<()> {
    checkout.execute("INSERT INTO note VALUES ($1)", &[&title]).await.map(drop)
}

/// Within a transaction of its own.
async fn nest_in_transaction(tx: &mut HandleTx, end: End) -> Result<bool> {
    match tx {
        HandleTx::Sqlx(tx) => nest!(tx, insert, end),
        #[cfg(feature = "tokio-postgres")]
        HandleTx::TokioPostgres(tx) => nest!(tx, insert_by_client, end),
    }
}

/// On a session that is held, where the outer one is a transaction.
async fn nest_in_session(tables: &Handle, end: End) -> Result<bool> {
    match tables {
        Handle::Sqlx(db) => {
            let mut session = db.acquire().await?;
            nest!(session, insert, end)
        }
        #[cfg(feature = "tokio-postgres")]
        Handle::TokioPostgres(client) => {
            let mut session = client.acquire().await?;
            nest!(session, insert_by_client, end)
        }
    }
}

#[tokio::test]
async fn a_nested_transaction_is_undone_by_itself() {
    for driver in KINDS {
        for (end, expect) in [(End::Commit, "inner outer"), (End::Rollback, "outer"), (End::Drop, "outer")] {
            let (_installation, acme, globex) = two_tenants(*driver).await;
            let mut tx = acme.begin_with(TxOptions::new()).await;
            assert!(nest_in_transaction(&mut tx, end).await.unwrap());
            assert_eq!(tx.any().text(TITLES).await, expect, "{driver:?}, {end:?}");
            tx.into_any().commit().await.unwrap();
            assert_eq!(acme.text(TITLES).await, expect, "{driver:?}, {end:?}");
            assert_eq!(globex.text(TITLES).await, "");

            acme.run("DELETE FROM note").await.unwrap();
            assert!(nest_in_session(&acme, end).await.unwrap());
            assert!(globex.is_outside_transaction().await);
            assert_eq!(acme.text(TITLES).await, expect, "{driver:?}, {end:?}, in a session");
        }
    }
}

#[tokio::test]
async fn a_statement_that_fails_ends_a_nested_transaction_only() {
    for driver in KINDS {
        for end in [End::Rollback, End::Drop] {
            let (_installation, acme, _) = two_tenants(*driver).await;
            acme.run("INSERT INTO note VALUES ('inner')").await.unwrap();
            let mut tx = acme.begin_with(TxOptions::new()).await;
            assert!(!nest_in_transaction(&mut tx, end).await.unwrap(), "it is there already");
            tx.any().run("INSERT INTO note VALUES ('after')").await.unwrap();
            tx.into_any().commit().await.unwrap();
            assert_eq!(acme.text(TITLES).await, "after inner outer", "{driver:?}, {end:?}");
        }
    }
}

#[tokio::test]
async fn a_session_whose_transaction_was_dropped_or_cut_off_leaves_none_behind() {
    let installation = with_one_connection(&[TABLE]).await;
    installation.create("acme").await;
    let acme = installation.db("acme").await;
    for is_cut_off in [false, true] {
        let mut session = acme.acquire().await.unwrap();
        if is_cut_off {
            let backend: String = sqlx::query_scalar(BACKEND).fetch_one(&mut session).await.unwrap();
            send_and_drop_unanswered(&backend, session.begin()).await;
        } else {
            let mut tx = session.begin().await.unwrap();
            insert(&mut tx, "dropped").await.unwrap();
            drop(tx);
        }
        // Committed at once, because what was dropped is over.
        insert(&mut session, if is_cut_off { "two" } else { "one" }).await.unwrap();
        drop(session);
    }
    assert_eq!(acme.text(TITLES).await, "one two");
}

#[tokio::test]
async fn the_bare_connection_is_not_lent_before_what_was_dropped_is_undone() {
    let installation = with_one_connection(&[TABLE]).await;
    installation.create("acme").await;
    let mut tx = installation.db("acme").await.begin().await.unwrap();
    drop(tx.begin().await.unwrap());
    let error = Error::from(tx.as_pg_connection().err().unwrap());
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    // sqlx's own way to acquire can wait for it.
    sqlx::Acquire::acquire(&mut *tx).await.unwrap();
    tx.as_pg_connection().unwrap();
}

#[tokio::test]
async fn a_function_of_sqlx_acquires_from_a_checkout() {
    async fn add<'c>(connection: impl sqlx::Acquire<'c, Database = sqlx::Postgres>, title: &str) {
        let mut tx = connection.begin().await.unwrap();
        sqlx::query("INSERT INTO note VALUES ($1)").bind(title).execute(&mut *tx).await.unwrap();
        if title == "dropped" {
            return;
        }
        tx.commit().await.unwrap();
    }
    let (_installation, acme, globex) = two_tenants(Driver::Sqlx).await;
    let Handle::Sqlx(db) = &acme else { return };
    let mut session = db.acquire().await.unwrap();
    add(&mut session, "session").await;
    add(&mut session, "dropped").await;
    drop(session);
    assert!(globex.is_outside_transaction().await);
    let mut tx = db.begin().await.unwrap();
    add(&mut *tx, "transaction").await;
    add(&mut *tx, "dropped").await;
    tx.commit().await.unwrap();
    assert_eq!(acme.text(TITLES).await, "session transaction");
}

const KIND: &str = "SELECT concat_ws(', ', current_setting('transaction_isolation'), \
                    current_setting('transaction_read_only'), current_setting('transaction_deferrable'))";

#[tokio::test]
async fn a_transaction_is_of_the_kind_that_was_asked_for_and_the_next_one_is_not() {
    let all = TxOptions::new().isolation(IsolationLevel::Serializable).read_only().deferrable();
    for driver in KINDS {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        // Cold, warm, and after another tenant.
        for round in 0..3 {
            let mut tx = acme.begin_with(all).await;
            assert_eq!(tx.any().text(KIND).await, "serializable, on, on", "{driver:?}, {round}");
            let error = tx.any().run("INSERT INTO note VALUES ('x')").await.unwrap_err();
            assert_eq!(error.database_code().as_deref(), Some("25006"), "{error}");
            tx.into_any().rollback().await.unwrap();
            assert_eq!(acme.text(KIND).await, "read committed, off, off", "{driver:?}, {round}");
            let repeatable = TxOptions::new().isolation(IsolationLevel::RepeatableRead);
            let mut tx = globex.begin_with(repeatable).await;
            assert_eq!(tx.any().text(KIND).await, "repeatable read, off, off", "{driver:?}, {round}");
            tx.into_any().commit().await.unwrap();
        }
    }
}

fn with_setting(tables: &Handle, name: &str, value: &str) -> Result<Handle> {
    Ok(match tables {
        Handle::Sqlx(db) => Handle::Sqlx(db.with_setting(name, value)?),
        #[cfg(feature = "tokio-postgres")]
        Handle::TokioPostgres(client) => Handle::TokioPostgres(client.with_setting(name, value)?),
    })
}

#[tokio::test]
async fn a_setting_of_a_handle_is_there_for_it_and_for_nobody_else() {
    let look = "SELECT coalesce(nullif(current_setting('app.actor', true), ''), 'nobody')";
    for driver in KINDS {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        let jane = with_setting(&acme, "app.actor", "jane").unwrap();
        let joe = with_setting(&jane, "app.actor", "joe's \\ \"quotes\"").unwrap();
        for _ in 0..3 {
            for (tables, expect) in
                [(&jane, "jane"), (&acme, "nobody"), (&joe, "joe's \\ \"quotes\""), (&globex, "nobody")]
            {
                assert_eq!(tables.text(look).await, expect, "{driver:?}");
                let mut tx = tables.begin().await.unwrap();
                assert_eq!(tx.text(look).await, expect, "{driver:?}, in a transaction");
                assert_eq!(tx.text("SELECT current_schema()::text").await, tables.schema());
            }
        }
        for (name, value) in [("search_path", "x"), ("role", "x"), ("App.Actor", "x"), ("app.actor", "\0")] {
            let error = with_setting(&acme, name, value).err().expect("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        }
        // What only the server can refuse is an error of each checkout, and costs nobody else anything.
        let wrong = with_setting(&acme, "statement_timeout", "soon").unwrap();
        assert_eq!(wrong.try_text(look).await.unwrap_err().database_code().as_deref(), Some("22023"));
        assert_eq!(acme.text(look).await, "nobody");
    }
}

async fn copy_in(tables: &Handle, sql: &str, data: &[u8]) -> Result<u64> {
    match tables {
        Handle::Sqlx(db) => Ok(db.copy_in(sql, data).await?),
        #[cfg(feature = "tokio-postgres")]
        Handle::TokioPostgres(client) => client.copy_in(sql, data).await,
    }
}

async fn copy_out(tables: &Handle, sql: &str) -> Result<Vec<u8>> {
    match tables {
        Handle::Sqlx(db) => Ok(db.copy_out(sql).map_ok(Vec::from).try_concat().await?),
        #[cfg(feature = "tokio-postgres")]
        Handle::TokioPostgres(client) => client.copy_out(sql).map_ok(Vec::from).try_concat().await,
    }
}

#[tokio::test]
async fn copy_moves_rows_of_one_tenant_in_and_out() {
    use std::fmt::Write as _;

    for driver in KINDS {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        let csv = (10_000..60_000).fold(String::new(), |mut csv, number| {
            let _ = writeln!(csv, "{number}");
            csv
        });
        let rows = copy_in(&acme, "COPY note FROM STDIN WITH (FORMAT csv)", csv.as_bytes()).await.unwrap();
        assert_eq!(rows, 50_000, "{driver:?}");
        let read = copy_out(&acme, "COPY note TO STDOUT").await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), csv, "{driver:?}");
        assert_eq!(copy_out(&globex, "COPY note TO STDOUT").await.unwrap(), b"", "{driver:?}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_writes_nothing_and_keeps_its_connection_usable() {
    for driver in KINDS {
        let (_installation, acme, _) = two_tenants(*driver).await;
        let into = "COPY note FROM STDIN";
        let error = copy_in(&acme, into, b"one\ntwo\tcolumns\n").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("22P04"), "{driver:?}: {error}");
        let error = copy_in(&acme, "COPY nowhere FROM STDIN", b"").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("42P01"), "{driver:?}: {error}");
        let error = copy_out(&acme, "COPY nowhere TO STDOUT").await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("42P01"), "{driver:?}: {error}");
        for sql in ["SELECT 1", "COPY note TO STDOUT; DROP TABLE note"] {
            assert_eq!(copy_in(&acme, sql, b"").await.unwrap_err().kind(), ErrorKind::InvalidInput, "{sql}");
            assert_eq!(copy_out(&acme, sql).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{sql}");
        }
        // The wrong way round.
        copy_in(&acme, "COPY note TO STDOUT", b"").await.unwrap_err();
        copy_out(&acme, into).await.unwrap_err();
        assert_eq!(acme.text(TITLES).await, "", "{driver:?}");
    }
}

#[tokio::test]
async fn a_source_that_fails_writes_nothing() {
    struct Failing(bool);

    impl tokio::io::AsyncRead for Failing {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if self.0 {
                return std::task::Poll::Ready(Err(std::io::Error::other("the disk is gone")));
            }
            self.0 = true;
            buffer.put_slice(b"half\n");
            std::task::Poll::Ready(Ok(()))
        }
    }

    let into = "COPY note FROM STDIN";
    for driver in KINDS {
        let (installation, acme, _) = two_tenants(*driver).await;
        let copied = match &acme {
            Handle::Sqlx(db) => db.copy_in(into, Failing(false)).await.map_err(Error::from),
            #[cfg(feature = "tokio-postgres")]
            Handle::TokioPostgres(client) => client.copy_in(into, Failing(false)).await,
        };
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::InvalidInput, "{driver:?}");
        assert_eq!(acme.text(TITLES).await, "", "{driver:?}");
        assert_eq!(installation.counts(*driver).doubtful, 0, "{driver:?}");
    }
}

#[tokio::test]
async fn a_copy_that_is_cut_off_reaches_nobody() {
    for driver in KINDS {
        let (_installation, acme, globex) = two_tenants(*driver).await;
        for _ in 0..5 {
            let backend = acme.text(BACKEND).await;
            send_and_drop_unanswered(&backend, copy_in(&acme, "COPY note FROM STDIN", b"x\n")).await;
            let many = "COPY (SELECT generate_series(1, 1000000)) TO STDOUT";
            match &acme {
                Handle::Sqlx(db) => drop(db.copy_out(many).try_next().await.unwrap()),
                #[cfg(feature = "tokio-postgres")]
                Handle::TokioPostgres(client) => drop(client.copy_out(many).try_next().await.unwrap()),
            }
            assert_eq!(globex.text("SELECT current_schema()::text").await, globex.schema(), "{driver:?}");
        }
    }
}

#[tokio::test]
async fn a_transaction_in_which_a_copy_was_cut_off_does_not_go_on() {
    let (installation, acme, _) = two_tenants(Driver::Sqlx).await;
    let mut tx = installation.db("acme").await.begin().await.unwrap();
    insert(&mut tx, "half").await.unwrap();
    let first = tx.copy_out("COPY (SELECT generate_series(1, 1000000)) TO STDOUT").try_next().await;
    first.unwrap().expect("a chunk");
    let error = insert(&mut tx, "lost").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DatabaseUnavailable, "{error}");
    tx.commit().await.unwrap_err();
    assert_eq!(acme.text(TITLES).await, "");
}

/// Values of a text column, as they come.
fn fetch_owned(
    tables: &Handle,
    sql: &'static str,
    parameter: &'static str,
) -> BoxStream<'static, Result<String>> {
    match tables {
        Handle::Sqlx(db) => {
            let rows = db.fetch_owned::<(String,)>(sqlx::query(sql).bind(parameter));
            rows.map_ok(|(value,)| value).map_err(Error::from).boxed()
        }
        #[cfg(feature = "tokio-postgres")]
        Handle::TokioPostgres(client) => {
            client.fetch_owned(sql, vec![Box::new(parameter)]).map_ok(|row| row.get(0)).boxed()
        }
    }
}

#[tokio::test]
async fn an_owned_stream_outlives_its_handle() {
    for driver in KINDS {
        let (_installation, acme, _) = two_tenants(*driver).await;
        acme.run("INSERT INTO note SELECT generate_series(1, 9)").await.unwrap();
        let titles = "SELECT title FROM note WHERE title <> $1 ORDER BY title";
        let titles = fetch_owned(&acme, titles, "5");
        drop(acme);
        let titles = tokio::spawn(titles.try_collect::<Vec<_>>());
        assert_eq!(titles.await.unwrap().unwrap().concat(), "12346789", "{driver:?}");
    }
}

#[tokio::test]
async fn what_is_left_of_an_owned_stream_reaches_nobody() {
    for driver in KINDS {
        let (installation, acme, globex) = two_tenants(*driver).await;
        for rows in ["10", "1000000"] {
            let series = "SELECT generate_series(1, $1::text::int)::text";
            let mut first = fetch_owned(&acme, series, rows);
            assert_eq!(first.try_next().await.unwrap().as_deref(), Some("1"), "{driver:?}");
            drop(first);
            assert_eq!(globex.text("SELECT current_schema()::text").await, globex.schema(), "{driver:?}");
        }
        let error = fetch_owned(&acme, "SELECT (1 / length($1))::text", "").try_next().await.unwrap_err();
        assert_eq!(error.database_code().as_deref(), Some("22012"), "{driver:?}: {error}");
        assert_eq!(acme.text("SELECT current_schema()::text").await, acme.schema(), "{driver:?}");
        // A table that changes under a prepared statement.
        let notes = "SELECT note::text FROM note WHERE title = $1";
        acme.run("INSERT INTO note VALUES ('a')").await.unwrap();
        for column in ["b", "c"] {
            let found: Vec<_> =
                fetch_owned(&acme, "SELECT * FROM note WHERE title = $1", "a").try_collect().await.unwrap();
            assert_eq!(found, ["a"], "{driver:?}");
            installation.run(&format!("ALTER TABLE {}.note ADD {column} int", acme.schema())).await;
        }
        let found: Vec<_> = fetch_owned(&acme, notes, "a").try_collect().await.unwrap();
        assert_eq!(found, ["(a,,)"], "{driver:?}");
    }
}
