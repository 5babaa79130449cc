//! DCDB: the shards of an instance and their nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{bad, dcdb::answer, refuse};
use crate::sandbox::{
    Place,
    answer::{Answer, Refusal},
    fields::Members,
    log::Incoming,
    session::Table,
    state::State,
};

pub(super) fn nodes(state: &State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let asked = Asked::read(incoming, 100)?;
    let rows = asked.tables(state)?.into_iter().filter_map(|table| match &table.place {
        Place::Dcdb { shard_id, node_id, .. } => {
            let role = if table.primary { "master" } else { "slave" };
            Some(json!({"NodeId": node_id, "Role": role, "ShardId": shard_id, "Zone": "ap-guangzhou-3"}))
        }
        _ => None,
    });
    Ok(asked.page("NodesInfo", rows.collect(), incoming))
}

pub(super) fn shards(state: &State, incoming: &Incoming) -> Result<Answer, Refusal> {
    let asked = Asked::read(incoming, 20)?;
    let names = asked.tables(state)?.into_iter().filter_map(|table| match &table.place {
        Place::Dcdb { shard_id, .. } => Some((shard_id.clone(), table.serial.clone())),
        _ => None,
    });
    let names: BTreeSet<_> = names.collect();
    // The number is an obsolete id, which no other operation takes.
    let rows = names.iter().zip(1..).map(|((shard, serial), number)| {
        json!({"ShardInstanceId": shard, "ShardSerialId": serial, "ShardId": number, "Status": 2})
    });
    Ok(asked.page("Shards", rows.collect(), incoming))
}

struct Asked {
    instance: String,
    offset: usize,
    limit: usize,
}

impl Asked {
    fn read(incoming: &Incoming, usual: u64) -> Result<Self, Refusal> {
        let mut body = Members::parse(&incoming.body).map_err(bad)?;
        let instance = body.required_text("InstanceId").map_err(bad)?;
        let offset = body.integer_in("Offset", 0..=1_000_000, 0).map_err(bad)?;
        let limit = body.integer_in("Limit", 1..=100, usual).map_err(bad)?;
        body.finish().map_err(bad)?;
        Ok(Self { instance, offset, limit })
    }

    fn tables<'a>(&self, state: &'a State) -> Result<Vec<&'a Table>, Refusal> {
        let of_instance =
            |table: &&Table| matches!(&table.place, Place::Dcdb { instance_id, .. } if *instance_id == self.instance);
        let tables: Vec<_> = state.world.tables.iter().filter(of_instance).collect();
        if tables.is_empty() {
            return Err(refuse("InvalidParameter.InstanceNotFound", "The instance is not found."));
        }
        Ok(tables)
    }

    fn page(&self, name: &str, rows: Vec<Value>, incoming: &Incoming) -> Answer {
        let total = rows.len();
        let rows: Vec<_> = rows.into_iter().skip(self.offset).take(self.limit).collect();
        answer(json!({name: rows, "TotalCount": total}), incoming.at)
    }
}
