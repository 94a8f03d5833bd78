use std::error::Error as StdError;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use tenantry::http::RejectionKind;

use crate::reply::{reply, status};

/// The answer to a request that got no further: a [`tenantry::http::Rejection`] that is a response of actix-web.
#[derive(Clone)]
pub struct Rejection {
    inner: tenantry::http::Rejection,
    own_answer: Option<OwnAnswer>,
}

/// The application's own way to answer.
#[derive(Clone)]
pub(crate) struct OwnAnswer(pub(crate) Arc<dyn Fn(Rejection) -> HttpResponse<BoxBody> + Send + Sync>);

impl Rejection {
    pub(crate) fn new(inner: tenantry::http::Rejection, own_answer: Option<OwnAnswer>) -> Self {
        Self { inner, own_answer }
    }

    /// The rejection of Tenantry.
    pub fn into_inner(self) -> tenantry::http::Rejection {
        self.inner
    }
}

impl Deref for Rejection {
    type Target = tenantry::http::Rejection;

    fn deref(&self) -> &tenantry::http::Rejection {
        &self.inner
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        status(self.inner.status())
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        match &self.own_answer {
            // A redirect is the application's wish already, so there are no other words for it.
            Some(OwnAnswer(answer)) if self.inner.kind() != RejectionKind::Renamed => {
                answer(Self::new(self.inner.clone(), None))
            }
            _ => reply(self.inner.answer()),
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source()
    }
}
