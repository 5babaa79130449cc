//! What the scenarios have to know of each product.

use std::fmt::Write as _;

use killgate::{
    sandbox::{Action, Place, demo as world},
    upstream::find,
};
use serde_json::{Value, json};

/// One product, in a gateway of its own.
#[derive(Debug)]
pub(in crate::vendors) struct Product {
    pub(in crate::vendors) vendor: &'static str,
    /// The coordinates of its target.
    pub(in crate::vendors) coordinates: Value,
    pub(in crate::vendors) place: Place,
    /// The first of the ids of its sessions; the others follow, and who they are repeats after eight.
    pub(in crate::vendors) first: u64,
    /// The call that ends sessions.
    pub(in crate::vendors) kill: Action,
    pub(in crate::vendors) list: Action,
}

/// The alias of a product's target.
pub(in crate::vendors) const ALIAS: &str = "here";

pub(in crate::vendors) fn tdsql() -> Product {
    Product {
        vendor: "tdsql",
        coordinates: json!({ "instance_id": world::TDSQL_INSTANCE }),
        place: Place::of("tdsql", world::TDSQL_INSTANCE).at_node(world::TDSQL_NODE),
        first: 3111,
        kill: Action::TdsqlKill,
        list: Action::TdsqlProcesses,
    }
}

pub(in crate::vendors) fn dasrds() -> Product {
    Product {
        vendor: "dasrds",
        coordinates: json!({ "instance_id": world::DASRDS_INSTANCE }),
        place: Place::of("dasrds", world::DASRDS_INSTANCE),
        first: 51212,
        kill: Action::DasrdsKill,
        list: Action::DasrdsProcesses,
    }
}

pub(in crate::vendors) fn dasrds_of_mysql() -> Product {
    Product {
        coordinates: json!({ "instance_id": world::DASRDS_MYSQL_INSTANCE }),
        place: Place::of("dasrds", world::DASRDS_MYSQL_INSTANCE),
        first: 61212,
        ..dasrds()
    }
}

pub(in crate::vendors) fn dbbrain() -> Product {
    Product {
        vendor: "dbbrain",
        coordinates: json!({ "instance_id": world::DBBRAIN_INSTANCE }),
        place: Place::of("dbbrain", world::DBBRAIN_INSTANCE),
        first: 4111,
        kill: Action::DbbrainKill,
        list: Action::DbbrainProcesses,
    }
}

pub(in crate::vendors) fn alidas() -> Product {
    Product {
        vendor: "alidas",
        coordinates: json!({ "instance_id": world::ALIDAS_INSTANCE }),
        place: Place::of("alidas", world::ALIDAS_INSTANCE),
        first: 71212,
        kill: Action::AlidasKill,
        list: Action::AlidasSessions,
    }
}

pub(in crate::vendors) fn alidas_of_a_cluster() -> Product {
    Product {
        coordinates: json!({ "instance_id": world::ALIDAS_CLUSTER, "node_id": world::ALIDAS_NODE }),
        place: Place::of("alidas", world::ALIDAS_CLUSTER).at_node(world::ALIDAS_NODE),
        first: 81212,
        ..alidas()
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
        "alibaba" => format!(
            "cloud = 'alibaba'\nregion = '{}'\naccess_key_id = '{}'\naccess_key_secret = '{}'\n\
             vendors.{vendor}.requests_per_second = 1000\n",
            world::ALIBABA_REGION,
            world::ALIBABA_ACCESS_KEY_ID,
            world::ALIBABA_ACCESS_KEY_SECRET,
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
    pub(in crate::vendors) fn configuration(&self) -> String {
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
    pub(in crate::vendors) const fn report(&self) -> u64 {
        self.first
    }

    /// All of them.
    pub(in crate::vendors) const fn reports(&self) -> [u64; 3] {
        [self.first, self.first + 7, self.first + 8]
    }

    /// The one that replicates.
    pub(in crate::vendors) const fn replication(&self) -> u64 {
        self.first + 4
    }
}
