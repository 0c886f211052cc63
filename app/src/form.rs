//! How a form shows the settings of `protocol`: names, places, and what is said of a value that will not do.
//!
//! Everything comes from [`PARAMS`](encaustic_protocol::PARAMS); the table here only gives some of them a better name or a better
//! place. A setting that it does not know appears among the advanced ones, as a control of the kind of its range.

use encaustic_protocol::{Catalog, Invalid, Names, Param, Range, Value, validate};

/// Where a setting is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has a control of its own making: prompts, size, seed.
    Own,
    /// In sight.
    Main,
    /// Behind "Advanced".
    Advanced,
}

/// How far a slider goes, where a setting allows more than anybody wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reach {
    /// Its left end.
    pub min: f64,
    /// Its right end.
    pub max: f64,
    /// How far apart its places are.
    pub step: f64,
}

struct Habit {
    id: &'static str,
    title: Option<&'static str>,
    place: Place,
    reach: Option<Reach>,
}

const fn habit(id: &'static str, title: Option<&'static str>, place: Place, reach: Option<(f64, f64, f64)>) -> Habit {
    let reach = match reach {
        Some((min, max, step)) => Some(Reach { min, max, step }),
        None => None,
    };
    Habit { id, title, place, reach }
}

const HABITS: &[Habit] = &[
    habit("prompt", None, Place::Own, None),
    habit("negative", Some("Negative prompt"), Place::Own, None),
    habit("seed", None, Place::Own, None),
    habit("width", None, Place::Own, None),
    habit("height", None, Place::Own, None),
    habit("steps", None, Place::Main, Some((1.0, 60.0, 1.0))),
    habit("cfg", Some("Guidance"), Place::Main, Some((1.0, 20.0, 0.5))),
    habit("sampler", None, Place::Main, None),
    habit("schedule", None, Place::Main, None),
    habit("batch", Some("Pictures"), Place::Own, None),
    habit("clip_skip", Some("CLIP skip"), Place::Advanced, None),
    habit("rng", Some("Random numbers"), Place::Advanced, None),
    habit("prompt_2", Some("Second prompt"), Place::Advanced, None),
    habit("negative_2", Some("Second negative prompt"), Place::Advanced, None),
];

/// What the help of settings begins with that only one family has.
const SDXL: &str = "SDXL: ";

fn known(param: &Param) -> Option<&'static Habit> {
    HABITS.iter().find(|habit| habit.id == param.id)
}

/// What people read: `guidance_rescale` is "Guidance rescale".
pub fn title(param: &Param) -> String {
    known(param).and_then(|habit| habit.title).map_or_else(|| capital(&param.id.replace('_', " ")), str::to_owned)
}

/// Where it is shown.
pub fn place(param: &Param) -> Place {
    known(param).map_or(Place::Advanced, |habit| habit.place)
}

/// How far its slider goes; `None` if it is better typed or chosen.
pub fn reach(param: &Param) -> Option<Reach> {
    const FEW: f64 = 20.0;
    let own = match param.range {
        Range::Number { min, max } if max - min <= 1.0 => Some(Reach { min, max, step: 0.05 }),
        Range::Number { min, max } if max - min <= FEW => Some(Reach { min, max, step: 0.1 }),
        _ => None,
    };
    known(param).and_then(|habit| habit.reach).or(own)
}

/// Its help, as a sentence of its own.
pub fn help(param: &Param) -> String {
    capital(param.help.strip_prefix(SDXL).unwrap_or(param.help)).replace('`', "\"")
}

/// Whether a model of this family has it.
pub fn is_for(param: &Param, family: &str) -> bool {
    !param.help.starts_with(SDXL) || family.starts_with("sdxl")
}

/// A value as a box shows it; nothing where the model decides.
pub fn show(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Auto => String::new(),
    }
}

/// A value as it is after one step up or down from `from`, within the setting's limits.
pub fn nudge(param: &Param, from: &Value, by: i32) -> Option<Value> {
    match (param.range, from) {
        (Range::Integer { min, max, multiple_of }, Value::Integer(number)) => {
            let step = multiple_of.saturating_mul(u64::from(by.unsigned_abs()));
            let moved = if by < 0 { number.saturating_sub(step) } else { number.saturating_add(step) };
            Some(Value::Integer(moved.clamp(min, max)))
        }
        (Range::Number { min, max }, Value::Number(number)) => {
            let step = reach(param).map_or(0.1, |reach| reach.step);
            // Sums of tenths are shown as tenths.
            let moved = ((number + step * f64::from(by)) * 1000.0).round() / 1000.0;
            Some(Value::Number(moved.clamp(min, max)))
        }
        _ => None,
    }
}

/// A text as the setting reads it: half the world writes "7,5".
pub fn pointed(param: &Param, text: &str) -> String {
    let is_number = matches!(param.range, Range::Number { .. });
    if is_number && !text.contains('.') { text.replacen(',', ".", 1) } else { text.to_owned() }
}

/// The seed after the form's own, or after those of the last job, `made`, if it began with the form's: a job of four pictures has
/// taken four seeds.
pub fn next_seed(own: Option<u64>, made: &[u64]) -> Option<u64> {
    let last = match own {
        Some(own) if !made.contains(&own) => Some(own),
        _ => made.last().copied(),
    };
    last.map(|seed| seed.wrapping_add(1))
}

/// What is wrong with a value, as its field says it; `multiple_of` is the model's own wish for widths and heights.
pub fn fault(param: &Param, value: &Value, catalog: &Catalog, multiple_of: u32) -> Option<String> {
    let is_unknown = match param.range {
        Range::Name(Names::Samplers) => catalog.samplers.is_empty(),
        Range::Name(Names::Schedules) => catalog.schedules.is_empty(),
        _ => false,
    };
    // Names cannot be judged before the engine has told its own.
    if is_unknown {
        return None;
    }
    if let Some(Invalid { allowed, nearest, .. }) = validate::check(param, value, catalog) {
        let meant = nearest.map(|name| format!(" Did you mean \"{name}\"?")).unwrap_or_default();
        return Some(format!("Use {allowed}.{meant}"));
    }
    match value {
        Value::Integer(number) if is_side(param) && multiple_of > 0 && !number.is_multiple_of(u64::from(multiple_of)) => {
            Some(format!("This model wants a multiple of {multiple_of}."))
        }
        _ => None,
    }
}

/// What is wrong with a text that is no value of the setting at all.
pub fn no_value(param: &Param, catalog: &Catalog) -> String {
    format!("Use {}.", validate::allowed(param, catalog))
}

/// Whether it is a side of the picture.
fn is_side(param: &Param) -> bool {
    matches!(param.id, "width" | "height")
}

/// "A, B and C".
pub fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// What people read for a name: a short one is an abbreviation.
pub fn label(name: &str) -> String {
    if name.len() <= 3 { name.to_uppercase() } else { capital(&name.replace('-', " ")) }
}

/// The text with a capital at its beginning.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use encaustic_protocol::PARAMS;

    fn param(id: &str) -> &'static Param {
        PARAMS.iter().find(|param| param.id == id).unwrap()
    }

    #[test]
    fn every_setting_has_a_name_and_every_habit_a_setting() {
        for param in PARAMS {
            assert!(title(param).starts_with(char::is_uppercase), "{}", param.id);
            assert!(help(param).starts_with(char::is_uppercase), "{}", param.id);
        }
        for habit in HABITS {
            assert!(PARAMS.iter().any(|param| param.id == habit.id), "{}", habit.id);
        }
        assert_eq!(title(param("guidance_rescale")), "Guidance rescale");
        assert_eq!(title(param("cfg")), "Guidance");
        assert_eq!((label("nv"), label("two-words")), ("NV".to_owned(), "Two words".to_owned()));
    }

    #[test]
    fn what_nobody_knows_is_advanced_and_gets_a_control() {
        assert_eq!(place(param("guidance_rescale")), Place::Advanced);
        assert_eq!(reach(param("guidance_rescale")), Some(Reach { min: 0.0, max: 1.0, step: 0.05 }));
        assert_eq!(reach(param("crop_left")), None);
    }

    #[test]
    fn settings_of_one_family_are_shown_for_it_only() {
        assert!(is_for(param("steps"), "sd1") && is_for(param("crop_left"), "sdxl") && !is_for(param("crop_left"), "sd1"));
        assert!(!help(param("crop_left")).contains("SDXL"));
    }

    #[test]
    fn faults_say_what_to_do() {
        let none = Catalog::default();
        let cases = [
            ("width", Value::Integer(513), 8, Some("Use a multiple of 8 from 64 to 8192, or leave it to the model.")),
            ("width", Value::Integer(520), 64, Some("This model wants a multiple of 64.")),
            ("width", Value::Integer(512), 64, None),
            ("steps", Value::Integer(520), 64, None),
            ("steps", Value::Auto, 8, None),
            ("batch", Value::Auto, 8, Some("Use a whole number from 1 to 64.")),
            ("sampler", Value::Text("x".into()), 8, None),
        ];
        for (id, value, multiple, expected) in cases {
            assert_eq!(fault(param(id), &value, &none, multiple).as_deref(), expected, "{id} {value:?}");
        }
    }

    #[test]
    fn lists_end_with_and() {
        let words = ["Steps", "Width", "Height"].map(str::to_owned);
        assert_eq!(listed(&words), "Steps, Width and Height");
        assert_eq!(listed(&words[..2]), "Steps and Width");
        assert_eq!(listed(&words[..1]), "Steps");
        assert_eq!(listed(&[]), "");
    }

    #[test]
    fn a_comma_is_a_point_where_there_are_fractions() {
        for (id, text, read) in [
            ("cfg", "7,5", "7.5"),
            ("cfg", "7.5", "7.5"),
            ("cfg", "1,000.5", "1,000.5"),
            ("steps", "1,5", "1,5"),
            ("prompt", "a, b", "a, b"),
        ] {
            assert_eq!(pointed(param(id), text), read, "{id} {text}");
        }
    }

    #[test]
    fn the_next_seed_is_one_that_was_not_taken() {
        for (own, made, next) in [
            (None, vec![], None),
            (None, vec![7], Some(8)),
            (None, vec![7, 8, 9], Some(10)),
            (Some(7), vec![7, 8, 9], Some(10)),
            (Some(10), vec![7, 8, 9], Some(11)),
            (Some(3), vec![], Some(4)),
            (Some(u64::MAX), vec![], Some(0)),
        ] {
            assert_eq!(next_seed(own, &made), next, "{own:?} {made:?}");
        }
    }

    #[test]
    fn a_nudge_stays_within_the_limits() {
        let cases = [
            ("steps", Value::Integer(1), -1, Value::Integer(1)),
            ("width", Value::Integer(512), 1, Value::Integer(520)),
            ("seed", Value::Integer(u64::MAX), 1, Value::Integer(u64::MAX)),
            ("eta", Value::Number(0.1), 1, Value::Number(0.15)),
            ("cfg", Value::Number(7.0), -1, Value::Number(6.5)),
        ];
        for (id, from, by, to) in cases {
            assert_eq!(nudge(param(id), &from, by), Some(to), "{id}");
        }
        assert_eq!(nudge(param("steps"), &Value::Auto, 1), None);
    }
}
