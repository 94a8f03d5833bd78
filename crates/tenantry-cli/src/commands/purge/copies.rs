//! Drops what moves have left in databases that tenants went away from.
use tenantry::Tenancy;
use tenantry::registry::TenantMove;

use crate::context::Context;
use crate::failure::Report;
use crate::interrupt::interrupted;
use crate::output::{confirm, note, print_report};
use crate::progress::Progress;

/// Copies that are read at a time.
const PAGE: u32 = 100;

/// Drops the copies whose time has come, and answers with the number of those that could not be dropped.
pub(super) async fn purge_due(
    cx: &mut Context,
    (tenancy, progress): (&Tenancy, &Progress),
    is_sure: bool,
) -> anyhow::Result<usize> {
    let (mut after, mut failed, mut is_sure) = (0, 0, is_sure);
    loop {
        let page = tenancy.copies_due_for_purge(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(failed) };
        after = last.id;
        let action = format!("drop {} copies that moves have left", page.len());
        if !confirm(&action, is_sure)? {
            note(cx.output.format(), "no copy was dropped");
            return Ok(failed);
        }
        is_sure = true;
        for moved in page {
            let dropped = tenancy.purge_copy(&moved, progress).await;
            progress.finish();
            match dropped {
                Ok(()) => note(cx.output.format(), &told(&moved)),
                Err(error) => {
                    cx.output.flush();
                    print_report(cx.output.format(), &Report::of(&error));
                    failed += 1;
                }
            }
            if progress.is_cancelled() {
                return Err(interrupted().with_hint("repeat the command: it goes on").into());
            }
        }
    }
}

fn told(moved: &TenantMove) -> String {
    let TenantMove { slug, source, kept_schema, .. } = moved;
    format!("dropped the copy of {slug} in database {source}, schema {kept_schema}")
}
