//! What the scenarios have to know of each product.

use std::fmt::Write as _;

use killgate::{
    sandbox::{Action, Place, demo as world},
    upstream::find,
};
use serde_json::{Value, json};

/// One product, in a gateway of its own.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) vendor: &'static str,
    /// The coordinates of its target.
    pub(super) coordinates: Value,
    pub(super) place: Place,
    /// The first of the ids of its sessions; the others follow, and who they are repeats after eight.
    pub(super) first: u64,
    /// The call that ends sessions.
    pub(super) kill: Action,
    pub(super) list: Action,
}

/// The alias of a product's target.
pub(super) const ALIAS: &str = "here";

pub(super) fn tdsql() -> Product {
    Product {
        vendor: "tdsql",
        coordinates: json!({ "instance_id": world::TDSQL_INSTANCE }),
        place: Place::of("tdsql", world::TDSQL_INSTANCE).at_node(world::TDSQL_NODE),
        first: 3111,
        kill: Action::TdsqlKill,
        list: Action::TdsqlProcesses,
    }
}

pub(super) fn dasrds() -> Product {
    Product {
        vendor: "dasrds",
        coordinates: json!({ "instance_id": world::DASRDS_INSTANCE }),
        place: Place::of("dasrds", world::DASRDS_INSTANCE),
        first: 51212,
        kill: Action::DasrdsKill,
        list: Action::DasrdsProcesses,
    }
}

pub(super) fn dasrds_of_mysql() -> Product {
    Product {
        coordinates: json!({ "instance_id": world::DASRDS_MYSQL_INSTANCE }),
        place: Place::of("dasrds", world::DASRDS_MYSQL_INSTANCE),
        first: 61212,
        ..dasrds()
    }
}

pub(super) fn dbbrain() -> Product {
    Product {
        vendor: "dbbrain",
        coordinates: json!({ "instance_id": world::DBBRAIN_INSTANCE }),
        place: Place::of("dbbrain", world::DBBRAIN_INSTANCE),
        first: 4111,
        kill: Action::DbbrainKill,
        list: Action::DbbrainProcesses,
    }
}

/// What an account has at the cloud of that vendor.
fn account(vendor: &str) -> String {
    match find(vendor).and_then(|vendor| vendor.capabilities().by.cloud()).expect("a cloud").name() {
        "huawei" => format!(
            "cloud = 'huawei'\nregion = '{}'\nproject_id = '{}'\naccess_key = '{}'\nsecret_key = '{}'\n\
             vendors.{vendor}.requests_per_second = 1000\n",
            world::HUAWEI_REGION,
            world::HUAWEI_PROJECT_ID,
            world::HUAWEI_ACCESS_KEY,
            world::HUAWEI_SECRET_KEY,
        ),
        _ => format!(
            "cloud = 'tencent'\nregion = '{}'\nsecret_id = '{}'\nsecret_key = '{}'\n",
            world::TENCENT_REGION,
            world::TENCENT_SECRET_ID,
            world::TENCENT_SECRET_KEY,
        ),
    }
}

impl Product {
    /// The product's account and target, for a configuration.
    pub(super) fn configuration(&self) -> String {
        let vendor = self.vendor;
        let mut text = format!(
            "[accounts.its]\n{}endpoints.{vendor} = '{{clouds}}'\n[targets.{ALIAS}]\nvendor = '{vendor}'\n",
            account(vendor),
        );
        for (name, value) in self.coordinates.as_object().expect("an object") {
            writeln!(text, "{name} = {value}").expect("a String");
        }
        text
    }

    /// A session of `report`, which runs for half an hour.
    pub(super) const fn report(&self) -> u64 {
        self.first
    }

    /// All of them.
    pub(super) const fn reports(&self) -> [u64; 3] {
        [self.first, self.first + 7, self.first + 8]
    }

    /// The one that replicates.
    pub(super) const fn replication(&self) -> u64 {
        self.first + 4
    }
}
