//! The recorded runs: what was migrated, when, by whom.
use serde_json::json;
use tenantry::Tenancy;
use tenantry::registry::{Run, RunEntry};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::causes::Causes;
use crate::connect::with_tenancy;
use crate::context::{Context, Finish};
use crate::failure::Failure;
use crate::output::{Format, note};

/// Schemas of a run that are read at a time.
const PAGE: u32 = 500;
/// The master schema, among slugs.
const MASTER: &str = "(master)";

/// Show what was migrated, when, by whom
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Option<Action>,
    /// The number of runs to list, the newest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show one run, and what it did to each schema
    Show {
        #[arg(value_name = "RUN")]
        id: i64,
        /// Only the schemas that failed, each with its error. Without this, those that failed alike are one line
        #[arg(long)]
        failed: bool,
    },
}

pub(crate) async fn run(options: Options, cx: &mut Context) -> anyhow::Result<Finish> {
    with_tenancy(cx, async |cx, _, tenancy| {
        match options.action {
            Some(Action::Show { id, failed }) => show(cx, tenancy, id, failed).await?,
            None => list(cx, &tenancy.runs(options.limit).await?),
        }
        Ok(Finish::Done)
    })
    .await
}

fn list(cx: &mut Context, runs: &[Run]) {
    match cx.output.format() {
        Format::Json => cx.output.json(&runs),
        Format::Table if runs.is_empty() => note(Format::Table, "there are no runs yet"),
        Format::Table => {
            let header = ["RUN", "STATE", "BEGUN", "TOOK", "TO", "MIGRATED", "UP TO DATE", "FAILED", "BY"];
            cx.output.rows(Some(&header), &[0, 3, 4, 5, 6, 7], runs.iter().map(row));
        }
    }
}

fn row(run: &Run) -> Vec<String> {
    vec![
        run.id.to_string(),
        run.state.as_str().to_owned(),
        time(run.started_at),
        took(run),
        version(run.version),
        run.migrated.to_string(),
        run.up_to_date.to_string(),
        run.failed.to_string(),
        run.operator.clone(),
    ]
}

async fn show(cx: &mut Context, tenancy: &Tenancy, id: i64, failed: bool) -> anyhow::Result<()> {
    let run = tenancy.run(id).await?.ok_or_else(|| {
        Failure::new("unknown_run", format!("there is no run {id}"))
            .with_hint("`tenantry runs` shows the runs there are")
    })?;
    begin(cx, &run);
    let is_table = cx.output.format() == Format::Table;
    let (mut printed, mut causes) = (0, Causes::default());
    let mut after = None;
    loop {
        let mut page = tenancy.run_entries_after(&run, after.as_deref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.slug.clone().unwrap_or_default());
        for entry in &page {
            if let Some(error) = &entry.error {
                causes.add_text(error, entry.slug.as_deref().unwrap_or(MASTER));
            }
        }
        // In a table, those that failed follow, by their cause.
        page.retain(|entry| {
            if is_table { entry.error.is_some() == failed } else { !failed || entry.error.is_some() }
        });
        print(cx, &page, printed);
        printed += page.len();
    }
    if !is_table {
        let end = if printed == 0 { "]" } else { "\n]" };
        cx.output.line(&format!("{end},\"groups\":{}}}", json!(causes)));
    } else if !failed {
        causes.print(&mut cx.output);
    }
    Ok(())
}

/// In JSON, one object with a field that grows page by page.
fn begin(cx: &mut Context, run: &Run) {
    if cx.output.format() == Format::Json {
        let json = json!(run).to_string();
        let fields = json.strip_suffix('}').unwrap_or(&json);
        cx.output.text(&format!("{fields},\"schemas\":["));
        return;
    }
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("state", run.state.as_str().to_owned()),
        ("by", run.operator.clone()),
        ("to version", version(run.version)),
        ("begun", time(run.started_at)),
        ("took", took(run)),
        (
            "schemas",
            format!("{} migrated, {} up to date, {} failed", run.migrated, run.up_to_date, run.failed),
        ),
    ];
    facts.extend(run.error.clone().map(|error| ("error", error)));
    cx.output.facts(&facts);
}

fn print(cx: &mut Context, page: &[RunEntry], printed: usize) {
    match cx.output.format() {
        Format::Json => {
            for (index, entry) in page.iter().enumerate() {
                let separator = if printed + index == 0 { "\n  " } else { ",\n  " };
                cx.output.text(&format!("{separator}{}", json!(entry)));
            }
        }
        Format::Table if page.is_empty() => {}
        Format::Table => {
            if printed == 0 {
                cx.output.line("");
            }
            let header = ["SCHEMA", "FROM", "APPLIED", "UNDONE", "MS", "ERROR"];
            cx.output.rows((printed == 0).then_some(&header), &[1, 4], page.iter().map(entry_row));
        }
    }
}

fn entry_row(entry: &RunEntry) -> Vec<String> {
    let join = |versions: &[i64]| versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    vec![
        entry.slug.clone().unwrap_or_else(|| MASTER.to_owned()),
        version(entry.from_version),
        join(&entry.applied),
        join(&entry.undone),
        entry.elapsed.as_millis().to_string(),
        entry.error.clone().unwrap_or_default(),
    ]
}

fn version(version: Option<i64>) -> String {
    version.map(|version| version.to_string()).unwrap_or_default()
}

fn time(time: OffsetDateTime) -> String {
    let seconds = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time.format(seconds).unwrap_or_default()
}

fn took(run: &Run) -> String {
    let Some(ended_at) = run.ended_at else { return String::new() };
    format!("{:.1} s", (ended_at - run.started_at).as_seconds_f64())
}
