//! Whether a request can be met, said before anything is done about it.

use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Entry, nearest};
use crate::param::{Names, Param, Range, Value};
use crate::request::{PARAMS, Request};

/// A setting whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invalid {
    /// The setting's id.
    pub field: String,
    /// The value, shortened if it is long.
    pub value: String,
    /// What is allowed, as the end of the sentence "use ...".
    pub allowed: String,
    /// For names, the one that was probably meant.
    pub nearest: Option<String>,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} is not allowed; use {}", self.field, self.value, self.allowed)?;
        match &self.nearest {
            Some(name) => write!(f, "; did you mean \"{name}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Invalid {}

/// Holds every setting of `request` to its limits, and names to those in `catalog`.
///
/// All faults are told at once, in the order of [`PARAMS`]. A request that passes is well-formed for an engine with
/// this catalog; whether the loaded model can meet it (`clip_skip` beyond its layers, say) only the engine knows.
pub fn validate(request: &Request, catalog: &Catalog) -> Result<(), Vec<Invalid>> {
    let faults: Vec<_> = PARAMS.iter().filter_map(|param| check(param, &(param.get)(request), catalog)).collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What is wrong with `value` for `param`, if anything is.
pub fn check(param: &Param, value: &Value, catalog: &Catalog) -> Option<Invalid> {
    let fits = match (param.range, value) {
        (_, Value::Auto) => (param.default)() == Value::Auto,
        (Range::Text { max_bytes }, Value::Text(text)) => text.len() <= max_bytes,
        (Range::Integer { min, max, multiple_of }, Value::Integer(number)) => {
            (min..=max).contains(number) && number.is_multiple_of(multiple_of)
        }
        (Range::Number { min, max }, Value::Number(number)) => (min..=max).contains(number),
        (Range::Number { min, max }, Value::Integer(number)) => (min..=max).contains(&(*number as f64)),
        (Range::Name(names), Value::Text(text)) => entries(names, catalog).iter().any(|entry| entry.is_called(text)),
        _ => false,
    };
    if fits {
        return None;
    }
    let name = match (param.range, value) {
        (Range::Name(names), Value::Text(text)) => nearest(text, &entries(names, catalog)).map(str::to_owned),
        _ => None,
    };
    Some(Invalid { field: param.id.to_owned(), value: show(value), allowed: allowed(param, catalog), nearest: name })
}

/// What `param` may be, as the end of the sentence "use ...".
pub fn allowed(param: &Param, catalog: &Catalog) -> String {
    let range = match param.range {
        Range::Text { max_bytes } => format!("at most {max_bytes} bytes"),
        Range::Integer { min, max: u64::MAX, multiple_of: 1 } => format!("a whole number from {min} to 2^64 - 1"),
        Range::Integer { min, max, multiple_of: 1 } => format!("a whole number from {min} to {max}"),
        Range::Integer { min, max, multiple_of } => format!("a multiple of {multiple_of} from {min} to {max}"),
        Range::Number { min, max } => format!("a number from {min} to {max}"),
        Range::Name(names) => {
            let names: Vec<_> = entries(names, catalog).into_iter().map(|entry| entry.id).collect();
            format!("one of {}", names.join(", "))
        }
    };
    let may_be_left = (param.default)() == Value::Auto && matches!(param.range, Range::Integer { .. } | Range::Number { .. });
    if may_be_left { format!("{range}, or leave it to the model") } else { range }
}

fn entries(names: Names, catalog: &Catalog) -> Vec<Entry> {
    match names {
        Names::Samplers => catalog.samplers.clone(),
        Names::Schedules => catalog.schedules.clone(),
        Names::Fixed(names) => names.iter().map(|name| Entry::new(name, name)).collect(),
    }
}

/// A value as messages show it.
fn show(value: &Value) -> String {
    const LONGEST: usize = 40;
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) if text.chars().count() <= LONGEST => format!("{text:?}"),
        Value::Text(text) => {
            let start: String = text.chars().take(LONGEST).collect();
            format!("{start:?}... ({} bytes)", text.len())
        }
        Value::Auto => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        Catalog { samplers: vec![Entry::new("euler", "Euler"), Entry::new("ddim", "DDIM")], ..Catalog::default() }
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(validate(&Request::default(), &catalog()), Ok(()));
    }

    #[test]
    fn each_fault_names_its_field_and_what_is_allowed() {
        let good = Request::default;
        let cases = [
            (Request { width: Some(0), ..good() }, "width: 0 is not", "a multiple of 8 from 64 to 8192"),
            (Request { height: Some(65536), ..good() }, "height: 65536 is not", "a multiple of 8 from 64 to 8192"),
            (Request { width: Some(513), ..good() }, "width: 513 is not", "a multiple of 8 from 64 to 8192"),
            (Request { steps: Some(0), ..good() }, "steps: 0 is not", "a whole number from 1 to 1000"),
            (Request { steps: Some(1_000_000_000), ..good() }, "steps: 1000000000 is not", "a whole number from 1 to 1000"),
            (Request { cfg: Some(f64::NAN), ..good() }, "cfg: NaN is not", "a number from 0 to 100"),
            (Request { cfg: Some(f64::INFINITY), ..good() }, "cfg: inf is not", "a number from 0 to 100"),
            (Request { eta: Some(-0.5), ..good() }, "eta: -0.5 is not", "a number from 0 to 1"),
            (Request { batch: 0, ..good() }, "batch: 0 is not", "a whole number from 1 to 64"),
            (
                Request { prompt: "x".repeat(1 << 20), ..good() },
                "prompt: \"xxxx",
                "(1048576 bytes) is not allowed; use at most 16384 bytes",
            ),
            (Request { negative: "x".repeat(1 << 20), ..good() }, "negative: \"xxxx", "at most 16384 bytes"),
            (
                Request { sampler: Some("dimm".into()), ..good() },
                "sampler: \"dimm\"",
                "one of euler, ddim; did you mean \"ddim\"?",
            ),
            (Request { schedule: Some("x".into()), ..good() }, "schedule: \"x\"", "use one of"),
        ];
        for (request, start, rest) in cases {
            let faults = validate(&request, &catalog()).unwrap_err();
            let [fault] = faults.as_slice() else { panic!("one fault, not {faults:?}") };
            let message = fault.to_string();
            assert!(message.starts_with(start) && message.contains(rest), "{message}");
            assert!(message.len() < 400, "{message}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let request = Request { steps: Some(0), width: Some(1), cfg: Some(f64::NAN), ..Request::default() };
        let fields: Vec<_> = validate(&request, &catalog()).unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["steps", "cfg", "width"]);
    }
}
