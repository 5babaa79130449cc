//! TaurusDB intelligent kill: the vendor picks the sessions, by the shape of their statements.

use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{dbs, death, failed, taurusdb::place};
use crate::{
    clock::unix_millis,
    sandbox::{
        Lie, Session,
        answer::{Answer, Refusal},
        fields::{Bad, Members, Query},
        handler::Route,
        log::Incoming,
        session::Table,
        state::{State, Task},
    },
};

/// Groups taken under each ranking.
const TOP: usize = 3;

/// Running sessions whose statements have one shape.
#[derive(Debug, Default)]
struct Group {
    example: String,
    ids: Vec<u64>,
    count: u32,
    total: Duration,
    max: Duration,
}

pub(super) fn kill(
    state: &mut State,
    incoming: &Incoming,
    route: &Route,
    lie: Option<&Lie>,
) -> Result<Answer, Refusal> {
    let mut body = Members::parse(&incoming.body).map_err(dbs)?;
    let node = body.required_text("node_id").map_err(dbs)?;
    body.finish().map_err(dbs)?;
    let node = place(&state.world, route.instance, &node)?;

    let table = state.world.table_mut(&node).ok_or_else(failed)?;
    let ids = picks(table);
    let killed = death(lie).map(|death| table.kill(&ids, death)).unwrap_or_default();

    // Task ids are milliseconds; two in one millisecond must still differ.
    let newest = state.tasks.last().map_or(0, |task| task.id + 1);
    let id = unix_millis(incoming.at).max(newest);
    let listed = incoming.at + state.times.history;
    state.tasks.push(Task { id, node, started: incoming.at, listed });
    let answer = match lie {
        Some(Lie::KillsButSaysFailed) => {
            Answer::json(500, &json!({"error_code": "DBS.200005", "error_msg": "Server failure."}))
        }
        Some(Lie::TaskIdAsNumber) => Answer::json(200, &json!({"task_id": id})),
        _ => Answer::json(200, &json!({"task_id": id.to_string()})),
    };
    Ok(answer.killed(killed))
}

pub(super) fn preview(state: &State, incoming: &Incoming, route: &Route) -> Result<Answer, Refusal> {
    let mut query = Query::parse(&incoming.query);
    let node = query.required_text("node_id").map_err(dbs)?;
    query.finish().map_err(dbs)?;
    let node = place(&state.world, route.instance, &node)?;
    let table = state.world.table(&node).ok_or_else(failed)?;
    Ok(Answer::json(200, &json!({"statistics": statistics(table, "example_sql_text")})))
}

/// Whom the vendor picks now.
pub(super) fn picks(table: &Table) -> Vec<u64> {
    let groups = groups(table);
    let mut ids: Vec<u64> =
        RANKINGS.iter().flat_map(|(_, rank)| top(&groups, *rank)).flat_map(|(_, group)| group.ids.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The same group by group; `example` is what the product calls a statement of one.
pub(super) fn statistics(table: &Table, example: &str) -> Vec<Value> {
    let groups = groups(table);
    let row = |(strategy, (template, group)): (&str, (&String, &Group))| {
        json!({
            "keyword": template, example: group.example, "ids": group.ids, "count": group.count,
            "total_time": group.total.as_secs_f64(), "avg_time": group.mean().as_secs_f64(),
            "max_time": group.max.as_secs_f64(),
            "strategy": strategy,
        })
    };
    let rows =
        RANKINGS.iter().flat_map(|(name, rank)| top(&groups, *rank).into_iter().map(move |group| (*name, group)));
    rows.map(row).collect()
}

/// The query is in milliseconds, the answer in seconds, as at the vendor.
pub(super) fn history(state: &State, incoming: &Incoming, route: &Route) -> Result<Answer, Refusal> {
    let mut query = Query::parse(&incoming.query);
    let node = query.required_text("node_id").map_err(dbs)?;
    // Thirteen digits: whoever sends seconds has misread the documentation.
    let millis = 1_000_000_000_000..=9_999_999_999_999;
    let start = query.number("start_time", millis.clone(), None).map_err(dbs)?;
    let end = query.number("end_time", millis, None).map_err(dbs)?;
    let (offset, limit) = query.page().map_err(dbs)?;
    query.finish().map_err(dbs)?;
    if start >= end {
        return Err(dbs(Bad::Wrong { name: "start_time", expected: "before end_time" }));
    }
    let node = place(&state.world, route.instance, &node)?;
    let asked = |task: &&Task| {
        let started = u64::try_from(unix_millis(task.started)).unwrap_or(0);
        task.node == node && task.listed <= incoming.at && (start..=end).contains(&started)
    };
    let found: Vec<_> = state.tasks.iter().filter(asked).collect();
    let row = |task: &&Task| {
        json!({
            "task_id": task.id.to_string(),
            "start_time": task.started.unix_timestamp(),
            "end_time": task.listed.unix_timestamp(),
            "download_link": format!("https://obs.example.com/intelligent-kill/{}.csv", task.id),
        })
    };
    let rows: Vec<_> = found.iter().skip(offset).take(limit).map(row).collect();
    Ok(Answer::json(200, &json!({"intelligent_kill_session_histories": rows, "total_count": found.len()})))
}

impl Group {
    fn mean(&self) -> Duration {
        self.total / self.count.max(1)
    }
}

type Rank = fn(&Group) -> u128;

const RANKINGS: [(&str, Rank); 3] = [
    ("top3_time", |group| group.max.as_micros()),
    ("top3_count", |group| group.count.into()),
    ("top3_avg_time", |group| group.mean().as_micros()),
];

fn groups(table: &Table) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for Session { id, statement, seconds, command, .. } in table.listed() {
        if command == "Query" && !statement.is_empty() {
            let group = groups.entry(template(&statement)).or_default();
            group.ids.push(id);
            group.count += 1;
            group.total += Duration::from_secs(seconds);
            group.max = group.max.max(Duration::from_secs(seconds));
            group.example = statement;
        }
    }
    groups
}

fn top(groups: &BTreeMap<String, Group>, rank: Rank) -> Vec<(&String, &Group)> {
    let mut ranked: Vec<_> = groups.iter().collect();
    ranked.sort_by_key(|(_, group)| Reverse(rank(group)));
    ranked.truncate(TOP);
    ranked
}

/// A statement with its numbers and quoted texts taken out.
fn template(statement: &str) -> String {
    let mut out = String::new();
    let mut rest = statement.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '\'' => {
                rest.by_ref().find(|next| *next == '\'');
                out.push('?');
            }
            '0'..='9' if !out.ends_with(|last: char| last.is_alphanumeric() || last == '_') => {
                while rest.next_if(|next| next.is_ascii_digit() || *next == '.').is_some() {}
                out.push('?');
            }
            other => out.extend(other.to_lowercase()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn statements_that_differ_in_values_only_have_one_template() {
        assert_eq!(template("SELECT a1 FROM t WHERE id = 42 AND n = 'x 7'"), "select a1 from t where id = ? and n = ?");
        assert_eq!(template("select 1.5"), template("select 22"));
        assert_eq!(template("select 'open"), "select ?");
    }
}
