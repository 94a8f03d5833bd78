//! Makes the tenants that a file lists.
use std::collections::HashMap;
use std::future::ready;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use serde_json::json;
use tenantry::tenant::{Slug, Tenant};
use tenantry::{ErrorKind, Tenancy};

use super::order;
use crate::causes::Causes;
use crate::connect::with_files;
use crate::context::{Context, Finish};
use crate::failure::{Failure, Report};
use crate::input::read_text;
use crate::interrupt::until_interrupted;
use crate::order::Order;
use crate::output::{Format, note};

/// The outcome of one line.
enum Made {
    Created(Tenant),
    There,
    Failed(Report),
}

pub(super) async fn run(
    file: &Path,
    defaults: &Order,
    jobs: NonZeroUsize,
    cx: &mut Context,
) -> anyhow::Result<Finish> {
    let file = Some(file).filter(|file| *file != Path::new("-"));
    let text = read_text(file)?;
    let name = file.map_or_else(|| "stdin".to_owned(), |file| file.display().to_string());
    let orders = parse(&text, &name, defaults)?;
    with_files(cx, async |cx, tenancy| {
        check_types(tenancy, &orders)?;
        make_all(cx, tenancy, orders, jobs).await
    })
    .await
}

/// Makes sure that each type is one that there is, before the first tenant is made.
fn check_types(tenancy: &Tenancy, orders: &[(Slug, Order)]) -> Result<(), Failure> {
    let types = tenancy.migrations();
    let unknown = orders.iter().find(|(_, order)| types.of_type(order.type_name.as_ref()).is_none());
    let Some((slug, Order { type_name: Some(type_name), .. })) = unknown else { return Ok(()) };
    let failure = Failure::new("configuration", format!("there is no type `{type_name}` of tenants"));
    Err(failure
        .with_tenant(slug.as_str())
        .with_hint(format!("write `[types.{type_name}]` into tenantry.toml")))
}

/// Reads all lines before the first tenant is made.
fn parse(text: &str, file: &str, defaults: &Order) -> Result<Vec<(Slug, Order)>, Failure> {
    let mut orders = Vec::new();
    let mut lines = HashMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |why: String| Failure::new("invalid_input", format!("{file}:{number}: {why}"));
        let (slug, mut order) = order::parse(line).map_err(refuse)?;
        if let Some(first) = lines.insert(slug.clone(), number) {
            return Err(refuse(format!("`{slug}` is on line {first} already")));
        }
        order.database = order.database.or_else(|| defaults.database.clone());
        order.type_name = order.type_name.or_else(|| defaults.type_name.clone());
        orders.push((slug, order));
    }
    Ok(orders)
}

async fn make_all(
    cx: &mut Context,
    tenancy: &Tenancy,
    orders: Vec<(Slug, Order)>,
    jobs: NonZeroUsize,
) -> anyhow::Result<Finish> {
    let count = orders.len();
    let (format, is_cancelled) = (cx.output.format(), AtomicBool::new(false));
    let orders = stream::iter(orders).take_while(|_| ready(!is_cancelled.load(Ordering::Relaxed)));
    let made = orders.map(|(slug, order)| make(tenancy, slug, order)).buffered(jobs.get());
    let cancel = || {
        is_cancelled.store(true, Ordering::Relaxed);
        note(format, "stops after the tenants under way; interrupt again to stop at once");
    };
    let mut tally = Tally::default();
    let result = until_interrupted(tally.print_all(cx, made), cancel).await;
    if format == Format::Json {
        cx.output.line(if tally.created == 0 { "[]" } else { "\n]" });
    }
    cx.output.flush();
    tally.causes.finish(format);
    result?;
    let Tally { created, there, failed, .. } = tally;
    note(format, &format!("{created} created, {there} there already, {failed} failed"));
    match count - created - there - failed {
        0 if failed == 0 => Ok(Finish::Done),
        0 => Ok(Finish::SomeFailed),
        left => {
            Err(Failure::new("interrupted", format!("it was interrupted before {left} of {count} tenants"))
                .with_hint("repeat the command: it goes on where it stopped")
                .into())
        }
    }
}

/// The outcome so far.
#[derive(Default)]
struct Tally {
    created: usize,
    there: usize,
    failed: usize,
    causes: Causes,
}

impl Tally {
    async fn print_all(
        &mut self,
        cx: &mut Context,
        made: impl Stream<Item = anyhow::Result<(Slug, Made)>>,
    ) -> anyhow::Result<()> {
        let mut made = std::pin::pin!(made);
        while let Some(made) = made.next().await {
            match made? {
                (_, Made::Created(tenant)) => {
                    print(cx, &tenant, self.created)?;
                    self.created += 1;
                }
                (slug, Made::There) => {
                    note(cx.output.format(), &format!("{slug} is there already"));
                    self.there += 1;
                }
                (_, Made::Failed(report)) => {
                    cx.output.flush();
                    self.causes.tell(cx.output.format(), &report);
                    self.failed += 1;
                }
            }
        }
        Ok(())
    }
}

/// Makes one; an error is one that the next tenant would meet as well.
async fn make(tenancy: &Tenancy, slug: Slug, order: Order) -> anyhow::Result<(Slug, Made)> {
    let error = match tenancy.create(order::new_tenant(&order)?).await {
        Ok(tenant) => return Ok((slug, Made::Created(tenant))),
        Err(error) => error,
    };
    let made = match error.kind() {
        ErrorKind::AlreadyExists if tenancy.tenant(slug.as_str()).await.is_ok() => Made::There,
        ErrorKind::AlreadyExists
        | ErrorKind::InvalidInput
        | ErrorKind::Conflict
        | ErrorKind::DatabaseClosed
        | ErrorKind::MissingSchema => Made::Failed(Report::of(&error).of_slug(&slug)),
        // The other databases go on.
        ErrorKind::DatabaseUnavailable if !tenancy.unreachable().is_empty() => {
            Made::Failed(Report::of(&error).of_slug(&slug))
        }
        _ => return Err(error.into()),
    };
    Ok((slug, made))
}

/// One array, which grows tenant by tenant.
fn print(cx: &mut Context, tenant: &Tenant, printed: usize) -> anyhow::Result<()> {
    match cx.output.format() {
        Format::Json => {
            let separator = if printed == 0 { "[\n  " } else { ",\n  " };
            let tenant = serde_json::to_string(&json!(tenant))?;
            cx.output.text(&format!("{separator}{tenant}"));
        }
        Format::Table => cx.output.line(&format!("created {}", tenant.slug())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_to_its_end_before_anything_is_made() {
        let defaults = Order { database: Some("us".to_owned()), ..Order::default() };
        let orders =
            parse("# customers\n\n acme \n{\"slug\": \"globex\", \"database\": \"eu\"}\r\n", "f", &defaults);
        let orders = orders.expect("a good file");
        let databases: Vec<_> =
            orders.iter().map(|(slug, order)| (slug.as_str(), order.database.as_deref())).collect();
        assert_eq!(databases, [("acme", Some("us")), ("globex", Some("eu"))]);

        let refused = |text| parse(text, "f", &defaults).err().expect("a bad file").to_string();
        assert_eq!(refused("acme\nglobex\nACME\n"), "f:3: `acme` is on line 1 already");
        assert!(refused("acme\n\nno slug\n").starts_with("f:3: slug has ' '"));
    }
}
