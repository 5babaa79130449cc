//! A ready world with fixed ids: what `killgate demo` shows and tests may rely on.

use super::{AlibabaCustomer, Clouds, HuaweiCustomer, Place, Session, TencentCustomer};

pub const HUAWEI_REGION: &str = "ap-southeast-1";
pub const HUAWEI_PROJECT_ID: &str = "0611f1bd8b00d5d32f17c017f15b599f";
pub const HUAWEI_ACCESS_KEY: &str = "SANDBOXAK00000000001";
pub const HUAWEI_SECRET_KEY: &str = "sandbox-huawei-secret-key-0000000000000001";
pub const HUAWEI_DOMAIN: &str = "sandbox-org";
pub const HUAWEI_USERNAME: &str = "killgate";
pub const HUAWEI_PASSWORD: &str = "sandbox-huawei-password";

/// What a user or a key pair of the customer may assume, of another account.
pub const HUAWEI_AGENCY: &str = "killgate-agency";
pub const HUAWEI_AGENCY_DOMAIN: &str = "sandbox-delegating-org";

pub const TENCENT_REGION: &str = "ap-guangzhou";
pub const TENCENT_SECRET_ID: &str = "AKIDsandbox000000000000000000000001";
pub const TENCENT_SECRET_KEY: &str = "sandbox-tencent-secret-key-000001";

/// The role of the machine of Tencent's metadata service.
pub const TENCENT_ROLE: &str = "killgate-machine";
/// What the key pair may assume with that external id, and the pods of a cluster by their token.
pub const TENCENT_ROLE_ARN: &str = "qcs::cam::uin/100000000001:roleName/killgate";
pub const TENCENT_EXTERNAL_ID: &str = "sandbox-external-id";
pub const TENCENT_PROVIDER_ID: &str = "cls-sandbox";
pub const TENCENT_WEB_IDENTITY_TOKEN: &str = "sandbox.web-identity.token";

pub const ALIBABA_REGION: &str = "cn-shanghai";
pub const ALIBABA_ACCESS_KEY_ID: &str = "LTAIsandbox0000000000001";
pub const ALIBABA_ACCESS_KEY_SECRET: &str = "sandbox-alibaba-secret-000000001";

pub const GAUSSDB_INSTANCE: &str = "3d39c18788b54a919bab633874c159dfin14";
pub const GAUSSDB_NODE: &str = "52c25e148a4a48c293b66ca95565719cno14";
/// The coordinator; sessions 10180 to 10189.
pub const GAUSSDB_COMPONENT: &str = "cn_5001";
/// A data node on the same machine; sessions 20180 to 20187.
pub const GAUSSDB_DATA_COMPONENT: &str = "dn_6001";

/// Processes 11212 to 11223.
pub const DAS_INSTANCE: &str = "da304cd5bbb944de828759bc7be3d3fein01";
pub const DAS_DB_USER_ID: &str = "2c250598-1e3c-4d31-bc19-be1d866247e6";

/// RDS for PostgreSQL; processes 51212 to 51223.
pub const DASRDS_INSTANCE: &str = "3c8fb6f7aa9e4b1e8f4f0a1c2d3e4f50in03";
/// RDS for MySQL; processes 61212 to 61223.
pub const DASRDS_MYSQL_INSTANCE: &str = "5e1d0c9b8a7f4e6d9c8b7a6f5e4d3c2bin01";

/// RDS for MySQL, for its intelligent kill; sessions 91212 to 91223.
pub const RDS_INSTANCE: &str = "7a6f5e4d3c2b4d5e8c8b7a6f5e4d3c2bin01";

pub const TAURUSDB_INSTANCE: &str = "a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07";
/// Threads 2075425 to 2075440.
pub const TAURUSDB_NODE: &str = "f6b1c6d8a27e4c0d9d8bcb2a7d9a3e51no07";
/// A replica beside it; sessions 3175425 to 3175432.
pub const TAURUSDB_REPLICA_NODE: &str = "3c8e5b7f9a1d4e62b0c4d6f8a2e4c6b8no07";

pub const DCDB_INSTANCE: &str = "tdsqlshard-demo0001";
/// Sessions 1111 to 1122 on its primary.
pub const DCDB_SHARD: &str = "shard-demo0001";
pub const DCDB_SHARD_SERIAL: &str = "set_1700000001_1";
pub const DCDB_NODE: &str = "node-demo0001";
/// Sessions 1311 to 1318 on the standby.
pub const DCDB_STANDBY_NODE: &str = "node-demo0002";
/// Sessions 2111 to 2120 on its only node.
pub const DCDB_SECOND_SHARD: &str = "shard-demo0002";
pub const DCDB_SECOND_SHARD_SERIAL: &str = "set_1700000001_3";
pub const DCDB_SECOND_NODE: &str = "node-demo0003";

pub const TDSQL_INSTANCE: &str = "tdsql-demo0001";
/// Sessions 3111 to 3122 on the primary.
pub const TDSQL_NODE: &str = "node-demo1001";
/// Sessions 3311 to 3318 on the standby.
pub const TDSQL_STANDBY_NODE: &str = "node-demo1002";

/// TencentDB for MySQL; threads 4111 to 4122.
pub const DBBRAIN_INSTANCE: &str = "cdb-demo0001";

/// RDS for MySQL; sessions 71212 to 71223.
pub const ALIDAS_INSTANCE: &str = "rm-demo0001";
/// PolarDB for MySQL.
pub const ALIDAS_CLUSTER: &str = "pc-demo0001";
/// Sessions 81212 to 81223.
pub const ALIDAS_NODE: &str = "pi-demo0001";

/// The customer with the keys above.
#[must_use]
pub fn huawei_customer() -> HuaweiCustomer {
    HuaweiCustomer {
        project_id: HUAWEI_PROJECT_ID.into(),
        region: HUAWEI_REGION.into(),
        access_key: HUAWEI_ACCESS_KEY.into(),
        secret_key: HUAWEI_SECRET_KEY.into(),
        security_token: None,
        domain: HUAWEI_DOMAIN.into(),
        username: HUAWEI_USERNAME.into(),
        password: HUAWEI_PASSWORD.into(),
    }
}

/// The customer with the keys above.
#[must_use]
pub fn tencent_customer() -> TencentCustomer {
    TencentCustomer { secret_id: TENCENT_SECRET_ID.into(), secret_key: TENCENT_SECRET_KEY.into(), token: None }
}

/// The customer with the keys above.
#[must_use]
pub fn alibaba_customer() -> AlibabaCustomer {
    AlibabaCustomer {
        access_key_id: ALIBABA_ACCESS_KEY_ID.into(),
        access_key_secret: ALIBABA_ACCESS_KEY_SECRET.into(),
        security_token: None,
    }
}

pub(super) fn fill(clouds: &Clouds) {
    let put = |place: &Place, first: u64, count: u64| {
        for (id, shape) in (first..first + count).zip(0..) {
            clouds.put(place, &plausible(id, shape));
        }
    };
    put(&clouds.add_gaussdb(GAUSSDB_INSTANCE, GAUSSDB_NODE, GAUSSDB_COMPONENT), 10180, 10);
    put(&clouds.add_gaussdb(GAUSSDB_INSTANCE, GAUSSDB_NODE, GAUSSDB_DATA_COMPONENT), 20180, 8);
    put(&clouds.add_das(DAS_INSTANCE, DAS_DB_USER_ID), 11212, 12);
    put(&clouds.add_place(Place::of("dasrds", DASRDS_INSTANCE)), 51212, 12);
    put(&clouds.add_place(Place::of("dasrds", DASRDS_MYSQL_INSTANCE)), 61212, 12);
    put(&clouds.add_place(Place::of("rds", RDS_INSTANCE)), 91212, 12);
    let taurusdb = clouds.add_taurusdb(TAURUSDB_INSTANCE, TAURUSDB_NODE);
    put(&taurusdb, 2_075_425, 16);
    put(&clouds.add_taurusdb(TAURUSDB_INSTANCE, TAURUSDB_REPLICA_NODE), 3_175_425, 8);
    clouds.put(
        &taurusdb,
        &Session::new(7, "system user").doing("Daemon", "Waiting for background binlog tasks", 86_400).internal(),
    );
    put(&clouds.add_dcdb(DCDB_INSTANCE, DCDB_SHARD, DCDB_SHARD_SERIAL, DCDB_NODE), 1111, 12);
    put(&clouds.add_dcdb(DCDB_INSTANCE, DCDB_SHARD, DCDB_SHARD_SERIAL, DCDB_STANDBY_NODE), 1311, 8);
    put(&clouds.add_dcdb(DCDB_INSTANCE, DCDB_SECOND_SHARD, DCDB_SECOND_SHARD_SERIAL, DCDB_SECOND_NODE), 2111, 10);
    let tdsql = |node| clouds.add_place(Place::of("tdsql", TDSQL_INSTANCE).at_node(node));
    put(&tdsql(TDSQL_NODE), 3111, 12);
    put(&tdsql(TDSQL_STANDBY_NODE), 3311, 8);
    put(&clouds.add_place(Place::of("dbbrain", DBBRAIN_INSTANCE)), 4111, 12);
    put(&clouds.add_place(Place::of("alidas", ALIDAS_INSTANCE)), 71212, 12);
    put(&clouds.add_place(Place::of("alidas", ALIDAS_CLUSTER).at_node(ALIDAS_NODE)), 81212, 12);
}

/// A session as one meets them: shapes repeat after eight.
fn plausible(id: u64, shape: u64) -> Session {
    let report =
        "select customer_id, sum(amount) from order_lines where created_at > '2026-01-01' group by customer_id";
    let lookup = format!("select * from orders where id = {}", 700_000 + id);
    match shape % 8 {
        0 => Session::new(id, "report").running(report, 1_847 + shape),
        1 => Session::new(id, "app").running(&lookup, 0),
        2 => Session::new(id, "etl")
            .in_database("warehouse")
            .running("insert into warehouse.orders_daily select * from orders.orders", 412 + shape),
        3 => Session::new(id, "app").doing("Sleep", "idle in transaction", 953),
        4 => Session::new(id, "repl").in_database("").doing(
            "Binlog Dump",
            "Master has sent all binlog to slave; waiting for more updates",
            604_800,
        ),
        5 => Session::new(id, "app").running(&lookup, 31 + shape),
        6 => Session::new(id, "app").running(&format!("update orders set state = 'paid' where id = {id}"), 12),
        _ => Session::new(id, "report").in_database("warehouse").running("select count(*) from orders_daily", 77),
    }
}
