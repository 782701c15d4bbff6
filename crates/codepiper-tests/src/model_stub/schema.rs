//! The smallest answer that satisfies a JSON schema, for requests that want JSON and are no business of a test.

use serde_json::{Map, Value, json};

/// An instance of the schemas the CLIs send: objects, arrays, scalars and enums; no references.
pub(super) fn instance(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    if let Some(first) = schema["anyOf"].get(0).or_else(|| schema["oneOf"].get(0)) {
        return instance(first);
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), instance(&schema["properties"][name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some("array") => {
            let fewest = schema["minItems"].as_u64().unwrap_or(0).min(ITEMS_MAX) as usize;
            Value::Array(vec![instance(&schema["items"]); fewest])
        }
        Some("string") => json!("scripted"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        _ => Value::Null,
    }
}

/// The longest array made up, whatever a schema demands.
const ITEMS_MAX: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_there() {
        let schema = json!({"type": "object", "required": ["title", "kind", "tags"], "properties": {
            "title": {"type": "string"}, "kind": {"enum": ["a", "b"]}, "more": {"type": "string"},
            "tags": {"type": "array", "minItems": 1, "items": {"type": ["integer", "null"]}}
        }});
        assert_eq!(instance(&schema), json!({"title": "scripted", "kind": "a", "tags": [0]}));
    }
}
