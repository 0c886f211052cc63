//! A request that is being put together from another program's settings.

use encaustic_protocol::validate::check;
use encaustic_protocol::{Catalog, PARAMS, Param, Range, Request, Value};
use serde_json::Value as Json;

use super::{Program, Restored, names};

/// How many names one sentence lists.
const MOST_NAMES: usize = 12;
/// How much of a name is told.
const LONGEST_NAME: usize = 60;

/// What has been understood so far.
pub(super) struct Draft<'a> {
    catalog: &'a Catalog,
    /// The request.
    pub(super) request: Request,
    /// What the model is called.
    pub(super) model: Option<String>,
    notes: Vec<String>,
    /// Names of what there is no place for.
    missed: Vec<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, request: Request::default(), model: None, notes: Vec::new(), missed: Vec::new() }
    }

    /// Takes a setting over, if it is allowed; else that is told.
    pub(super) fn set(&mut self, id: &str, value: Value) {
        let Some(param) = param(id) else { return };
        // Files hold what no form would send.
        let value = match value {
            Value::Text(text) => Value::Text(text.replace('\0', "")),
            other => other,
        };
        if let Some(fault) = check(param, &value, self.catalog) {
            return self.note(format!("Not taken over: {fault}."));
        }
        let kept = value.clone();
        if (param.set)(&mut self.request, value).is_err() {
            self.note(format!("Not taken over: {id} is {}.", named(&format!("{kept:?}"))));
        }
    }

    /// Takes a setting over from its text.
    pub(super) fn parse(&mut self, id: &str, text: &str) {
        let Some(param) = param(id) else { return };
        match param.parse(text) {
            Ok(value) => self.set(id, value),
            Err(_) => self.note(format!("Not taken over: {id} is {}, which is no number.", named(text))),
        }
    }

    /// Takes a setting over from JSON.
    pub(super) fn json(&mut self, id: &str, value: &Json) {
        let is_text = param(id).is_some_and(|param| matches!(param.range, Range::Text { .. } | Range::Name(_)));
        match value {
            Json::Null => {}
            Json::String(text) => self.parse(id, text),
            Json::Number(number) if !is_text => match (number.as_u64(), number.as_f64()) {
                (Some(whole), _) => self.set(id, Value::Integer(whole)),
                (None, Some(number)) => self.set(id, Value::Number(number)),
                (None, None) => {}
            },
            _ => self.note(format!("Not taken over: {id} is of a kind that is not known here.")),
        }
    }

    /// Takes over a sampler, and the schedule if its name says one.
    pub(super) fn sampler(&mut self, name: &str) {
        match names::sampler(name, self.catalog) {
            Some((sampler, schedule)) => {
                self.request.sampler = Some(sampler);
                if schedule.is_some() {
                    self.request.schedule = schedule;
                }
            }
            None => self.note(format!("The sampler {} is not known here; the model's own is used.", named(name))),
        }
    }

    /// Takes over a schedule.
    pub(super) fn schedule(&mut self, name: &str) {
        match names::schedule(name, self.catalog) {
            Some(schedule) => self.request.schedule = Some(schedule),
            None => self.note(format!("The schedule {} is not known here; the model's own is used.", named(name))),
        }
    }

    /// Tells something.
    pub(super) fn note(&mut self, sentence: String) {
        if !self.notes.contains(&sentence) {
            self.notes.push(sentence);
        }
    }

    /// There is no place for this.
    pub(super) fn miss(&mut self, name: &str) {
        let name = short(name);
        if !self.missed.contains(&name) && self.missed.len() <= MOST_NAMES {
            self.missed.push(name);
        }
    }

    pub(super) fn finish(mut self, program: Program) -> Restored {
        if !self.missed.is_empty() {
            let more = if self.missed.len() > MOST_NAMES { " and more" } else { "" };
            self.missed.truncate(MOST_NAMES);
            self.notes.push(format!("Not taken over: {}{more}.", self.missed.join(", ")));
        }
        let model = self.model.map(|name| short(&name));
        Restored { program, request: self.request, model, notes: self.notes }
    }
}

fn param(id: &str) -> Option<&'static Param> {
    PARAMS.iter().find(|param| param.id == id)
}

/// A stranger's name in a sentence.
pub(super) fn named(name: &str) -> String {
    format!("\"{}\"", short(name))
}

/// Short, on one line, and steering nothing.
fn short(name: &str) -> String {
    let mut kept: String = name.trim().chars().take(LONGEST_NAME).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if name.trim().chars().nth(LONGEST_NAME).is_some() {
        kept.push('…');
    }
    kept
}
