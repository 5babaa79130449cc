//! Whether two targets may be the same place, whatever they are called.
//!
//! One place can have several names: a shard its id and its serial id, a node or none, the same instance by way of
//! another product or of another account. The invariant: two targets are different places only where a coordinate that
//! tells places apart proves it. Whoever guards a place guards every target that is not proven to be another. A target of
//! several shards is the same place as each that it may touch.

use crate::domain::Target;

use super::{Coordinate, TABLE, Vendor, find};

/// Whether both may be the same place: nothing proves that they are not.
///
/// Of a cloud accounts prove nothing, since two can reach the same instance, nor does upper and lower case. A server is its
/// account's alone: the configuration has each address once.
#[must_use]
pub fn may_be_same_place(one: &Target, other: &Target) -> bool {
    let (Some(vendor), Some(others)) = (find(one.vendor.as_str()), find(other.vendor.as_str())) else { return true };
    let differs = |name: &&str| match (one.may_have(name), other.may_have(name)) {
        (Some(values), Some(others)) => {
            !values.iter().any(|value| others.iter().any(|other| value.eq_ignore_ascii_case(other)))
        }
        _ => false,
    };
    let is_others_server = vendor.capabilities().by.cloud().is_none() && one.account != other.account;
    is_of_same_cloud(vendor, others) && !is_others_server && !telling(vendor, others).any(|name| differs(&name))
}

/// Whether a target of that vendor may be the same place: it could be called by that vendor's coordinates too.
#[must_use]
pub fn may_name(vendor: &dyn Vendor, target: &Target) -> bool {
    let Some(own) = find(target.vendor.as_str()) else { return true };
    let takes = |name: &str| {
        let coordinate = |it: &&Coordinate| it.name == name;
        let checks = vendor.capabilities().coordinates.iter().find(coordinate).map(|it| it.check);
        target.coordinates.get(name).zip(checks).is_none_or(|(value, check)| check(value))
    };
    vendor.name() == own.name() || is_of_same_cloud(vendor, own) && telling(vendor, own).all(takes)
}

/// Whether the place is one of that product's own, by whichever vendor it is named: DAS reaches instances of other
/// products, which are theirs and not its own.
#[must_use]
pub fn is_of(vendor: &dyn Vendor, target: &Target) -> bool {
    let Some(named_by) = find(target.vendor.as_str()) else { return true };
    let coordinate = |of: &dyn Vendor, name: &str| of.capabilities().coordinates.iter().find(|it| it.name == name);
    let reaches = |name: &str| {
        let both = coordinate(named_by, name).zip(coordinate(vendor, name));
        both.is_none_or(|(named_by, own)| (named_by.check)(own.example))
    };
    vendor.name() == named_by.name() || may_name(vendor, target) && telling(vendor, named_by).all(reaches)
}

/// The vendors by whose coordinates the place may be called.
pub fn naming(target: &Target) -> impl Iterator<Item = &'static dyn Vendor> {
    TABLE.iter().copied().filter(|vendor| may_name(*vendor, target))
}

fn is_of_same_cloud(one: &dyn Vendor, other: &dyn Vendor) -> bool {
    match (one.capabilities().by.cloud(), other.capabilities().by.cloud()) {
        (Some(one), Some(other)) => one == other,
        // Servers are their accounts'.
        _ => one.name() == other.name(),
    }
}

/// The coordinates that tell places apart for both.
fn telling<'v>(one: &'v dyn Vendor, other: &'v dyn Vendor) -> impl Iterator<Item = &'static str> + 'v {
    let theirs = other.capabilities().tells_apart;
    one.capabilities().tells_apart.iter().copied().filter(|name| theirs.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN07: &str = "a41cbc5c9bd344b1a60d3b7a1d0b8b4ein07";

    fn target(vendor: &str, account: &str, coordinates: &[(&'static str, &str)]) -> Target {
        Target {
            alias: None,
            vendor: find(vendor).unwrap().name(),
            account: account.to_owned(),
            coordinates: coordinates.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        }
    }

    fn dcdb(coordinates: &[(&'static str, &str)]) -> Target {
        target("dcdb", "t", &[&[("instance_id", "tdsqlshard-1")], coordinates].concat())
    }

    #[test]
    fn every_vendor_says_what_tells_its_places_apart() {
        for vendor in TABLE {
            let able = vendor.capabilities();
            assert!(!able.tells_apart.is_empty(), "{}: everything would be one place", vendor.name());
            assert!(able.tells_apart.iter().all(|name| able.has_coordinate(name)), "{}", vendor.name());
        }
    }

    #[test]
    fn a_shard_is_another_one_only_where_a_name_of_the_same_kind_says_so() {
        let shard = dcdb(&[("shard_id", "shard-1")]);
        for same in [
            dcdb(&[("shard_serial_id", "set_1")]),
            dcdb(&[("shard_id", "SHARD-1")]),
            dcdb(&[("shard_id", "shard-1"), ("node_id", "7")]),
            Target { account: "another".to_owned(), ..shard.clone() },
        ] {
            assert!(may_be_same_place(&shard, &same) && may_be_same_place(&same, &shard), "{same:?}");
        }
        let serial = dcdb(&[("shard_serial_id", "set_1")]);
        let nodes = ["7", "8"].map(|node| dcdb(&[("shard_id", "shard-1"), ("node_id", node)]));
        assert!(may_be_same_place(&nodes[0], &nodes[1]), "a node proves nothing");
        for (one, other) in [
            (&shard, dcdb(&[("shard_id", "shard-2")])),
            (&serial, dcdb(&[("shard_serial_id", "set_2")])),
            (&shard, target("dcdb", "t", &[("instance_id", "tdsqlshard-2"), ("shard_id", "shard-1")])),
        ] {
            assert!(!may_be_same_place(one, &other), "{other:?}");
        }
    }

    #[test]
    fn several_shards_are_the_place_of_each_that_they_may_touch() {
        let all = dcdb(&[("shards", "all")]);
        let some = dcdb(&[("shards", "shard-1,shard-2")]);
        let known = dcdb(&[("shards", "shard-1,shard-2"), ("node_id", "shard-1/7,shard-2/8")]);
        for same in [dcdb(&[("shard_id", "SHARD-2")]), dcdb(&[("shard_serial_id", "set_9")]), all.clone(), known] {
            for many in [&all, &some] {
                assert!(may_be_same_place(many, &same) && may_be_same_place(&same, many), "{same:?}");
            }
        }
        let third = dcdb(&[("shard_id", "shard-3")]);
        assert!(
            may_be_same_place(&all, &third) && !may_be_same_place(&some, &third) && !may_be_same_place(&third, &some)
        );
        assert!(!may_be_same_place(&some, &dcdb(&[("shards", "shard-3,shard-4")])));
        let elsewhere = target("dcdb", "t", &[("instance_id", "tdsqlshard-2"), ("shards", "all")]);
        assert!(!may_be_same_place(&all, &elsewhere));
    }

    #[test]
    fn an_instance_is_one_place_whichever_product_reaches_it() {
        let node = |node| target("taurusdb", "h", &[("instance_id", IN07), ("node_id", node)]);
        let das = |instance, user| target("das", "other", &[("instance_id", instance), ("db_user_id", user)]);
        assert!(may_be_same_place(&node("no1"), &das(IN07, "u")));
        assert!(may_be_same_place(&das(IN07, "u"), &das(IN07, "another")), "a handle proves nothing");
        assert!(!may_be_same_place(&node("no1"), &node("no2")), "nodes are different servers");
        assert!(!may_be_same_place(&node("no1"), &das("da304cd5bbb944de828759bc7be3d3fein01", "u")));
        assert!(!may_be_same_place(&node("no1"), &dcdb(&[("shard_id", "shard-1")])), "clouds are different places");
    }

    #[test]
    fn a_server_is_its_accounts_alone() {
        let at = |vendor, account, node| target(vendor, account, &[("node", node)]);
        let primary = at("postgresql", "orders", "primary");
        assert!(may_be_same_place(&primary, &at("postgresql", "orders", "primary")));
        for other in [
            at("postgresql", "orders", "replica"),
            at("postgresql", "billing", "primary"),
            at("mysql", "orders", "primary"),
        ] {
            assert!(!may_be_same_place(&primary, &other) && !may_be_same_place(&other, &primary), "{other:?}");
        }
    }

    #[test]
    fn a_place_may_be_called_by_the_products_that_take_its_instance() {
        let names = |target: &Target| naming(target).map(|vendor| vendor.name().as_str()).collect::<Vec<_>>();
        let das = |instance| target("das", "h", &[("instance_id", instance), ("db_user_id", "u")]);
        assert_eq!(names(&das(IN07)), ["das", "taurusdb"]);
        let node = target("taurusdb", "h", &[("instance_id", IN07), ("node_id", "no1")]);
        let is_of = |vendor: &str, target: &Target| is_of(find(vendor).unwrap(), target);
        assert!(is_of("taurusdb", &das(IN07)) && is_of("das", &das(IN07)) && is_of("taurusdb", &node));
        assert!(!is_of("das", &node), "what DAS can reach is not its own");
        assert_eq!(names(&das("da304cd5bbb944de828759bc7be3d3fein01")), ["das", "dasrds", "rds"]);
        assert_eq!(names(&dcdb(&[("shard_id", "shard-1")])), ["dcdb"]);
    }
}
