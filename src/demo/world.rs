//! The simulated clouds' customers and places, as a gateway's configuration has them.

use std::fmt::Write as _;

use crate::sandbox::{demo as world, scenes};

/// An account at each cloud, called after it and `of`, and a target for each vendor and scene, with all endpoints at `clouds`.
#[must_use]
pub fn accounts_and_targets(of: &str, clouds: &str) -> String {
    format!(
        r#"[accounts.huawei-{of}]
cloud = "huawei"
region = "{region}"
project_id = "{project}"
access_key = "{access_key}"
secret_key = "{secret_key}"
endpoints = {{ gaussdb = "{clouds}", das = "{clouds}", dasrds = "{clouds}", rds = "{clouds}", taurusdb = "{clouds}" }}

[accounts.tencent-{of}]
cloud = "tencent"
region = "{tencent_region}"
secret_id = "{secret_id}"
secret_key = "{tencent_secret_key}"
endpoints = {{ dcdb = "{clouds}", tdsql = "{clouds}", dbbrain = "{clouds}" }}

[accounts.alibaba-{of}]
cloud = "alibaba"
region = "{alibaba_region}"
access_key_id = "{access_key_id}"
access_key_secret = "{access_key_secret}"
endpoints.alidas = "{clouds}"
{targets}"#,
        region = world::HUAWEI_REGION,
        project = world::HUAWEI_PROJECT_ID,
        access_key = world::HUAWEI_ACCESS_KEY,
        secret_key = world::HUAWEI_SECRET_KEY,
        tencent_region = world::TENCENT_REGION,
        secret_id = world::TENCENT_SECRET_ID,
        tencent_secret_key = world::TENCENT_SECRET_KEY,
        alibaba_region = world::ALIBABA_REGION,
        access_key_id = world::ALIBABA_ACCESS_KEY_ID,
        access_key_secret = world::ALIBABA_ACCESS_KEY_SECRET,
        targets = targets(),
    )
}

/// Coordinates by name.
type Coordinates<'a> = &'a [(&'a str, &'a str)];

/// The places, one for each vendor and a few with a scene of their own.
fn targets() -> String {
    let node = |instance, node| [("instance_id", instance), ("node_id", node)];
    let component =
        |instance, node, component| [("instance_id", instance), ("node_id", node), ("component_id", component)];
    let targets: [(&str, &str, Coordinates<'_>); 14] = [
        ("ledger", "gaussdb", &component(world::GAUSSDB_INSTANCE, world::GAUSSDB_NODE, world::GAUSSDB_COMPONENT)),
        ("shop", "das", &[("instance_id", world::DAS_INSTANCE), ("db_user_id", world::DAS_DB_USER_ID)]),
        ("orders-ro", "taurusdb", &node(world::TAURUSDB_INSTANCE, world::TAURUSDB_NODE)),
        ("orders-nodes", "taurusdb", &[("instance_id", world::TAURUSDB_INSTANCE), ("nodes", "all")]),
        ("orders-shard-1", "dcdb", &[("instance_id", world::DCDB_INSTANCE), ("shard_id", world::DCDB_SHARD)]),
        ("orders-shards", "dcdb", &[("instance_id", world::DCDB_INSTANCE), ("shards", "all")]),
        ("billing", "gaussdb", &component(scenes::BILLING_INSTANCE, scenes::BILLING_NODE, scenes::BILLING_COMPONENT)),
        ("catalog", "taurusdb", &node(scenes::CATALOG_INSTANCE, scenes::CATALOG_NODE)),
        ("payments", "taurusdb", &node(scenes::PAYMENTS_INSTANCE, scenes::PAYMENTS_NODE)),
        ("invoices", "tdsql", &[("instance_id", world::TDSQL_INSTANCE)]),
        ("crm", "rds", &[("instance_id", world::RDS_INSTANCE)]),
        ("reports", "dasrds", &[("instance_id", world::DASRDS_INSTANCE)]),
        ("wiki", "dbbrain", &[("instance_id", world::DBBRAIN_INSTANCE)]),
        ("forum", "alidas", &[("instance_id", world::ALIDAS_INSTANCE)]),
    ];
    let mut text = String::new();
    for (alias, vendor, coordinates) in targets {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n[targets.{alias}]\nvendor = \"{vendor}\"\n");
        for (name, value) in coordinates {
            let _ = writeln!(text, "{name} = \"{value}\"");
        }
    }
    text
}
