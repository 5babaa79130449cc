//! The same document for generators that know OpenAPI 3.0 only.

use serde_json::{Map, Value, json};

/// A document of OpenAPI 3.1 in the words of 3.0. What 3.0 has no words for is left out: webhooks, the scopes of a bearer
/// token, the short name of a licence.
#[must_use]
pub(super) fn older(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    if let Some(members) = document.as_object_mut() {
        members.remove("webhooks");
    }
    if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
        license.remove("identifier");
        license.insert("url".to_owned(), json!("https://www.apache.org/licenses/LICENSE-2.0"));
    }
    rewrite(&mut document);
    let schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
    choose_members(&mut document, &schemas);
    let schemas = document.pointer("/components/schemas").cloned().unwrap_or_default();
    give_types(&mut document, &schemas);
    document
}

/// A choice of objects with one member each is an object with one of these members. Clients in Java take what they read for
/// any of the choice, since members that they do not know are nothing to them.
fn choose_members(value: &mut Value, schemas: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| choose_members(item, schemas)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| choose_members(member, schemas));
            let choices = members.get("oneOf").and_then(Value::as_array);
            let Some(properties) = choices.and_then(|choices| only_members(choices, schemas)) else { return };
            members.remove("oneOf");
            members.extend([
                ("type".to_owned(), json!("object")),
                ("properties".to_owned(), Value::Object(properties)),
                ("minProperties".to_owned(), json!(1)),
                ("maxProperties".to_owned(), json!(1)),
                ("additionalProperties".to_owned(), json!(false)),
            ]);
        }
        _ => {}
    }
}

/// The members of objects that have one each and no others.
fn only_members(choices: &[Value], schemas: &Value) -> Option<Map<String, Value>> {
    let mut all = Map::new();
    for choice in choices {
        let schema = named(choice, schemas).map_or(choice, |name| &schemas[name]);
        let properties = schema["properties"].as_object().filter(|properties| properties.len() == 1)?;
        (schema["additionalProperties"] == json!(false)).then_some(())?;
        all.extend(properties.clone());
    }
    (all.len() == choices.len()).then_some(all)
}

/// The name of the schema that is referred to.
fn named<'a>(schema: &'a Value, schemas: &Value) -> Option<&'a str> {
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    schemas.get(name).map(|_| name)
}

/// In 3.0 what may be null has a type beside it, also where it is a reference.
fn give_types(value: &mut Value, schemas: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| give_types(item, schemas)),
        Value::Object(members) => {
            members.values_mut().for_each(|member| give_types(member, schemas));
            if members.get("nullable") == Some(&json!(true))
                && !members.contains_key("type")
                && let Some(kind) = members.get("allOf").and_then(|all| type_of(&all[0], schemas))
            {
                members.insert("type".to_owned(), kind);
            }
        }
        _ => {}
    }
}

/// The one type of a schema, or of all those that it may be.
fn type_of(schema: &Value, schemas: &Value) -> Option<Value> {
    if let Some(name) = named(schema, schemas) {
        return type_of(&schemas[name], schemas);
    }
    if let Some(forms) = schema["oneOf"].as_array() {
        let mut types = forms.iter().map(|form| type_of(form, schemas));
        let first = types.next()??;
        return types.all(|kind| kind.as_ref() == Some(&first)).then_some(first);
    }
    schema.get("type").cloned()
}

fn rewrite(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rewrite),
        Value::Object(members) => {
            members.values_mut().for_each(rewrite);
            nullable_type(members);
            nullable_choice(members);
            choice_of_values(members);
            members.remove("propertyNames");
            // Generators would have a client read the whole stream as if it were one of its events.
            if let Some(stream) = members.get_mut("text/event-stream") {
                stream["schema"] = json!({ "type": "string" });
            }
            if !members.contains_key("schema")
                && let Some(first) =
                    members.get("examples").and_then(Value::as_array).and_then(|all| all.first()).cloned()
            {
                members.remove("examples");
                members.insert("example".to_owned(), first);
            }
            if let Some(Value::Array(requirements)) = members.get_mut("security") {
                for scopes in requirements.iter_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
                    *scopes = json!([]);
                }
                requirements.dedup();
            }
            // Beside a reference nothing else is read.
            if members.len() > 1 && members.get("$ref").is_some_and(Value::is_string) {
                let reference = members.remove("$ref");
                members.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
            }
        }
        _ => {}
    }
}

/// `"type": ["string", "null"]`
fn nullable_type(members: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = members.get("type") else { return };
    let mut others = types.iter().filter(|name| **name != "null").cloned();
    if let (Some(one), None) = (others.next(), others.next()) {
        members.insert("type".to_owned(), one);
        members.insert("nullable".to_owned(), json!(true));
    }
}

/// `"oneOf": [{…}, { "type": "null" }]`
fn nullable_choice(members: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = members.get("oneOf") else { return };
    let kept: Vec<Value> = choices.iter().filter(|choice| **choice != json!({ "type": "null" })).cloned().collect();
    if kept.len() == choices.len() {
        return;
    }
    members.insert("nullable".to_owned(), json!(true));
    let [only] = kept.as_slice() else {
        members.insert("oneOf".to_owned(), Value::Array(kept));
        return;
    };
    let mut only = only.clone();
    if let Some(description) = only.as_object_mut().and_then(|only| only.remove("description")) {
        members.insert("description".to_owned(), description);
    }
    // Written by the rewriting of what is inside, where a description stood beside a reference.
    let inside = only.get("allOf").cloned().unwrap_or_else(|| json!([only]));
    members.remove("oneOf");
    members.insert("allOf".to_owned(), inside);
}

/// A choice of plain values and lists of them may be anything: of lists generators for Java make nothing that compiles, and
/// their clients take a number for a text, too.
fn choice_of_values(members: &mut Map<String, Value>) {
    let is_plain = |choice: &Value| choice["type"].as_str().is_some_and(|kind| kind != "object");
    if members.get("oneOf").and_then(Value::as_array).is_some_and(|choices| choices.iter().all(is_plain)) {
        members.remove("oneOf");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_null_is_nullable_and_what_has_no_words_is_gone() {
        let newer = json!({
            "openapi": "3.1.0", "info": { "license": { "name": "x", "identifier": "x" } }, "webhooks": {},
            "a": { "type": ["string", "null"], "examples": ["b"] },
            "c": { "oneOf": [{ "$ref": "#/d", "description": "e" }, { "type": "null" }] },
            "f": { "oneOf": [{ "type": "string" }, { "type": "integer" }] },
            "g": { "$ref": "#/d", "description": "h" },
            "text/event-stream": { "schema": { "type": "object", "properties": {} } },
            "j": { "description": "k", "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
            "l": { "oneOf": [{ "$ref": "#/components/schemas/m" }, { "$ref": "#/components/schemas/n" }] },
            "security": [{ "token": ["one"] }, { "token": ["two"] }, {}],
            "components": { "schemas": { "d": { "oneOf": [{ "$ref": "#/i" }, { "type": "object" }] }, "i": { "type": "object" },
                "m": { "type": "object", "properties": { "o": { "type": "string" } }, "additionalProperties": false },
                "n": { "type": "object", "properties": { "p": { "type": "integer" } }, "additionalProperties": false } } },
        });
        let expected = json!({
            "openapi": "3.0.3", "info": { "license": { "name": "x", "url": "https://www.apache.org/licenses/LICENSE-2.0" } },
            "a": { "type": "string", "nullable": true, "example": "b" },
            "c": { "allOf": [{ "$ref": "#/d" }], "nullable": true, "description": "e", "type": "object" },
            "f": {},
            "g": { "allOf": [{ "$ref": "#/d" }], "description": "h" },
            "text/event-stream": { "schema": { "type": "string" } },
            "j": { "description": "k" },
            "l": {
                "type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
                "properties": { "o": { "type": "string" }, "p": { "type": "integer" } },
            },
            "security": [{ "token": [] }, {}],
            "components": { "schemas": { "d": { "oneOf": [{ "$ref": "#/i" }, { "type": "object" }] }, "i": { "type": "object" },
                "m": { "type": "object", "properties": { "o": { "type": "string" } }, "additionalProperties": false },
                "n": { "type": "object", "properties": { "p": { "type": "integer" } }, "additionalProperties": false } } },
        });
        assert_eq!(older(newer), expected);
    }
}
