//! Measures a switch under each way of keeping prepared statements.
//!
//! One connection and one task, which goes from tenant to tenant with each statement. So every statement
//! but those of `warm` comes after a switch, and what differs is what the server still knows of it.

use std::sync::Arc;

use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tenantry::database::Comment;
use tenantry::tenant::Tenant;
use tenantry::{PoolConfig, TenantDb};

use crate::bench::Bench;
use crate::fleet::{Opened, Route};
use crate::measure::{Side, Spread, Team, Worker, interleave, warm_up};
use crate::report::{Line, Unit};

/// More texts than sqlx keeps statements for.
const MANY: usize = 300;

/// A way of keeping prepared statements.
#[derive(Clone, Copy)]
enum Rule {
    /// One tenant, so nothing is switched.
    Warm,
    /// The same, with the comment that names the tenant.
    Commented,
    /// One text for all tenants, as where all are at one version: the server plans it anew.
    Shared,
    /// A text for each of a few tenants, as where tenants differ in their versions.
    OwnOfFew,
    /// A text for each of more tenants than the cache has places.
    OwnOfMany,
    /// Tenants with types of their own, so that the cache is emptied.
    Emptied,
    /// Nothing is kept.
    Unnamed,
}

const RULES: [Rule; 7] = [
    Rule::Warm,
    Rule::Commented,
    Rule::Shared,
    Rule::OwnOfFew,
    Rule::OwnOfMany,
    Rule::Emptied,
    Rule::Unnamed,
];

pub(crate) async fn switch(bench: &mut Bench) -> Result<()> {
    let (mut pools, mut teams) = (Vec::new(), Vec::new());
    let with_types = bench.fleet.tenants(MANY + 2).await?.split_off(MANY);
    set_owns_types(bench, &with_types, true).await?;
    for rule in RULES {
        let tenants = match rule {
            Rule::Emptied => with_types.clone(),
            _ => bench.fleet.tenants(rule.tenants()).await?,
        };
        // The reserve is for others, and there is nobody else.
        let comment = if matches!(rule, Rule::Commented) { Comment::Tenant } else { Comment::Off };
        let sizes = PoolConfig { max_connections: 1, reserve: Some(0), comment, ..PoolConfig::default() };
        let pool = bench.fleet.open(Route::Direct, sizes).await?;
        teams.push(Team::new([Task::new(rule, &pool, &tenants)?]));
        pools.push(pool);
    }
    let Ok(mut teams) = <[Team<Task>; RULES.len()]>::try_from(teams) else { bail!("a team is missing") };
    warm_up(&bench.plan, teams.each_mut().map(|team| team as &mut dyn Side)).await?;
    let rounds = interleave(&bench.plan, teams.each_mut().map(|team| team as &mut dyn Side)).await?;
    for pool in pools {
        pool.close().await?;
    }
    set_owns_types(bench, &with_types, false).await?;
    for (number, rule) in RULES.iter().enumerate() {
        bench.report.add(&line(*rule, &rounds, number))?;
    }
    Ok(())
}

fn line(rule: Rule, rounds: &[[f64; RULES.len()]], number: usize) -> Line {
    let cost = |number: usize| rounds.iter().map(move |round| 1e6 / round[number]);
    Line {
        bench: "statements",
        case: rule.name().to_owned(),
        tasks: 1,
        unit: Unit::Microseconds,
        ours: Spread::of(cost(number)).median,
        baseline: Some(Spread::of(cost(0)).median),
        ratio: Some(Spread::of(cost(number).zip(cost(0)).map(|(switched, warm)| switched / warm))),
        hit: None,
        round_trips: None,
        target: None,
        against: "one tenant, no switch".to_owned(),
    }
}

impl Rule {
    fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Commented => "commented",
            Self::Shared => "shared",
            Self::OwnOfFew => "own-of-few",
            Self::OwnOfMany => "own-of-many",
            Self::Emptied => "emptied",
            Self::Unnamed => "unnamed",
        }
    }

    fn tenants(self) -> usize {
        match self {
            Self::Warm | Self::Commented => 1,
            Self::OwnOfMany => MANY,
            Self::Shared | Self::OwnOfFew | Self::Emptied | Self::Unnamed => 2,
        }
    }

    fn text(self, tenant: &Tenant) -> String {
        let select = "SELECT title FROM note WHERE id = $1";
        match self {
            Self::OwnOfFew | Self::OwnOfMany => format!("{select} /* {} */", tenant.schema()),
            Self::Warm | Self::Commented | Self::Shared | Self::Emptied | Self::Unnamed => select.to_owned(),
        }
    }
}

/// Goes from tenant to tenant.
struct Task {
    rule: Rule,
    tenants: Vec<(TenantDb, Arc<str>)>,
    next: usize,
}

impl Task {
    fn new(rule: Rule, pool: &Opened, tenants: &[Tenant]) -> Result<Self> {
        let handle = |tenant: &Tenant| {
            let text = rule.text(tenant).into();
            Ok((pool.tenancy.db(tenant)?, text))
        };
        Ok(Self { rule, tenants: tenants.iter().map(handle).collect::<Result<_>>()?, next: 0 })
    }
}

impl Worker for Task {
    async fn step(&mut self) -> Result<()> {
        self.next = (self.next + 1) % self.tenants.len();
        let (db, text) = &self.tenants[self.next];
        let select = sqlx::query_scalar(AssertSqlSafe(Arc::clone(text)));
        let select = select.persistent(!matches!(self.rule, Rule::Unnamed));
        let _: String = select.bind(7).fetch_one(db).await?;
        Ok(())
    }
}

/// Enters tenants as if they had types of their own or had none.
async fn set_owns_types(bench: &Bench, tenants: &[Tenant], owns_types: bool) -> Result<()> {
    let schemas: Vec<_> = tenants.iter().map(|tenant| tenant.schema().to_string()).collect();
    let update = "UPDATE tenantry.applied SET owns_types = $1 WHERE schema_name = ANY($2)";
    let mut connection = PgConnection::connect(&bench.fleet.url(Route::Direct)).await?;
    sqlx::query(update).bind(owns_types).bind(schemas).execute(&mut connection).await?;
    Ok(())
}
