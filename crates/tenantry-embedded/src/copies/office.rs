use std::{io, sync::LazyLock, thread};

use tokio::runtime::{Builder, Handle};

use crate::{Error, ErrorKind, Result};

/// A connection belongs to the runtime that it was opened in, and every test has its own. So the connections which make
/// and drop databases live on a thread with a runtime of its own, and a test that panics leaves nothing half done.
static OFFICE: LazyLock<io::Result<Handle>> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let serve = move || runtime.block_on(std::future::pending::<()>());
    thread::Builder::new().name("tenantry-copies".to_owned()).spawn(serve)?;
    Ok(handle)
});

/// Runs work there, to its end also if nobody waits for it any more.
pub(super) async fn run<T: Send + 'static>(
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let ended = || Error::new(ErrorKind::Server, "the thread that copies databases is not running");
    let office = OFFICE.as_ref().map_err(|error| ended().because(error.to_string()))?;
    office.spawn(work).await.map_err(|error| ended().because(error))?
}

/// Begins work there that nobody waits for.
pub(super) fn start(work: impl Future<Output = ()> + Send + 'static) {
    if let Ok(office) = OFFICE.as_ref() {
        office.spawn(work);
    }
}
