//! Keys that end: from a machine's metadata service, from a security token service, of agencies and roles.

mod checking;
mod each;
mod failing;

use std::fmt::Write as _;

use killgate::{
    clock::Clock,
    sandbox::{Action, Clouds, demo as world},
};
use serde_json::Value;

use crate::support::{
    gateway::{Answer, Engine, Gateway, Setup, kill_of, on_one_engine},
    patience::eventually,
};

/// A source, as an account has it.
struct Source {
    name: &'static str,
    /// Lines of the account.
    lines: String,
    /// What it is asked, once for each set of keys.
    asked: Action,
}

impl Source {
    fn is_huawei(&self) -> bool {
        matches!(self.asked, Action::EcsKeys | Action::IamKeys)
    }

    /// An alias of a place at its cloud, sessions there, and what ends them.
    fn place(&self) -> (&'static str, u64, Action) {
        if self.is_huawei() {
            ("orders-ro", 2_075_425, Action::TaurusdbKill)
        } else {
            ("orders-shard-1", 1111, Action::DcdbKill)
        }
    }

    /// The account, with limits that do not slow tests.
    fn account(&self) -> String {
        let mut text = if self.is_huawei() {
            let (region, project) = (world::HUAWEI_REGION, world::HUAWEI_PROJECT_ID);
            format!(
                "[accounts.huawei-test]\ncloud = 'huawei'\nregion = '{region}'\nproject_id = '{project}'\n\
                 endpoints = {{ gaussdb = '{{clouds}}', das = '{{clouds}}', taurusdb = '{{clouds}}', iam = '{{clouds}}' }}\n\
                 vendors.taurusdb.requests_per_second = 1000\nvendors.taurusdb.requests_per_minute = 0\n"
            )
        } else {
            let region = world::TENCENT_REGION;
            format!(
                "[accounts.tencent-test]\ncloud = 'tencent'\nregion = '{region}'\n\
                 endpoints = {{ dcdb = '{{clouds}}', sts = '{{clouds}}' }}\n"
            )
        };
        writeln!(text, "{}", self.lines).unwrap();
        text
    }
}

fn ecs_agency() -> Source {
    let lines = "keys = { from = 'ecs-agency', endpoint = '{clouds}' }".to_owned();
    Source { name: "ECS agency", lines, asked: Action::EcsKeys }
}

fn cvm_role() -> Source {
    let lines = "keys = { from = 'cvm-role', endpoint = '{clouds}' }".to_owned();
    Source { name: "CVM role", lines, asked: Action::CvmKeys }
}

fn assumed_role() -> Source {
    let lines = format!(
        "secret_id = '{}'\nsecret_key = '{}'\nassume_role = {{ role_arn = '{}', role_session_name = 'killgate', \
         external_id = '{}', duration_seconds = 3600 }}",
        world::TENCENT_SECRET_ID,
        world::TENCENT_SECRET_KEY,
        world::TENCENT_ROLE_ARN,
        world::TENCENT_EXTERNAL_ID,
    );
    Source { name: "assumed role", lines, asked: Action::StsAssumeRole }
}

fn pods_role(token_file: &std::path::Path) -> Source {
    let lines = format!(
        "keys = {{ from = 'tke-oidc', role_arn = '{}', provider_id = '{}', web_identity_token_file = '{}', \
         duration_seconds = 3600 }}",
        world::TENCENT_ROLE_ARN,
        world::TENCENT_PROVIDER_ID,
        token_file.display(),
    );
    Source { name: "role of a pod", lines, asked: Action::StsWebIdentity }
}

const ASSUME_AGENCY: &str = "assume_role = { agency_name = 'killgate-agency', domain_name = 'sandbox-delegating-org', duration_seconds = 3600 }";

fn agency_by_keys() -> Source {
    let (id, secret) = (world::HUAWEI_ACCESS_KEY, world::HUAWEI_SECRET_KEY);
    let lines = format!("access_key = '{id}'\nsecret_key = '{secret}'\n{ASSUME_AGENCY}");
    Source { name: "agency by keys", lines, asked: Action::IamKeys }
}

fn agency_by_user() -> Source {
    let (domain, user, password) = (world::HUAWEI_DOMAIN, world::HUAWEI_USERNAME, world::HUAWEI_PASSWORD);
    let lines =
        format!("iam = {{ domain = '{domain}', username = '{user}', password = '{password}' }}\n{ASSUME_AGENCY}");
    Source { name: "agency by user", lines, asked: Action::IamKeys }
}

/// A gateway on a clock that is moved by hand, with that source. Kills go blind unless told otherwise.
async fn start(engine: Engine, source: &Source, more: &str) -> (Gateway, Clock) {
    let clock = Clock::manual(Clock::system().now());
    let setup = Setup {
        more: source.account() + more,
        clouds: Some(Clouds::demo_at(clock.clone())),
        clock: Some(clock.clone()),
        ..Setup::default()
    };
    (Gateway::start_blind_with(engine, setup).await, clock)
}

async fn kill(gateway: &Gateway, source: &Source, nth: u64) -> Answer {
    let (alias, first, _) = source.place();
    gateway.kill(&kill_of(alias, &[first + nth])).await
}

fn goes_well(answer: &Answer) -> bool {
    answer.status.is_success() && answer.body["status"] != "failed"
}

/// How often the source was asked for keys.
fn asked(gateway: &Gateway, source: &Source) -> usize {
    gateway.clouds.calls_for(source.asked).len()
}

/// The id of the key that the latest kill was signed with.
fn signed_with(gateway: &Gateway, source: &Source) -> String {
    let calls = gateway.clouds.calls_for(source.place().2);
    let header = calls.last().unwrap().headers.value("authorization").unwrap().to_owned();
    let key = header.split(['=', ',', '/']).nth(1).unwrap();
    key.to_owned()
}

fn detail(answer: &Answer) -> &str {
    answer.body["detail"].as_str().unwrap_or_else(|| panic!("{}", answer.body))
}

/// That kill's record says that nothing was done.
async fn assert_nothing_done(gateway: &Gateway, source: &Source, answer: &Answer, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.code()), (502, code), "{}: {}", source.name, answer.body);
    let kill = gateway.record(answer.kill_id()).await;
    assert_eq!(
        (&kill["status"], &kill["sessions"][0]["outcome"]),
        (&Value::from("failed"), &"failed".into()),
        "{kill}"
    );
}
