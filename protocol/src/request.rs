//! What picture is wanted: the one place where a generation setting is declared.
//!
//! To add a setting, add an entry to [`settings!`] below. The structure, its default, its JSON, the limits, the flag on
//! the command line and its help all come from that entry.

use serde::{Deserialize, Serialize};

use crate::param::{Names, Param, Range, Setting, Value, WrongKind};

/// The longest prompt, in bytes.
const PROMPT_BYTES: usize = 16 * 1024;

const PROMPT: Range = Range::Text { max_bytes: PROMPT_BYTES };
/// Pictures have sizes in steps of 8 pixels, one latent.
const SIZE: Range = Range::Integer { min: 64, max: 8192, multiple_of: 8 };
const PIXELS: Range = Range::Integer { min: 0, max: 8192, multiple_of: 1 };

macro_rules! settings {
    ($( $(#[doc = $help:literal])+ $id:ident: $type:ty = $default:expr, $range:expr; )+) => {
        /// What picture is wanted.
        ///
        /// `None` leaves a setting to the model: its own size, sampler and so on.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Request {
            $( $(#[doc = $help])+ pub $id: $type, )+
        }

        impl Default for Request {
            fn default() -> Self {
                Self { $( $id: $default, )+ }
            }
        }

        /// All settings of a [`Request`], in the order in which a form would show them.
        pub static PARAMS: &[Param] = &[$(
            Param {
                id: stringify!($id),
                help: concat!($($help),+).trim_ascii(),
                range: $range,
                default: || <$type as Setting>::to_value(&$default),
                get: |request| request.$id.to_value(),
                set: |request, value| { request.$id = Setting::from_value(value)?; Ok(()) },
            },
        )+];
    };
}

settings! {
    /// What the picture shows.
    prompt: String = String::new(), PROMPT;
    /// What the picture should not show.
    negative: String = String::new(), PROMPT;
    /// Where the noise begins: image i of a batch has the seed `seed + i`. Drawn at random if not given.
    seed: Option<u64> = None, Range::Integer { min: 0, max: u64::MAX, multiple_of: 1 };
    /// How many denoising steps to take.
    steps: Option<u32> = None, Range::Integer { min: 1, max: 1000, multiple_of: 1 };
    /// Guidance: how hard to follow the prompt. 1 and less turn it off and halve the work.
    cfg: Option<f64> = None, Range::Number { min: 0.0, max: 100.0 };
    /// How to get from one noise level to the next.
    sampler: Option<String> = None, Range::Name(Names::Samplers);
    /// Which noise levels are visited.
    schedule: Option<String> = None, Range::Name(Names::Schedules);
    /// Width of the picture in pixels.
    width: Option<u32> = None, SIZE;
    /// Height of the picture in pixels.
    height: Option<u32> = None, SIZE;
    /// How many pictures to make at once.
    batch: u32 = 1, Range::Integer { min: 1, max: 64, multiple_of: 1 };
    /// At which layer, counted from the end, to read the text encoder: 1 is the one that the model was trained with, 2 the one before.
    clip_skip: Option<u32> = None, Range::Integer { min: 1, max: 64, multiple_of: 1 };
    /// Whose noise a seed means: `cpu` as torch makes it on the CPU, `nv` as on an NVIDIA card.
    rng: Rng = Rng::Cpu, Range::Name(Names::Fixed(Rng::NAMES));
    /// How much fresh noise each step of DDIM, TCD and the ancestral samplers adds.
    eta: Option<f64> = None, Range::Number { min: 0.0, max: 1.0 };
    /// How far to scale guided predictions back to the spread of unguided ones, against overexposure.
    guidance_rescale: Option<f64> = None, Range::Number { min: 0.0, max: 1.0 };
    /// SDXL: another prompt for the second text encoder.
    prompt_2: Option<String> = None, PROMPT;
    /// SDXL: another negative prompt for the second text encoder.
    negative_2: Option<String> = None, PROMPT;
    /// SDXL: the width that the picture pretends to have had before it was scaled; small ones look blurred.
    original_width: Option<u32> = None, PIXELS;
    /// SDXL: the height that the picture pretends to have had before it was scaled.
    original_height: Option<u32> = None, PIXELS;
    /// SDXL: how many pixels the picture pretends to have lost at its left.
    crop_left: u32 = 0, PIXELS;
    /// SDXL: how many pixels the picture pretends to have lost at its top.
    crop_top: u32 = 0, PIXELS;
    /// SDXL: the width that the picture pretends to have.
    target_width: Option<u32> = None, PIXELS;
    /// SDXL: the height that the picture pretends to have.
    target_height: Option<u32> = None, PIXELS;
}

/// Whose random numbers make the noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rng {
    /// torch's generator on the CPU: a Mersenne Twister.
    #[default]
    Cpu,
    /// torch's generator on NVIDIA cards: Philox.
    Nv,
}

impl Rng {
    const NAMES: &[&str] = &["cpu", "nv"];

    /// Its name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Nv => "nv",
        }
    }
}

impl Setting for Rng {
    fn to_value(&self) -> Value {
        Value::Text(self.name().to_owned())
    }

    fn from_value(value: Value) -> Result<Self, WrongKind> {
        let Value::Text(name) = value else { return Err(WrongKind) };
        [Self::Cpu, Self::Nv].into_iter().find(|rng| rng.name() == name.trim().to_lowercase()).ok_or(WrongKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_takes_defaults_and_refuses_unknown_settings() {
        let request: Request = serde_json::from_str(r#"{"prompt": "x", "steps": 4, "rng": "nv"}"#).unwrap();
        assert_eq!(request, Request { prompt: "x".into(), steps: Some(4), rng: Rng::Nv, ..Request::default() });
        assert!(serde_json::from_str::<Request>(r#"{"promt": "x"}"#).unwrap_err().to_string().contains("promt"));
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
    }

    #[test]
    fn every_setting_can_be_read_and_written_through_the_table() {
        for param in PARAMS {
            assert_eq!((param.get)(&Request::default()), (param.default)(), "{}", param.id);
            let (text, value) = match param.range {
                Range::Text { .. } | Range::Name(Names::Samplers | Names::Schedules) => ("nv", Value::Text("nv".into())),
                Range::Name(Names::Fixed(names)) => (names[1], Value::Text(names[1].into())),
                Range::Integer { .. } => ("3", Value::Integer(3)),
                Range::Number { .. } => ("0.25", Value::Number(0.25)),
            };
            let mut request = Request::default();
            (param.set)(&mut request, param.parse(text).unwrap()).unwrap();
            assert_eq!((param.get)(&request), value, "{}", param.id);
            assert_ne!(request, Request::default(), "{}", param.id);
        }
    }
}
