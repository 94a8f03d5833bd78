//! Lets a tenant go, with its schema.
use clap_complete::ArgValueCompleter;
use serde_json::json;

use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::output::{Format, confirm_by_typing, note};
use crate::slugs::complete_slugs;

/// Take a tenant out of the registry; its schema stays
///
/// Requests for it are for nobody then, its domains and its slug are free, and runs leave its schema alone. To undo it,
/// adopt the schema.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The tenant
    #[arg(add = ArgValueCompleter::new(complete_slugs))]
    slug: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        let tenant = tenancy.tenant(&options.slug).await?;
        let slug = tenant.slug().as_str();
        let action = format!("take tenant {slug} out of the registry, with its domains");
        if !confirm_by_typing(&action, slug, options.yes)? {
            note(cx.output.format(), "nothing was released");
            return Ok(());
        }
        tenancy.release(&tenant).await?;
        match cx.output.format() {
            Format::Json => cx.output.json(&json!({ "released": slug, "schema": tenant.schema() })),
            Format::Table => {
                cx.output.line(&format!("released {slug}"));
                let schema = tenant.schema().as_str().replace('\'', r"'\''");
                let back = format!("`tenantry create {slug} --schema '{schema}'` takes it back");
                note(Format::Table, &back);
            }
        }
        Ok(())
    })
    .await?;
    Ok(Finish::Done)
}
