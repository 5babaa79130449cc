use super::*;

fn targets() -> Targets {
    let reach = |vendors: &[&'static str]| Reach {
        site: Site::Mainland,
        vendors: vendors.iter().copied().collect(),
        nodes: BTreeSet::new(),
    };
    let accounts = [
        ("huawei-prod".to_owned(), reach(&["das", "taurusdb"])),
        ("huawei-test".to_owned(), reach(&["das"])),
        ("tencent-prod".to_owned(), reach(&["dcdb"])),
    ];
    let access = Access { coordinates: vec![Glob::parse("*").unwrap()], ..Access::default() };
    let mut targets = Targets { accounts: accounts.into(), access, ..Targets::default() };
    let mut shard = targets.resolve(shard(None)).unwrap();
    shard.alias = Some("orders".to_owned());
    targets.aliases.insert(
        "orders".to_owned(),
        Alias { target: shard, look: None, callers: Some(vec![Glob::parse("dba-*").unwrap()]) },
    );
    targets
}

fn shard(account: Option<&str>) -> Named {
    let coordinates = [("instance_id", "tdsqlshard-1"), ("shard_id", "shard-1")];
    Named::Full {
        vendor: Some("dcdb".to_owned()),
        account: account.map(Into::into),
        coordinates: coordinates.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
    }
}

fn refusal(named: Named) -> (ProblemCode, Option<String>) {
    let problem = targets().resolve(named).unwrap_err();
    (problem.code, problem.field)
}

#[test]
fn the_account_may_be_left_out_where_only_one_fits() {
    assert_eq!(targets().resolve(shard(None)).unwrap().account, "tencent-prod");
    let das = Named::Full { vendor: Some("das".into()), account: None, coordinates: BTreeMap::new() };
    assert_eq!(refusal(das), (ProblemCode::Invalid, Some("target.account".to_owned())));
}

#[test]
fn unknown_aliases_accounts_and_vendors_are_told_apart() {
    assert_eq!(refusal(Named::Alias("nope".into())).0, ProblemCode::UnknownTarget);
    assert_eq!(refusal(shard(Some("nope"))).0, ProblemCode::UnknownTarget);
    assert_eq!(refusal(shard(Some("huawei-prod"))).0, ProblemCode::Invalid);
    let oracle = Named::Full { vendor: Some("oracle".into()), account: None, coordinates: BTreeMap::new() };
    assert_eq!(refusal(oracle), (ProblemCode::Invalid, Some("target.vendor".to_owned())));
}

#[test]
fn an_alias_with_a_list_of_callers_cannot_be_passed_by_with_coordinates() {
    let targets = targets();
    let by_alias = targets.resolve(Named::Alias("orders".into())).unwrap();
    let in_full = targets.resolve(shard(None)).unwrap();
    for target in [by_alias, in_full] {
        let order = Order::new(target, Selector::Ids(vec![]));
        assert_eq!(targets.check("dba-ann", &order), Ok(()));
        assert_eq!(targets.check("chatops", &order).unwrap_err().code, ProblemCode::Forbidden);
    }
}

#[test]
fn where_a_rule_protects_sessions_the_database_does_not_pick() {
    let target = targets().resolve(shard(None)).unwrap();
    let with = |alias: Option<&str>, vendor: Option<&str>| {
        let rule = Protected { alias: alias.map(Into::into), vendor: vendor.map(Into::into), ..Protected::default() };
        let order = Order::new(target.clone(), Selector::Intelligent);
        Targets { protected: vec![rule], ..targets() }.check("dba-ann", &order)
    };
    assert_eq!(with(None, Some("das")), Ok(()));
    for (alias, vendor) in [(None, None), (None, Some("dcdb")), (Some("orders"), None)] {
        assert_eq!(with(alias, vendor).unwrap_err().code, ProblemCode::Forbidden, "{alias:?} {vendor:?}");
    }
}

#[test]
fn a_session_is_protected_by_what_is_built_in_and_by_the_rules_for_its_place() {
    let users = |pattern: &str| Protection { users: vec![Glob::parse(pattern).unwrap()], ..Protection::default() };
    let rule = |vendor: &str, pattern| Protected {
        vendor: Some(vendor.to_owned()),
        sessions: users(pattern),
        ..Protected::default()
    };
    let targets = Targets { protected: vec![rule("das", "app"), rule("dcdb", "dba_*")], ..targets() };
    let target = targets.resolve(shard(None)).unwrap();
    let why = |user: &str| {
        let session = LiveSession::new(crate::domain::SessionId("7".to_owned()));
        targets.protection(&target, &LiveSession { user: Some(user.to_owned()), ..session })
    };
    assert_eq!(why("dba_anna").as_deref(), Some("users: dba_*"));
    assert_eq!(why("tdsqlsys_repl").as_deref(), Some("built in, users: tdsqlsys_*"));
    assert_eq!(why("app"), None);
}
