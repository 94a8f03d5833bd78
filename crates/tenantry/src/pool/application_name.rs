//! The tenant in the name that a session goes by on the server.

use super::preprocessor::{CheckoutRequest, Preprocessor, SessionSettings};
use crate::error::Result;
use crate::tenant::Tenant;

/// Names the tenant in `application_name`, behind the program: `notes/acme`. It is seen in `pg_stat_activity`, and in
/// the server's log where `log_line_prefix` has `%a`.
///
/// The name travels with the switch to the tenant, which is sent anyway, so it costs no round trip and no prepared
/// statement, and a [stock pool](crate::Tenancy::stock_pool) has it, too. What reads the texts of statements and
/// nothing else needs [`Comment::Tenant`](crate::database::Comment::Tenant).
///
/// ```no_run
/// use tenantry::pool::ApplicationName;
///
/// # fn example(builder: tenantry::Builder) -> tenantry::Result<()> {
/// let builder = builder.preprocessor(ApplicationName::of("notes"));
/// # let _ = builder;
/// # Ok(())
/// # }
/// ```
///
/// In `tenantry.toml` it is chosen by name, `preprocessors = ["search_path", "application_name"]`, and the program is
/// then `tenantry`.
#[derive(Clone, Debug)]
pub struct ApplicationName {
    program: String,
}

impl ApplicationName {
    /// The most bytes that the server keeps of a name.
    const MAX_BYTES: usize = 63;

    /// Sessions of this program. A name that is too long for the server together with the slug is cut off.
    pub fn of(program: &str) -> Self {
        Self { program: program.to_owned() }
    }

    fn name_for(&self, tenant: Option<&Tenant>) -> String {
        let slug = tenant.map_or("", |tenant| tenant.slug().as_str());
        let mut room = Self::MAX_BYTES - slug.len();
        if tenant.is_some() {
            room = room.saturating_sub(1);
        }
        let program = &self.program[..self.program.floor_char_boundary(room)];
        match tenant {
            Some(_) if program.is_empty() => slug.to_owned(),
            Some(_) => format!("{program}/{slug}"),
            None => program.to_owned(),
        }
    }
}

impl Default for ApplicationName {
    fn default() -> Self {
        Self::of("tenantry")
    }
}

impl Preprocessor for ApplicationName {
    fn name(&self) -> &'static str {
        "application_name"
    }

    fn is_constant(&self) -> bool {
        true
    }

    fn prepare(&self, request: &CheckoutRequest, session: &mut SessionSettings) -> Result<()> {
        session.set("application_name", &self.name_for(request.tenant()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pool::preprocessor::Target;
    use crate::pool::tests::tenant_at;

    #[test]
    fn the_slug_is_whole_however_long_the_program_is() {
        let longest = "a".repeat(63);
        for (program, slug, expect) in [
            ("notes", Some("acme"), "notes/acme".to_owned()),
            ("notes", None, "notes".to_owned()),
            ("", Some("acme"), "acme".to_owned()),
            (&"p".repeat(80), Some("acme"), format!("{}/acme", "p".repeat(58))),
            (&"p".repeat(80), None, "p".repeat(63)),
            (&"é".repeat(40), Some("acm"), format!("{}/acm", "é".repeat(29))),
            ("notes", Some(longest.as_str()), longest.clone()),
        ] {
            let target = slug.map_or(Target::Master, |slug| tenant_at(slug, 0));
            let request = CheckoutRequest::new(target, Arc::default());
            let name = ApplicationName::of(program).name_for(request.tenant());
            assert_eq!(name, expect);
            assert!(name.len() <= ApplicationName::MAX_BYTES);
        }
    }
}
