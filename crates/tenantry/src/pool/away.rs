//! The databases that did not answer when they were last asked.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::tenant::Alias;

/// The longest that a database is not asked again.
const LONGEST: Duration = Duration::from_secs(30);
/// The times by which it is left alone longer than the answer was waited for.
const FACTOR: u32 = 10;

/// Remembers databases that do not answer, so that work on many tenants does not wait for each of them anew.
///
/// A server that refuses connections does so at once, and is asked again at once. One of which nothing is heard costs
/// seconds, and is left alone for ten times as long, so that the waiting is a small part of the work. The default
/// database is always asked: without it nothing goes on.
#[derive(Debug, Default)]
pub(crate) struct Away(Mutex<BTreeMap<Alias, Absence>>);

#[derive(Debug)]
struct Absence {
    error: Error,
    until: Instant,
}

impl Away {
    /// Asks a database, unless it did not answer a moment ago: then the error is that again.
    pub(crate) async fn ask<T>(&self, alias: &Alias, question: impl Future<Output = Result<T>>) -> Result<T> {
        if let Some(error) = self.lately(alias) {
            return Err(error);
        }
        let asked = Instant::now();
        let answer = question.await;
        self.hear(alias, &answer, asked.elapsed());
        answer
    }

    /// The error of a database that did not answer a moment ago.
    pub(crate) fn lately(&self, alias: &Alias) -> Option<Error> {
        let absences = self.absences();
        absences.get(alias).filter(|absence| Instant::now() < absence.until).map(|it| it.error.clone())
    }

    /// All that did not answer when they were last asked, each with its error.
    pub(crate) fn all(&self) -> BTreeMap<Alias, Error> {
        let absences = self.absences();
        absences.iter().map(|(alias, absence)| (alias.clone(), absence.error.clone())).collect()
    }

    /// Returns true for a database that answered when it was last asked, or never was.
    pub(crate) fn is_there(&self, alias: &Alias) -> bool {
        !self.absences().contains_key(alias)
    }

    fn hear<T>(&self, alias: &Alias, answer: &Result<T>, waited: Duration) {
        match answer {
            Err(error) if error.kind() == ErrorKind::DatabaseUnavailable && *alias != Alias::default() => {
                let until = Instant::now() + waited.saturating_mul(FACTOR).min(LONGEST);
                self.absences().insert(alias.clone(), Absence { error: named(alias, error), until });
            }
            // Any other error is an answer as well.
            _ => {
                self.absences().remove(alias);
            }
        }
    }

    fn absences(&self) -> MutexGuard<'_, BTreeMap<Alias, Absence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error with the name of the database.
fn named(alias: &Alias, error: &Error) -> Error {
    if error.to_string().contains(&format!("`{alias}`")) {
        return error.clone();
    }
    let message = format!("database `{alias}` does not answer");
    Error::new(ErrorKind::DatabaseUnavailable, message).with_source(error.clone())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread::sleep;

    use super::*;

    fn unavailable() -> Error {
        Error::new(ErrorKind::DatabaseUnavailable, "it cannot be reached")
    }

    #[tokio::test]
    async fn what_was_waited_for_in_vain_is_not_asked_again_at_once() {
        let (away, asked) = (Away::default(), Cell::new(0));
        let eu = Alias::parse("eu").expect("an alias");
        let ask = async |alias: &Alias, waited: u64, answer: Result<()>| {
            let question = async {
                asked.set(asked.get() + 1);
                sleep(Duration::from_millis(waited));
                answer
            };
            away.ask(alias, question).await.map_err(|error| error.kind())
        };
        let no_answer = Err(ErrorKind::DatabaseUnavailable);
        // Refused at once, and asked again.
        assert_eq!(ask(&eu, 0, Err(unavailable())).await, no_answer);
        sleep(Duration::from_millis(5));
        assert_eq!(ask(&eu, 20, Err(unavailable())).await, no_answer);
        assert_eq!(asked.get(), 2);
        // Waited for, and left alone.
        assert_eq!(ask(&eu, 0, Ok(())).await, no_answer);
        assert_eq!((asked.get(), away.all().len()), (2, 1));
        sleep(Duration::from_millis(250));
        assert_eq!(ask(&eu, 0, Ok(())).await, Ok(()));
        assert_eq!((asked.get(), away.all().len()), (3, 0));
        // Without the default database nothing goes on, so it is always asked.
        assert_eq!(ask(&Alias::default(), 20, Err(unavailable())).await, no_answer);
        assert_eq!(ask(&Alias::default(), 0, Ok(())).await, Ok(()));
        // A refusal for another reason is an answer.
        let conflict = Error::new(ErrorKind::Conflict, "it is taken");
        assert_eq!(ask(&eu, 0, Err(conflict)).await, Err(ErrorKind::Conflict));
        assert!(away.all().is_empty());
    }
}
