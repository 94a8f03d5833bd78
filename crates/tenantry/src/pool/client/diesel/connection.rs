//! The checkouts of one handle of Diesel's, and what runs on them.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use diesel::QueryResult;
use diesel::connection::{
    Instrumentation, InstrumentationEvent, StrQueryHelper, TransactionDepthChange, TransactionManagerStatus,
    get_default_instrumentation,
};
use diesel::pg::Pg;
use diesel::query_builder::QueryFragment;
use diesel::result::Error as DieselError;
use futures_util::future::BoxFuture;

use super::row::DieselRows;
use super::serialize::{Bind, serialize};
use crate::error::Result;
use crate::guard::{Guard, stands};
use crate::pool::access::Access;
use crate::pool::client::checkout::ClientCheckout;
use crate::pool::client::driver::ClientDriver;
use crate::pool::client::rows::{OwnedCall, rows};
use crate::pool::client::transaction::ClientTransaction;
use crate::pool::purpose::Purpose;
use crate::pool::tx_options::TxOptions;

/// Statements each on a checkout of its own, or all on the one that is held.
pub(super) struct Connection {
    access: Access<ClientDriver>,
    held: Option<HeldCheckout>,
    /// The depth of what is open, as Diesel counts it.
    status: TransactionManagerStatus,
    abandoned: Abandoned,
    /// Behind a lock, which is never waited for, so that a handle may be shared.
    instrumentation: Mutex<Option<Box<dyn Instrumentation>>>,
}

/// A checkout that more than one statement runs on.
enum HeldCheckout {
    /// Until the handle is dropped.
    Session(ClientCheckout),
    /// Until the outermost transaction ends.
    Transaction(ClientTransaction),
}

/// The outermost of the levels whose transaction was dropped and not yet undone, told by who cannot wait.
#[derive(Clone, Debug)]
pub(super) struct Abandoned(Arc<AtomicU32>);

impl Abandoned {
    const NONE: u32 = u32::MAX;

    pub(super) fn note(&self, level: u32) {
        self.0.fetch_min(level, Ordering::Relaxed);
    }

    fn take(&self) -> Option<u32> {
        if self.0.load(Ordering::Relaxed) == Self::NONE {
            return None;
        }
        Some(self.0.swap(Self::NONE, Ordering::Relaxed))
    }
}

impl Default for Abandoned {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(Self::NONE)))
    }
}

impl Connection {
    pub(super) fn new(access: Access<ClientDriver>) -> Self {
        Self {
            access,
            held: None,
            status: TransactionManagerStatus::default(),
            abandoned: Abandoned::default(),
            instrumentation: Mutex::new(get_default_instrumentation()),
        }
    }

    pub(super) fn access(&self) -> &Access<ClientDriver> {
        &self.access
    }

    /// The same on one session, which is kept.
    pub(super) async fn on_session(access: Access<ClientDriver>) -> Result<Self> {
        let checkout = access.hold_for(Purpose::Session).await?;
        Ok(Self { held: Some(HeldCheckout::Session(checkout)), ..Self::new(access) })
    }

    pub(super) fn instrumentation(&mut self) -> &mut Option<Box<dyn Instrumentation>> {
        self.instrumentation.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn load_query<'c>(
        &'c mut self,
        query: &dyn QueryFragment<Pg>,
        event: InstrumentationEvent<'_>,
    ) -> BoxFuture<'c, QueryResult<DieselRows<'c>>> {
        self.instrumentation().on_connection_event(event);
        let call = serialize(query);
        Box::pin(self.load_call(call))
    }

    pub(super) fn execute_query<'c>(
        &'c mut self,
        query: &dyn QueryFragment<Pg>,
        event: InstrumentationEvent<'_>,
    ) -> BoxFuture<'c, QueryResult<usize>> {
        self.instrumentation().on_connection_event(event);
        let call = serialize(query);
        Box::pin(self.execute_call(call))
    }

    async fn load_call(&mut self, call: QueryResult<OwnedCall<Bind>>) -> QueryResult<DieselRows<'_>> {
        let call = call?;
        self.settle();
        let Self { access, held, instrumentation, .. } = self;
        let watched = Watched::new(instrumentation, &call.sql);
        let loaded = async {
            let rows = match held {
                Some(held) => Box::pin(rows(&mut **held, call)) as _,
                None => Box::pin(rows(access.checkout_for(&call.sql).await?, call)) as _,
            };
            Ok(DieselRows::begin(rows).await?)
        };
        watched.finish(loaded.await)
    }

    async fn execute_call(&mut self, call: QueryResult<OwnedCall<Bind>>) -> QueryResult<usize> {
        let call = call?;
        self.settle();
        let Self { access, held, instrumentation, .. } = self;
        let watched = Watched::new(instrumentation, &call.sql);
        let executed = async {
            let parameters = call.parameters();
            let call = call.call(&parameters);
            let count = match held {
                Some(held) => held.run_for_count(call).await?,
                None => access.checkout_for(call.sql).await?.run_for_count(call).await?,
            };
            usize::try_from(count).map_err(|error| DieselError::DeserializationError(error.into()))
        };
        watched.finish(executed.await)
    }

    pub(super) async fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        self.settle();
        let Self { access, held, instrumentation, .. } = self;
        let query = StrQueryHelper::new(sql);
        let instrumentation = instrumentation.get_mut().unwrap_or_else(PoisonError::into_inner);
        instrumentation.on_connection_event(InstrumentationEvent::start_query(&query));
        let watched = Watched::of(instrumentation, sql);
        let executed = async {
            match held {
                Some(held) => held.batch_execute(sql).await?,
                None => access.checkout_for(sql).await?.batch_execute(sql).await?,
            }
            Ok(())
        };
        watched.finish(executed.await)
    }
}

/// Transactions.
impl Connection {
    pub(super) fn abandoned(&self) -> Abandoned {
        self.abandoned.clone()
    }

    pub(super) fn status(&mut self) -> &mut TransactionManagerStatus {
        self.settle();
        &mut self.status
    }

    /// The number of transactions that are open inside of each other.
    pub(super) fn depth(&mut self) -> QueryResult<u32> {
        Ok(self.status().transaction_depth()?.map_or(0, NonZeroU32::get))
    }

    /// Opens a transaction, or a savepoint inside of one. The kind is that of the outermost.
    pub(super) async fn begin(&mut self, options: TxOptions) -> QueryResult<()> {
        let depth = self.depth()?;
        self.note(depth, InstrumentationEvent::begin_transaction);
        if let Some(held) = &mut self.held {
            held.open_level(options).await?;
        } else {
            let checkout = self.access.hold_for(Purpose::Transaction).await?;
            let transaction = ClientTransaction::open(checkout, options).await?;
            self.held = Some(HeldCheckout::Transaction(transaction));
        }
        self.change_depth(TransactionDepthChange::IncreaseDepth)
    }

    pub(super) async fn commit(&mut self) -> QueryResult<()> {
        let level = self.innermost()?;
        self.note(level, InstrumentationEvent::commit_transaction);
        let ended = match self.outermost(level) {
            Some(transaction) => transaction.commit().await,
            None => match &mut self.held {
                Some(held) => {
                    let level = held.level_at(level);
                    held.commit_level(level).await
                }
                None => Ok(()),
            },
        };
        self.end(level, ended)
    }

    pub(super) async fn roll_back(&mut self) -> QueryResult<()> {
        let level = self.innermost()?;
        self.note(level, InstrumentationEvent::rollback_transaction);
        let ended = match self.outermost(level) {
            Some(transaction) => transaction.rollback().await,
            None => match &mut self.held {
                Some(held) => {
                    let level = held.level_at(level);
                    held.roll_back_level(level).await
                }
                None => Ok(()),
            },
        };
        self.end(level, ended)
    }

    /// The level of the innermost transaction.
    fn innermost(&mut self) -> QueryResult<u32> {
        self.depth()?.checked_sub(1).ok_or(DieselError::NotInTransaction)
    }

    /// Takes the transaction, if it is its end that is to come.
    fn outermost(&mut self, level: u32) -> Option<ClientTransaction> {
        let is_outermost =
            |held: &mut HeldCheckout| level == 0 && matches!(held, HeldCheckout::Transaction(_));
        match self.held.take_if(is_outermost)? {
            HeldCheckout::Transaction(transaction) => Some(transaction),
            HeldCheckout::Session(_) => None,
        }
    }

    fn end(&mut self, level: u32, ended: Result<()>) -> QueryResult<()> {
        self.change_depth(TransactionDepthChange::DecreaseDepth)?;
        ended.map_err(|error| {
            // What became of it is not known, so it is undone before anything else runs there.
            self.drop_from(level);
            error.into()
        })
    }

    fn change_depth(&mut self, change: TransactionDepthChange) -> QueryResult<()> {
        self.status.transaction_state()?.change_transaction_depth(change)
    }

    /// Undoes what was begun and dropped, before anything else happens: nobody could wait for it then.
    fn settle(&mut self) {
        if !stands(Guard::AbandonedTransaction) {
            return;
        }
        let Some(level) = self.abandoned.take() else { return };
        while self.status.transaction_depth().is_ok_and(|depth| depth.map_or(0, NonZeroU32::get) > level) {
            let _ = self.change_depth(TransactionDepthChange::DecreaseDepth);
        }
        self.drop_from(level);
    }

    fn drop_from(&mut self, level: u32) {
        // The pool rolls a transaction back whose checkout is dropped.
        drop(self.outermost(level));
        if let Some(held) = &mut self.held {
            let level = held.level_at(level);
            held.nesting.drop_from(level);
        }
    }

    fn note(&mut self, level: u32, event: fn(NonZeroU32) -> InstrumentationEvent<'static>) {
        let depth = NonZeroU32::MIN.saturating_add(level);
        self.instrumentation().on_connection_event(event(depth));
    }
}

impl HeldCheckout {
    /// The level that a checkout gives to what is of this level for Diesel: it does not count what it was taken for.
    fn level_at(&self, level: u32) -> u32 {
        match self {
            Self::Session(_) => level,
            Self::Transaction(_) => level.saturating_sub(1),
        }
    }
}

impl Deref for HeldCheckout {
    type Target = ClientCheckout;

    fn deref(&self) -> &ClientCheckout {
        match self {
            Self::Session(checkout) => checkout,
            Self::Transaction(transaction) => transaction,
        }
    }
}

impl DerefMut for HeldCheckout {
    fn deref_mut(&mut self) -> &mut ClientCheckout {
        match self {
            Self::Session(checkout) => checkout,
            Self::Transaction(transaction) => transaction,
        }
    }
}

/// A query whose end somebody wants to hear of.
struct Watched<'a>(Option<(&'a mut Box<dyn Instrumentation>, String)>);

impl<'a> Watched<'a> {
    fn new(instrumentation: &'a mut Mutex<Option<Box<dyn Instrumentation>>>, sql: &str) -> Self {
        Self::of(instrumentation.get_mut().unwrap_or_else(PoisonError::into_inner), sql)
    }

    fn of(instrumentation: &'a mut Option<Box<dyn Instrumentation>>, sql: &str) -> Self {
        Self(instrumentation.as_mut().map(|instrumentation| (instrumentation, sql.to_owned())))
    }

    fn finish<T>(self, result: QueryResult<T>) -> QueryResult<T> {
        if let Some((instrumentation, sql)) = self.0 {
            let query = StrQueryHelper::new(&sql);
            let event = InstrumentationEvent::finish_query(&query, result.as_ref().err());
            instrumentation.on_connection_event(event);
        }
        result
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("status", &self.status).finish_non_exhaustive()
    }
}
