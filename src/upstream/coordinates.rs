//! Holding given coordinates against what a vendor asks for.

use std::collections::BTreeMap;

use crate::domain::Coordinates;

use super::{Coordinate, Need, Site, TABLE, Vendor};

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
/// The first [`Complaint`], in the order in which the vendor lists its coordinates.
pub fn coordinates(
    vendor: &dyn Vendor,
    site: Site,
    given: &BTreeMap<String, String>,
) -> Result<Coordinates, Complaint> {
    let known = vendor.capabilities_at(site).coordinates;
    if let Some(name) = given.keys().find(|name| known.iter().all(|c| c.name != name.as_str())) {
        let expected = known.iter().map(|c| c.name).collect::<Vec<_>>().join(", ");
        let of_another = TABLE.iter().any(|v| v.capabilities().coordinates.iter().any(|c| c.name == name.as_str()));
        return Err(if of_another {
            Complaint::Wrong {
                name: name.clone(),
                detail: if vendor.capabilities().has_coordinate(name) {
                    let site = site.as_str();
                    format!("{} has no such coordinate at the {site} site; it has {expected}", vendor.name())
                } else {
                    format!("{} has no such coordinate; it has {expected}", vendor.name())
                },
            }
        } else {
            Complaint::Unknown { name: name.clone(), expected }
        });
    }
    for coordinate in known {
        check_need(coordinate, known, given)?;
    }
    let mut checked = Coordinates::new();
    for coordinate in known {
        let Some(value) = given.get(coordinate.name) else { continue };
        if !(coordinate.check)(value) {
            let detail = format!("must be {}", coordinate.expected);
            return Err(Complaint::Wrong { name: coordinate.name.to_owned(), detail });
        }
        checked.insert(coordinate.name, value.clone());
    }
    Ok(checked)
}

fn check_need(
    coordinate: &Coordinate,
    known: &[Coordinate],
    given: &BTreeMap<String, String>,
) -> Result<(), Complaint> {
    let wrong = |detail: String| Err(Complaint::Wrong { name: coordinate.name.to_owned(), detail });
    match coordinate.need {
        Need::Required if !given.contains_key(coordinate.name) => {
            wrong(format!("is required: {}", coordinate.expected))
        }
        Need::OneOf(group) => {
            let names: Vec<_> = known.iter().filter(|c| c.need == Need::OneOf(group)).map(|c| c.name).collect();
            match names.iter().filter(|name| given.contains_key(**name)).count() {
                1 => Ok(()),
                _ => wrong(format!("exactly one of {} is required", names.join(", "))),
            }
        }
        Need::Required | Need::Optional => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::find;

    fn check(vendor: &str, given: &[(&str, &str)]) -> Result<Coordinates, Complaint> {
        let given = given.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        coordinates(find(vendor).unwrap(), Site::Mainland, &given)
    }

    fn wrong(result: Result<Coordinates, Complaint>) -> String {
        match result.unwrap_err() {
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
        let Err(Complaint::Wrong { name, detail }) = coordinates(find("dcdb").unwrap(), Site::International, &given)
        else {
            panic!("it is taken")
        };
        assert_eq!(name, "node_id");
        assert!(detail.contains("at the international site"), "{detail}");
    }

    #[test]
    fn a_coordinate_of_another_product_is_named() {
        let instance = "3d39c18788b54a919bab633874c159dfin14";
        assert_eq!(wrong(check("taurusdb", &[("instance_id", instance), ("node_id", "x")])), "instance_id");
        assert_eq!(wrong(check("das", &[("instance_id", instance), ("component_id", "cn_5001")])), "component_id");
        let unknown = check("das", &[("instnce_id", instance)]);
        assert!(matches!(unknown, Err(Complaint::Unknown { name, .. }) if name == "instnce_id"));
    }
}
