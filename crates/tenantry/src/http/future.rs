//! The answer of the service behind the middleware.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;
use tracing::Span;
use tracing::instrument::{Instrument as _, Instrumented};

use super::vary::Vary;

pin_project! {
    /// The answer of the service behind the middleware, with the headers that it depends on in its `Vary`.
    #[derive(Debug)]
    pub struct TenancyFuture<F> {
        #[pin]
        answer: Instrumented<F>,
        vary: Vary,
    }
}

impl<F> TenancyFuture<F> {
    /// Works in this span.
    pub(super) fn new(answer: F, span: Span, vary: Vary) -> Self {
        Self { answer: answer.instrument(span), vary }
    }
}

impl<F, B, E> Future for TenancyFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let Ok(response) = &mut answer {
            this.vary.add_to(response.headers_mut());
        }
        Poll::Ready(answer)
    }
}
