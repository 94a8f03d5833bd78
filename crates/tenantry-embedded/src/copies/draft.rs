use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};

use super::{comment, host::Host, leftovers, office};
use crate::{
    Error, ErrorKind, Result,
    sql::{self, Name},
};

const POLL: Duration = Duration::from_millis(20);
/// Nobody makes a template for longer.
const PATIENCE: Duration = Duration::from_mins(5);

/// A template that this process makes, and the connection that holds its lock.
pub(super) struct Draft {
    host: Arc<Host>,
    key: String,
    name: Name,
    /// The lock goes with it. `None` once the draft is dropped.
    connection: Option<PgConnection>,
}

impl Draft {
    /// Takes the lock of a template, and an empty database for it. Answers with `None` if somebody else has made it.
    pub(super) async fn begin(host: Arc<Host>, key: String) -> Result<Option<Self>> {
        let mut connection = host.connect().await?;
        let begun = Instant::now();
        while !sql::try_lock(&mut connection, &host.scope.lock_of_template(&key)).await? {
            if begun.elapsed() > PATIENCE {
                let message = "another process makes the database of these migrations, for minutes";
                return Err(Error::new(ErrorKind::Database, message));
            }
            tokio::time::sleep(POLL).await;
        }
        let name = host.scope.draft(&key)?;
        let mut draft = Self { host, key, name, connection: Some(connection) };
        Ok(draft.make().await?.then_some(draft))
    }

    /// Makes an empty database, in place of one whose maker was killed; `false` if the template is there.
    async fn make(&mut self) -> Result<bool> {
        let Some(connection) = &mut self.connection else { return Ok(false) };
        if let Some(note) = find(&self.host, connection, &self.key).await? {
            self.host.set_note(&self.key, Some(&note));
            return Ok(false);
        }
        sql::drop_only_database(connection, &self.name).await?;
        let (owner, major) = (&self.host.owner_name, self.host.major);
        sql::create_owned_database(connection, &self.name, owner, major).await?;
        Ok(true)
    }

    /// The database, for its owner.
    pub(super) fn url(&self) -> String {
        self.host.url(&self.name)
    }

    /// Makes it a template, with what is to be told of it.
    pub(super) async fn finish(mut self, note: String) -> Result<()> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let template = self.host.scope.template(&self.key)?;
        sql::make_template(connection, &self.name, &template, &comment::write(&note)).await?;
        self.host.set_note(&self.key, Some(&note));
        leftovers::remove_templates(&self.host, connection).await
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let name = self.name.clone();
        office::start(async move {
            // One that was finished has another name by now.
            let _ = sql::drop_only_database(&mut connection, &name).await;
            let _ = connection.close().await;
        });
    }
}

/// The note of a template, if it is there. Notes that it is used.
pub(super) async fn find(host: &Host, connection: &mut PgConnection, key: &str) -> Result<Option<String>> {
    let template = host.scope.template(key)?;
    let Some(text) = sql::comment_on_database(connection, &template).await? else { return Ok(None) };
    let Some((hour, note)) = comment::read(&text) else { return Ok(None) };
    if hour != comment::this_hour() {
        sql::set_comment_on_database(connection, &template, &comment::write(note)).await?;
    }
    Ok(Some(note.to_owned()))
}
