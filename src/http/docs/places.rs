//! The targets and selectors of answers, which are kept on record as JSON.

use utoipa::{
    Modify, ToSchema as _,
    openapi::{
        self, Object, ObjectBuilder, OneOfBuilder, Ref, RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

use crate::{http::schema::places_of, kill::intake::document::SelectBody, upstream::TABLE};

/// Says what a target and a selector look like where they are read.
pub(super) struct Places;

const RESOLVED: &str = "ResolvedTarget";

impl Modify for Places {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let schemas = &mut document.components.get_or_insert_default().schemas;
        schemas.insert(RESOLVED.to_owned(), resolved());
        for name in ["Kill", "ExportedKill"] {
            let Some(RefOr::T(Schema::Object(kill))) = schemas.get_mut(name) else { continue };
            describe(kill, "target", RESOLVED, "Alias (where one was used), vendor, account and coordinates.");
            describe(kill, "select", &SelectBody::name(), "The selector as asked.");
        }
        if let Some(RefOr::T(Schema::Object(list))) = schemas.get_mut("TargetList")
            && let Some(RefOr::T(Schema::Array(items))) = list.properties.get_mut("items")
        {
            items.items = openapi::schema::ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(RESOLVED).into()));
        }
    }
}

/// What may be null, where what was asked was not understood.
fn describe(object: &mut Object, member: &str, of: &str, described: &str) {
    if let Some(property) = object.properties.get_mut(member) {
        let null = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Null));
        let known = OneOfBuilder::new().item(Ref::from_schema_name(of)).item(null);
        *property = known.description(Some(described)).into();
    }
}

/// Every coordinate that a vendor has; of one target those of its own vendor are there.
fn resolved() -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    let object = ObjectBuilder::new()
        .description(Some("Where the sessions live: vendor, account and the coordinates that this vendor has"))
        .property(
            "alias",
            text().description(Some("The configured alias, where one was used")).examples(["orders-shard-1"]),
        )
        .property("vendor", text().examples(["dcdb"]))
        .property("account", text().examples(["tencent-prod"]))
        .required("vendor")
        .required("account");
    let mut names: Vec<&str> =
        TABLE.iter().flat_map(|vendor| vendor.capabilities().coordinates).map(|one| one.name).collect();
    names.sort_unstable();
    names.dedup();
    let value = |name: &str| -> RefOr<Schema> { places_of(name).map_or_else(|| text().into(), Into::into) };
    names.into_iter().fold(object, |object, name| object.property(name, value(name))).into()
}
