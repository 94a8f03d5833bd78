//! The pool of tokio-postgres connections that a database has where the feature is on.

#[cfg(not(feature = "tokio-postgres"))]
pub(super) use self::off::ClientPool;
#[cfg(not(feature = "tokio-postgres"))]
pub(crate) use self::off::open_client;
#[cfg(feature = "tokio-postgres")]
pub(super) use self::on::ClientPool;
#[cfg(feature = "tokio-postgres")]
pub(crate) use self::on::open_client;

#[cfg(feature = "tokio-postgres")]
mod on {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::database::{DatabaseConfig, Layout};
    use crate::error::Result;
    use crate::pool::client::ClientDriver;
    use crate::pool::driver::Driver as _;
    #[cfg(feature = "testing")]
    use crate::pool::lease::Leftover;
    use crate::pool::node_pools::NodeStatus;
    use crate::pool::opener::Opener;
    use crate::pool::preparation::Preprocessors;
    #[cfg(feature = "testing")]
    use crate::pool::record::WriteRecord;
    use crate::pool::shared::Pool;
    use crate::tenant::TenantId;

    #[derive(Clone)]
    pub(in crate::pool) struct ClientPool(Pool<ClientDriver>);

    /// Opens a connection as this pool does, and closes it.
    pub(crate) async fn open_client(opener: &Opener, config: &DatabaseConfig) -> Result<()> {
        let driver = ClientDriver::new(opener, config, &Preprocessors::new(Vec::new()));
        driver.open().await.map(drop)
    }

    impl ClientPool {
        /// Not filled ahead of need, because most installations use one driver.
        pub(in crate::pool) fn open(
            opener: &Opener,
            config: &DatabaseConfig,
            layout: &Arc<Layout>,
            preprocessors: &Preprocessors,
        ) -> Result<Self> {
            let driver = ClientDriver::new(opener, config, preprocessors);
            let pool_config = config.pool_config().clone();
            Pool::new(opener.alias().clone(), driver, pool_config, Arc::clone(layout), preprocessors.clone())
                .map(Self)
        }

        pub(in crate::pool) fn introduce<'a>(pools: impl Iterator<Item = &'a Self> + Clone) {
            Pool::introduce(pools.map(Self::get));
        }

        pub(in crate::pool) fn get(&self) -> &Pool<ClientDriver> {
            &self.0
        }

        pub(in crate::pool) fn held_by(&self, tenant: TenantId, only_writers: bool) -> usize {
            self.0.held_by(tenant, only_writers)
        }

        pub(in crate::pool) fn node_status(&self) -> Vec<NodeStatus> {
            self.0.node_status()
        }

        #[cfg(feature = "testing")]
        pub(in crate::pool) fn note_in(&self, record: &Arc<WriteRecord>) {
            self.0.recorder().note_in(record);
        }

        #[cfg(feature = "testing")]
        pub(in crate::pool) async fn leftovers(&self) -> Result<Vec<Leftover>> {
            self.0.leftovers().await
        }

        pub(in crate::pool) async fn close(&self, limit: Duration) -> Result<()> {
            self.0.close(limit).await
        }
    }
}

/// The same without the feature: there is no such pool.
#[cfg(not(feature = "tokio-postgres"))]
mod off {
    use std::future::{Ready, ready};
    use std::sync::Arc;
    use std::time::Duration;

    use crate::database::{DatabaseConfig, Layout};
    use crate::error::Result;
    #[cfg(feature = "testing")]
    use crate::pool::lease::Leftover;
    use crate::pool::node_pools::NodeStatus;
    use crate::pool::opener::Opener;
    use crate::pool::preparation::Preprocessors;
    #[cfg(feature = "testing")]
    use crate::pool::record::WriteRecord;
    use crate::tenant::TenantId;

    #[derive(Clone)]
    pub(in crate::pool) struct ClientPool;

    pub(crate) fn open_client(_: &Opener, _: &DatabaseConfig) -> Ready<Result<()>> {
        ready(Ok(()))
    }

    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the signatures are those of the feature"
    )]
    impl ClientPool {
        pub(in crate::pool) fn open(
            _: &Opener,
            _: &DatabaseConfig,
            _: &Arc<Layout>,
            _: &Preprocessors,
        ) -> Result<Self> {
            Ok(Self)
        }

        pub(in crate::pool) fn introduce<'a>(_: impl Iterator<Item = &'a Self>) {}

        pub(in crate::pool) fn held_by(&self, _: TenantId, _: bool) -> usize {
            0
        }

        pub(in crate::pool) fn node_status(&self) -> Vec<NodeStatus> {
            Vec::new()
        }

        #[cfg(feature = "testing")]
        pub(in crate::pool) fn note_in(&self, _: &Arc<WriteRecord>) {}

        #[cfg(feature = "testing")]
        pub(in crate::pool) fn leftovers(&self) -> Ready<Result<Vec<Leftover>>> {
            ready(Ok(Vec::new()))
        }

        pub(in crate::pool) fn close(&self, _: Duration) -> Ready<Result<()>> {
            ready(Ok(()))
        }
    }
}
