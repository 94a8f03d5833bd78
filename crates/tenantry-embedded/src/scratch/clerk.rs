//! The thread which makes and drops databases for this process.
//!
//! A connection belongs to the runtime it was made in, and every `#[tokio::test]` has its own. So the one
//! connection that makes databases lives on a thread with a runtime of its own, which also means that a
//! test which is cancelled or panics leaves nothing half done, and that dropping a database never waits.
use std::{collections::VecDeque, io, sync::LazyLock, thread};

use sqlx::PgConnection;
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel},
    oneshot,
};

use super::{database::ScratchDatabase, shared::Share};
use crate::{Error, ErrorKind, Result, postmaster, secret::random_name, sql, sql::Name};

/// This many databases may wait to be dropped before a request for a new one has to wait for them.
const MOST_WAITING_DROPS: usize = 16;

/// A request to the clerk.
#[derive(Debug)]
enum Request {
    Create(oneshot::Sender<Result<ScratchDatabase>>),
    Drop(Name),
}

static CLERK: LazyLock<io::Result<UnboundedSender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || runtime.block_on(serve(requests));
    thread::Builder::new().name("tenantry-scratch".to_owned()).spawn(serve)?;
    Ok(sender)
});

impl ScratchDatabase {
    /// Creates a database. The first call of a test run also starts the server, which takes about a second.
    ///
    /// # Errors
    /// [`ErrorKind::BinariesNotFound`](crate::ErrorKind::BinariesNotFound) with the command that installs
    /// PostgreSQL as hint; [`Folder`](crate::ErrorKind::Folder), [`Server`](crate::ErrorKind::Server) or
    /// [`Database`](crate::ErrorKind::Database) when the server does not come up, with the end of its log.
    pub async fn create() -> Result<Self> {
        let unavailable = || Error::new(ErrorKind::Server, "the thread that makes databases is not running");
        let clerk = CLERK.as_ref().map_err(|error| unavailable().because(error.to_string()))?;
        let (reply, answer) = oneshot::channel();
        clerk.send(Request::Create(reply)).map_err(|_| unavailable())?;
        answer.await.map_err(|_| unavailable())?
    }
}

/// Tells the clerk that a database is not needed any more.
fn discard(name: Name) {
    if let Ok(clerk) = CLERK.as_ref() {
        let _ = clerk.send(Request::Drop(name));
    }
}

async fn serve(mut requests: UnboundedReceiver<Request>) {
    let mut clerk = Clerk::default();
    loop {
        let request = match requests.try_recv() {
            Ok(request) => request,
            Err(TryRecvError::Empty) if clerk.tidy().await => continue,
            Err(_) => match requests.recv().await {
                Some(request) => request,
                None => return,
            },
        };
        clerk.handle(request).await;
    }
}

#[derive(Default)]
struct Clerk {
    session: Option<Session>,
    to_drop: VecDeque<Name>,
}

/// The shared server and our connection to it.
struct Session {
    share: Share,
    server: PgConnection,
}

impl Clerk {
    async fn handle(&mut self, request: Request) {
        match request {
            Request::Drop(name) => self.to_drop.push_back(name),
            Request::Create(reply) => {
                if self.to_drop.len() > MOST_WAITING_DROPS {
                    self.tidy().await;
                }
                // If nobody waits any more, dropping the database sends us its name right back.
                let _ = reply.send(self.create().await);
            }
        }
    }

    /// Makes a database. A server that is gone (a test may have killed it) is replaced once.
    async fn create(&mut self) -> Result<ScratchDatabase> {
        if let Ok(database) = self.try_create().await {
            return Ok(database);
        }
        self.session = None;
        self.try_create().await
    }

    async fn try_create(&mut self) -> Result<ScratchDatabase> {
        let session = match &mut self.session {
            Some(session) => session,
            none => {
                let mut session = Session::open().await?;
                self.to_drop = leftovers(&mut session.server).await?;
                none.insert(session)
            }
        };
        let name = Name::parse(&format!("scratch_{}_{}", std::process::id(), &random_name()[..8]))?;
        let verifier = session.share.owner.verifier();
        sql::create_scratch_database(&mut session.server, &name, &verifier, session.share.major).await?;
        let Share { port, superuser, owner, .. } = &session.share;
        Ok(ScratchDatabase::on(*port, superuser, owner, name, Some(discard)))
    }

    /// Drops one database nobody needs; `false` when there is none.
    async fn tidy(&mut self) -> bool {
        let (Some(session), Some(name)) = (&mut self.session, self.to_drop.pop_front()) else { return false };
        // Another process may have been quicker, and the server's end removes everything anyway.
        let _ = sql::drop_database(&mut session.server, &name).await;
        true
    }
}

impl Session {
    async fn open() -> Result<Self> {
        let share = Share::take().await?;
        let server = sql::connect(share.port, &share.superuser).await?;
        Ok(Self { share, server })
    }
}

/// The databases of processes which ended before they could drop them, as each test of nextest does.
async fn leftovers(server: &mut PgConnection) -> Result<VecDeque<Name>> {
    let query = r"SELECT datname::text FROM pg_database WHERE datname LIKE 'scratch\_%'";
    let names: Vec<String> =
        sqlx::query_scalar(query).fetch_all(server).await.map_err(Error::sql("list the databases"))?;
    let abandoned = names.iter().filter(|name| owner(name).is_some_and(|pid| !postmaster::is_alive(pid)));
    Ok(abandoned.filter_map(|name| Name::parse(name).ok()).collect())
}

/// Reads the process out of `scratch_<process>_<random>`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("scratch_")?.split('_').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_database_tells_its_process() {
        assert_eq!(owner("scratch_4711_0a1b2c3d"), Some(4711));
        assert_eq!(owner("postgres"), None);
        assert_eq!(owner("scratch_"), None);
    }
}
