//! Reads a JSON object field by field, so that whatever is wrong names its field. `null` counts as nothing.

use serde_json::{Map, Value};

use super::ApiError;

/// Fields that have not been read yet.
#[derive(Clone, Debug, Default)]
pub struct Fields(Map<String, Value>);

/// What a reader of one field returns.
type Field<T> = Result<Option<T>, ApiError>;

impl Fields {
    /// All fields of an object.
    pub fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// A text.
    ///
    /// # Errors
    /// If it is something else.
    pub fn text(&mut self, name: &str) -> Field<String> {
        self.read(name, "a text", |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        })
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// If it is something else.
    pub fn word(&mut self, name: &str) -> Field<String> {
        Ok(self.text(name)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// Yes or no.
    ///
    /// # Errors
    /// If it is something else.
    pub fn truth(&mut self, name: &str) -> Field<bool> {
        self.read(name, "true or false", |value| value.as_bool())
    }

    /// A whole number; `20.0` is one.
    ///
    /// # Errors
    /// If it is something else.
    pub fn whole(&mut self, name: &str) -> Field<i128> {
        self.read(name, "a whole number", |value| whole(&value))
    }

    /// A number.
    ///
    /// # Errors
    /// If it is something else.
    pub fn number(&mut self, name: &str) -> Field<f64> {
        self.read(name, "a number", |value| value.as_f64())
    }

    /// A whole number within limits.
    ///
    /// # Errors
    /// If it is something else.
    pub fn within<T: TryFrom<i128>>(&mut self, name: &str, least: i128, most: i128) -> Field<T> {
        let Some(number) = self.whole(name)? else { return Ok(None) };
        let within = Some(number).filter(|number| (least..=most).contains(number)).and_then(|number| T::try_from(number).ok());
        match within {
            Some(number) => Ok(Some(number)),
            None => {
                let message = format!("{name}: {number} is not allowed; use a whole number from {least} to {most}");
                Err(ApiError::invalid(name, message))
            }
        }
    }

    /// A list.
    ///
    /// # Errors
    /// If it is something else.
    pub fn list(&mut self, name: &str) -> Field<Vec<Value>> {
        self.read(name, "a list", |value| match value {
            Value::Array(list) => Some(list),
            _ => None,
        })
    }

    /// An object.
    ///
    /// # Errors
    /// If it is something else.
    pub fn object(&mut self, name: &str) -> Field<Map<String, Value>> {
        self.read(name, "an object", |value| match value {
            Value::Object(object) => Some(object),
            _ => None,
        })
    }

    /// One of these words.
    ///
    /// # Errors
    /// If it is something else.
    pub fn choice(&mut self, name: &str, choices: &[&'static str]) -> Field<&'static str> {
        let Some(word) = self.word(name)? else { return Ok(None) };
        match choices.iter().find(|choice| **choice == word) {
            Some(choice) => Ok(Some(choice)),
            None => {
                let word: String = word.chars().take(40).collect();
                let message = format!("{name}: {word:?} is not allowed; use one of {}", choices.join(", "));
                Err(ApiError::invalid(name, message))
            }
        }
    }

    /// Whatever it is.
    pub fn any(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// The names of the fields that nobody has read.
    pub fn rest(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn read<T>(&mut self, name: &str, kind: &str, read: impl FnOnce(Value) -> Option<T>) -> Field<T> {
        let Some(value) = self.any(name) else { return Ok(None) };
        let given = match &value {
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            _ => "an object",
        };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => Err(ApiError::invalid(name, format!("{name}: this has to be {kind}, not {given}"))),
        }
    }
}

fn whole(value: &Value) -> Option<i128> {
    /// Beyond this, a float no longer tells whole numbers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = value.as_number()?;
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT).map(|float| float as i128);
    number.as_i128().or_else(float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::new(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn values_are_read_as_what_they_are() {
        let mut fields = fields(
            r#"{"text": "x", "empty": " ", "nothing": null, "yes": true, "n": 18446744073709551615, "m": -1, "f": 20.0, "half": 0.5,
                "list": [1], "word": "b", "more": 1}"#,
        );
        assert_eq!(fields.text("text").unwrap().as_deref(), Some("x"));
        assert_eq!(fields.word("empty").unwrap(), None);
        assert_eq!(fields.text("nothing").unwrap(), None);
        assert_eq!(fields.text("absent").unwrap(), None);
        assert_eq!(fields.truth("yes").unwrap(), Some(true));
        assert_eq!(fields.whole("n").unwrap(), Some(i128::from(u64::MAX)));
        assert_eq!(fields.whole("m").unwrap(), Some(-1));
        assert_eq!(fields.within::<u32>("f", 1, 100).unwrap(), Some(20));
        assert_eq!(fields.number("half").unwrap(), Some(0.5));
        assert_eq!(fields.list("list").unwrap().unwrap().len(), 1);
        assert_eq!(fields.choice("word", &["a", "b"]).unwrap(), Some("b"));
        assert_eq!(fields.rest().collect::<Vec<_>>(), ["more"]);
    }

    #[test]
    fn what_is_wrong_names_its_field() {
        let read = |text: &str| fields(text);
        for (error, words) in [
            (read(r#"{"a": 1}"#).text("a").unwrap_err(), "a: this has to be a text, not a number"),
            (read(r#"{"a": "1"}"#).whole("a").unwrap_err(), "a whole number, not a text"),
            (read(r#"{"a": 1.5}"#).whole("a").unwrap_err(), "a whole number"),
            (read(r#"{"a": 1e300}"#).whole("a").unwrap_err(), "a whole number"),
            (read(r#"{"a": []}"#).number("a").unwrap_err(), "a number, not a list"),
            (read(r#"{"a": {}}"#).truth("a").unwrap_err(), "true or false, not an object"),
            (
                read(r#"{"a": 11}"#).within::<u32>("a", 1, 10).unwrap_err(),
                "a: 11 is not allowed; use a whole number from 1 to 10",
            ),
            (read(r#"{"a": "z"}"#).choice("a", &["x", "y"]).unwrap_err(), "use one of x, y"),
        ] {
            assert_eq!(error.field.as_deref(), Some("a"));
            assert!(error.message.contains(words), "{error}");
        }
    }
}
