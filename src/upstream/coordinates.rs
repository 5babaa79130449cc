//! Holding given coordinates against what a vendor asks for.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{ALL, Coordinates, Division, MAX_PLACES, Target};

use super::{Coordinate, Need, Site, TABLE, Vendor, find};

/// What is wrong with a coordinate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// No vendor has a coordinate of that name.
    Unknown { name: String, expected: String },
    /// The named coordinate is missing, not of this vendor, or not well formed.
    Wrong { name: String, detail: String },
}

/// Checks that `given` has every coordinate that `vendor` needs at that site, well formed, and no other.
///
/// # Errors
/// Every [`Complaint`]: first what the vendor does not have, then the rest in the order in which it lists its coordinates.
pub fn coordinates(
    vendor: &dyn Vendor,
    site: Site,
    given: &BTreeMap<String, String>,
) -> Result<Coordinates, Vec<Complaint>> {
    let known = vendor.capabilities_at(site).coordinates;
    let strange = given.keys().filter(|name| known.iter().all(|c| c.name != name.as_str()));
    let mut complaints: Vec<Complaint> = strange.map(|name| strange_to(vendor, site, name)).collect();
    let mut checked = Coordinates::new();
    for coordinate in known {
        let (name, value) = (coordinate.name, given.get(coordinate.name));
        let detail = missing(coordinate, known, given).or_else(|| {
            value.is_some_and(|value| !(coordinate.check)(value)).then(|| format!("must be {}", coordinate.expected))
        });
        match (detail, value) {
            (Some(detail), _) => complaints.push(Complaint::Wrong { name: name.to_owned(), detail }),
            (None, Some(value)) => drop(checked.insert(name, canonical(name, value))),
            (None, None) => {}
        }
    }
    if complaints.is_empty() { Ok(checked) } else { Err(complaints) }
}

/// Whether a text is the name of one of a target's places.
#[must_use]
pub fn names_place(target: &Target, text: &str) -> bool {
    let vendor = find(target.vendor.as_str());
    let coordinate =
        vendor.and_then(|it| it.capabilities().coordinates.iter().find(|it| Division::named_by(it.name).is_some()));
    coordinate.is_some_and(|several| text != ALL && !text.contains(',') && (several.check)(text))
}

/// What is wrong with a coordinate that the vendor does not have there.
fn strange_to(vendor: &dyn Vendor, site: Site, name: &str) -> Complaint {
    let known = vendor.capabilities_at(site).coordinates;
    let expected = known.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
    if !TABLE.iter().any(|v| v.capabilities().has_coordinate(name)) {
        return Complaint::Unknown { name: name.to_owned(), expected };
    }
    let detail = if vendor.capabilities().has_coordinate(name) {
        format!("{} has no such coordinate at the {} site; it has {expected}", vendor.name(), site.as_str())
    } else {
        format!("{} has no such coordinate; it has {expected}", vendor.name())
    };
    Complaint::Wrong { name: name.to_owned(), detail }
}

/// That a coordinate, or one of its group, has to be given and is not; the first of a group speaks for it.
fn missing(coordinate: &Coordinate, known: &[Coordinate], given: &BTreeMap<String, String>) -> Option<String> {
    match coordinate.need {
        Need::Required => {
            (!given.contains_key(coordinate.name)).then(|| format!("is required: {}", coordinate.expected))
        }
        Need::OneOf(group) => {
            let names: Vec<_> = known.iter().filter(|c| c.need == Need::OneOf(group)).map(|c| c.name).collect();
            let many = names.iter().filter(|name| given.contains_key(**name)).count();
            let speaks = names.first() == Some(&coordinate.name);
            (speaks && many != 1).then(|| format!("exactly one of {} is required", names.join(", ")))
        }
        Need::Where { other, begins } => {
            let value = given.get(other)?;
            match (value.starts_with(begins), given.contains_key(coordinate.name)) {
                (true, false) => Some(format!("is required where {other} begins with {begins}")),
                (false, true) => Some(format!("must be left out where {other} does not begin with {begins}")),
                (true, true) | (false, false) => None,
            }
        }
        Need::OptionalWithout(other) => {
            let is_beside = given.contains_key(coordinate.name) && given.contains_key(other);
            is_beside.then(|| format!("must be left out where {other} is given"))
        }
        Need::Optional => None,
    }
}

/// The one form of a value: several places are in order.
fn canonical(name: &str, value: &str) -> String {
    if Division::named_by(name).is_none() {
        return value.to_owned();
    }
    let mut places: Vec<_> = value.split(',').collect();
    places.sort_unstable();
    places.join(",")
}

/// Whether a text names several places, each of which is a name as `is_name` has it: all of them, or a few with commas between.
pub(super) fn names_places(text: &str, is_name: fn(&str) -> bool) -> bool {
    let places: Vec<_> = text.split(',').collect();
    let each_once: BTreeSet<_> = places.iter().map(|place| place.to_ascii_lowercase()).collect();
    let is_list = places.len() <= MAX_PLACES && each_once.len() == places.len() && !each_once.contains(ALL);
    text == ALL || is_list && places.into_iter().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(vendor: &str, given: &[(&str, &str)]) -> Result<Coordinates, Vec<Complaint>> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        coordinates(find(vendor).unwrap(), Site::Mainland, &given)
    }

    fn wrong(result: Result<Coordinates, Vec<Complaint>>) -> String {
        match result.unwrap_err().swap_remove(0) {
            Complaint::Wrong { name, .. } => name,
            other @ Complaint::Unknown { .. } => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_example_of_every_vendor_is_well_formed() {
        for vendor in TABLE {
            for coordinate in vendor.capabilities().coordinates {
                assert!((coordinate.check)(coordinate.example), "{} {}", vendor.name(), coordinate.name);
            }
        }
    }

    #[test]
    fn exactly_one_shard_is_wanted() {
        let instance = ("instance_id", "tdsqlshard-2gk4nxyz");
        assert!(check("dcdb", &[instance, ("shard_id", "shard-1")]).is_ok());
        assert!(check("dcdb", &[instance, ("shard_serial_id", "set_1"), ("node_id", "7")]).is_ok());
        assert_eq!(wrong(check("dcdb", &[instance])), "shard_id");
        assert_eq!(wrong(check("dcdb", &[instance, ("shard_id", "a"), ("shard_serial_id", "b")])), "shard_id");
    }

    #[test]
    fn several_shards_are_all_of_them_or_a_list_in_order_without_a_node() {
        let instance = ("instance_id", "tdsqlshard-2gk4nxyz");
        let shards = |text| check("dcdb", &[instance, ("shards", text)]).map(|it| it["shards"].clone());
        assert_eq!(shards("shard-b,shard-a"), Ok("shard-a,shard-b".to_owned()));
        assert_eq!((shards("all"), shards("shard-a")), (Ok("all".to_owned()), Ok("shard-a".to_owned())));
        for bad in ["", ",", "a,", "a,a", "a,A", "a b", "all,a", "ALL", "a/b", &"x,".repeat(101)] {
            assert_eq!(wrong(check("dcdb", &[instance, ("shards", bad)])), "shards", "{bad}");
        }
        for beside in ["shard_id", "shard_serial_id"] {
            assert_eq!(wrong(check("dcdb", &[instance, ("shards", "all"), (beside, "a")])), "shard_id");
        }
        assert_eq!(wrong(check("dcdb", &[instance, ("shards", "all"), ("node_id", "7")])), "node_id");
    }

    #[test]
    fn a_cluster_wants_its_node_and_an_instance_has_none() {
        let told = |given: &[(&str, &str)]| match check("alidas", given) {
            Ok(_) => None,
            Err(mut complaints) => match complaints.swap_remove(0) {
                Complaint::Wrong { name, detail } => Some(format!("{name} {detail}")),
                other @ Complaint::Unknown { .. } => panic!("{other:?}"),
            },
        };
        let (alone, cluster) = (("instance_id", "rm-1"), ("instance_id", "pc-1"));
        let node = ("node_id", "pi-1");
        assert_eq!((told(&[alone]), told(&[cluster, node])), (None, None));
        assert_eq!(told(&[cluster]).unwrap(), "node_id is required where instance_id begins with pc-");
        assert_eq!(told(&[alone, node]).unwrap(), "node_id must be left out where instance_id does not begin with pc-");
        assert!(told(&[node]).unwrap().starts_with("instance_id is required: "));
    }

    #[test]
    fn a_component_has_one_spelling() {
        let gaussdb = |component| {
            let given = [
                ("instance_id", "3d39c18788b54a919bab633874c159dfin14"),
                ("node_id", "52c25e148a4a48c293b66ca95565719cno14"),
                ("component_id", component),
            ];
            check("gaussdb", &given)
        };
        for component in ["cn_5001", "dn_6001", "dn_0"] {
            assert!(gaussdb(component).is_ok(), "{component}");
        }
        for component in ["cn_05001", "dn_00", "cn_", "CN_5001", "cn_+1"] {
            assert_eq!(wrong(gaussdb(component)), "component_id", "{component}");
        }
    }

    #[test]
    fn a_coordinate_that_one_site_lacks_is_named_with_it() {
        let given = [("instance_id", "a"), ("shard_id", "b"), ("node_id", "c")];
        let given = given.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let complaints = coordinates(find("dcdb").unwrap(), Site::International, &given).unwrap_err();
        let [Complaint::Wrong { name, detail }] = complaints.as_slice() else { panic!("{complaints:?}") };
        assert_eq!(name, "node_id");
        assert!(detail.contains("at the international site"), "{detail}");
    }

    #[test]
    fn a_coordinate_of_another_product_is_named() {
        let instance = "3d39c18788b54a919bab633874c159dfin14";
        assert_eq!(wrong(check("taurusdb", &[("instance_id", instance), ("node_id", "x")])), "instance_id");
        assert_eq!(wrong(check("das", &[("instance_id", instance), ("component_id", "cn_5001")])), "component_id");
        let unknown = check("das", &[("instnce_id", instance)]).unwrap_err();
        assert!(matches!(&unknown[0], Complaint::Unknown { name, .. } if name == "instnce_id"), "{unknown:?}");
    }
}
