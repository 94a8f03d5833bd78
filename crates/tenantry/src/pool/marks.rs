//! The comments at the end of a statement's text: one that keeps apart what may not share a prepared statement, and one
//! for whoever reads the text on the server.

use std::borrow::Cow;
use std::sync::Arc;

use super::statement::Statement;
use super::traceparent::CurrentTrace;
use crate::database::Comment;
use crate::guard::{Guard, stands};
use crate::sql::comment::{comment, commented};
use crate::sql::tagged;
use crate::tenant::{Digest, Slug, Tenant};

/// The comments that the statements of one handle get.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Set when the tenant is not where the rest of the fleet is.
    pub(super) digest: Option<Digest>,
    /// Set where it was asked for, and there is a tenant.
    tenant: Option<TenantComment>,
    /// Set where it was asked for.
    trace: Option<CurrentTrace>,
}

/// The name that a comment gives, and the comment with that alone.
#[derive(Clone, Debug)]
struct TenantComment {
    slug: Slug,
    comment: Arc<str>,
}

impl Marks {
    /// The comments for a tenant, in a fleet that has mostly applied what this digest stands for.
    pub(super) fn of(
        tenant: &Tenant,
        fleet: Option<Digest>,
        asked: Comment,
        trace: Option<&CurrentTrace>,
    ) -> Self {
        // One text for all who are where the fleet is; the others get texts of their own.
        let digest = tenant.digest().copied().filter(|digest| Some(*digest) != fleet);
        let named = || {
            let slug = tenant.slug().clone();
            TenantComment { comment: comment(&[("tenant", slug.as_str())]).into(), slug }
        };
        let tenant = (asked == Comment::Tenant).then(named);
        Self { digest, tenant, trace: trace.cloned() }
    }

    /// The comments for the master schema.
    pub(super) fn of_master(trace: Option<&CurrentTrace>) -> Self {
        Self { trace: trace.cloned(), ..Self::default() }
    }

    /// The text of a statement that is not kept, or whose keeper knows tenants apart.
    pub(super) fn text<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        self.text_and_trace(sql).0
    }

    /// The same, and true if there is hardly another statement of this text, so that it is not worth keeping.
    pub(super) fn text_and_trace<'a>(&self, sql: &'a str) -> (Cow<'a, str>, bool) {
        match (self.traced(), &self.tenant) {
            (Some(traced), _) => (Cow::Owned(commented(sql, &traced)), true),
            (None, Some(named)) => (Cow::Owned(commented(sql, &named.comment)), false),
            (None, None) => (Cow::Borrowed(sql), false),
        }
    }

    /// The statement as it is sent on a connection that keeps it by its text.
    pub(super) fn kept(&self, statement: Statement) -> Statement {
        let digest = self.digest.filter(|_| statement.is_prepared() && stands(Guard::Tag));
        let statement = match digest {
            Some(digest) => statement.with_text(|text| tagged(text, &digest)),
            None => statement,
        };
        match &self.tenant {
            Some(named) => statement.with_text(|text| commented(text, &named.comment)),
            None => statement,
        }
    }

    /// The statement as it is sent for a request that is sampled: without a name, because no other has its text, so
    /// that it takes no place of one that is kept. `None` where nothing is sampled.
    pub(super) fn sampled(&self, statement: &Statement) -> Option<Statement> {
        let traced = self.traced()?;
        Some(statement.clone().unnamed().with_text(|text| commented(text, &traced)))
    }

    /// The statement as it is sent without a name.
    pub(super) fn unkept(&self, statement: Statement) -> Statement {
        let comment = self.traced().map(Cow::Owned);
        match comment.or_else(|| Some(Cow::Borrowed(&*self.tenant.as_ref()?.comment))) {
            Some(comment) => statement.with_text(|text| commented(text, &comment)),
            None => statement,
        }
    }

    /// The comment that names the request, if that is sampled.
    fn traced(&self) -> Option<String> {
        let place = self.trace.as_ref()?.sampled()?.to_string();
        let traceparent = ("traceparent", place.as_str());
        Some(match &self.tenant {
            Some(named) => comment(&[("tenant", named.slug.as_str()), traceparent]),
            None => comment(&[traceparent]),
        })
    }
}
