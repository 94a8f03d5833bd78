//! The comments at the end of a statement's text: one that keeps apart what may not share a prepared statement, and one
//! for whoever reads the text on the server.

use std::borrow::Cow;
use std::sync::Arc;

use super::statement::Statement;
use crate::database::Comment;
use crate::guard::{Guard, stands};
use crate::sql::comment::{comment, commented};
use crate::sql::tagged;
use crate::tenant::{Digest, Tenant};

/// The comments that the statements of one handle get.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Set when the tenant is not where the rest of the fleet is.
    pub(super) digest: Option<Digest>,
    /// Set where it was asked for, and there is a tenant.
    comment: Option<Arc<str>>,
}

impl Marks {
    /// The comments for a tenant, in a fleet that has mostly applied what this digest stands for.
    pub(super) fn of(tenant: &Tenant, fleet: Option<Digest>, asked: Comment) -> Self {
        // One text for all who are where the fleet is; the others get texts of their own.
        let digest = tenant.digest().copied().filter(|digest| Some(*digest) != fleet);
        let comment = match asked {
            Comment::Off => None,
            Comment::Tenant => Some(comment(&[("tenant", tenant.slug().as_str())]).into()),
        };
        Self { digest, comment }
    }

    /// The text of a statement that is not kept, or whose keeper knows tenants apart.
    pub(super) fn text<'a>(&self, sql: &'a str) -> Cow<'a, str> {
        match &self.comment {
            Some(comment) => Cow::Owned(commented(sql, comment)),
            None => Cow::Borrowed(sql),
        }
    }

    /// The statement as it is sent on a connection that keeps it by its text.
    pub(super) fn kept(&self, statement: Statement) -> Statement {
        let digest = self.digest.filter(|_| statement.is_prepared() && stands(Guard::Tag));
        let statement = match digest {
            Some(digest) => statement.with_text(|text| tagged(text, &digest)),
            None => statement,
        };
        self.unkept(statement)
    }

    /// The statement as it is sent without a name.
    pub(super) fn unkept(&self, statement: Statement) -> Statement {
        match &self.comment {
            Some(comment) => statement.with_text(|text| commented(text, comment)),
            None => statement,
        }
    }
}
