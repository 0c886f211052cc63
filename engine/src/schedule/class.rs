//! The scheduler classes of diffusers: what a `scheduler_config.json` can name, and what each class does where its file
//! says nothing.

use serde::{Deserialize, Serialize};

use super::config::{BetaSchedule, Spacing};

/// A class of diffusers, by the name in `_class_name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the documentation: they are diffusers'")]
pub enum SchedulerClass {
    #[serde(rename = "DDIMScheduler")]
    Ddim,
    #[serde(rename = "DDPMScheduler")]
    Ddpm,
    #[serde(rename = "PNDMScheduler")]
    Pndm,
    #[serde(rename = "EulerDiscreteScheduler")]
    Euler,
    #[serde(rename = "EulerAncestralDiscreteScheduler")]
    EulerAncestral,
    #[serde(rename = "HeunDiscreteScheduler")]
    Heun,
    #[serde(rename = "KDPM2DiscreteScheduler")]
    Dpm2,
    #[serde(rename = "KDPM2AncestralDiscreteScheduler")]
    Dpm2Ancestral,
    #[serde(rename = "LMSDiscreteScheduler")]
    Lms,
    #[serde(rename = "DPMSolverSDEScheduler")]
    DpmSolverSde,
    #[serde(rename = "DPMSolverMultistepScheduler")]
    DpmSolverMultistep,
    #[serde(rename = "DPMSolverSinglestepScheduler")]
    DpmSolverSinglestep,
    #[serde(rename = "UniPCMultistepScheduler")]
    UniPc,
    #[serde(rename = "DEISMultistepScheduler")]
    Deis,
    #[serde(rename = "LCMScheduler")]
    Lcm,
    #[serde(rename = "TCDScheduler")]
    Tcd,
}

/// How a class picks timesteps: the same spacing gives three different lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// `steps` points, fractional where the spacing gives such, for samplers that live in `sigma` (Euler's kin).
    Fractional,
    /// The starts of `steps` intervals, whole (the multistep solvers).
    Intervals,
    /// `steps` points, whole, straight from the training schedule, with a true zero signal-to-noise level (DDIM's kin).
    Whole,
}

/// Where the last step of a class goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// To no noise at all.
    Zero,
    /// As `final_sigmas_type` says; to none by default.
    FinalSigmas,
    /// To the least noise of training.
    LeastNoise,
    /// To none with `set_alpha_to_one`, else to the least noise of training.
    AlphaToOne,
}

/// What a class does where the file says nothing.
#[derive(Clone, Copy, Debug)]
pub struct ClassFacts {
    /// The class.
    pub class: SchedulerClass,
    /// Its name in `_class_name`.
    pub name: &'static str,
    /// Defaults of `beta_start`, `beta_end`, `beta_schedule`.
    pub betas: (f64, f64, BetaSchedule),
    /// Default of `timestep_spacing`.
    pub spacing: Spacing,
    /// Whether `timestep_spacing` and `steps_offset` are looked at.
    pub spacing_is_open: bool,
    /// How timesteps are picked.
    pub grid: Grid,
    /// Where the last step goes.
    pub end: End,
    /// Default of `clip_sample`.
    pub clip_sample: bool,
    /// Default of `set_alpha_to_one`.
    pub set_alpha_to_one: bool,
    /// Whether fractional timesteps of the Karras spacing are rounded.
    pub rounds_karras: bool,
}

const LINEAR: (f64, f64, BetaSchedule) = (1e-4, 0.02, BetaSchedule::Linear);
const LINEAR_K: (f64, f64, BetaSchedule) = (0.00085, 0.012, BetaSchedule::Linear);
const SCALED: (f64, f64, BetaSchedule) = (0.00085, 0.012, BetaSchedule::ScaledLinear);

const fn whole(class: SchedulerClass, name: &'static str, end: End, clip_sample: bool, set_alpha_to_one: bool) -> ClassFacts {
    ClassFacts {
        class,
        name,
        betas: LINEAR,
        spacing: Spacing::Leading,
        spacing_is_open: true,
        grid: Grid::Whole,
        end,
        clip_sample,
        set_alpha_to_one,
        rounds_karras: false,
    }
}

const fn distilled(class: SchedulerClass, name: &'static str, end: End) -> ClassFacts {
    ClassFacts { betas: SCALED, ..whole(class, name, end, false, true) }
}

const fn fractional(
    class: SchedulerClass,
    name: &'static str,
    betas: (f64, f64, BetaSchedule),
    end: End,
    rounds_karras: bool,
) -> ClassFacts {
    ClassFacts {
        class,
        name,
        betas,
        spacing: Spacing::Linspace,
        spacing_is_open: true,
        grid: Grid::Fractional,
        end,
        clip_sample: false,
        set_alpha_to_one: true,
        rounds_karras,
    }
}

const fn intervals(class: SchedulerClass, name: &'static str, end: End) -> ClassFacts {
    ClassFacts { grid: Grid::Intervals, ..fractional(class, name, LINEAR, end, true) }
}

/// Every class that is known, one line each.
pub const CLASSES: &[ClassFacts] = &[
    whole(SchedulerClass::Ddim, "DDIMScheduler", End::AlphaToOne, true, true),
    whole(SchedulerClass::Ddpm, "DDPMScheduler", End::Zero, true, true),
    whole(SchedulerClass::Pndm, "PNDMScheduler", End::AlphaToOne, false, false),
    fractional(SchedulerClass::Euler, "EulerDiscreteScheduler", LINEAR, End::FinalSigmas, false),
    fractional(SchedulerClass::EulerAncestral, "EulerAncestralDiscreteScheduler", LINEAR, End::Zero, false),
    fractional(SchedulerClass::Heun, "HeunDiscreteScheduler", LINEAR_K, End::Zero, false),
    fractional(SchedulerClass::Dpm2, "KDPM2DiscreteScheduler", LINEAR_K, End::Zero, true),
    fractional(SchedulerClass::Dpm2Ancestral, "KDPM2AncestralDiscreteScheduler", LINEAR_K, End::Zero, true),
    fractional(SchedulerClass::Lms, "LMSDiscreteScheduler", LINEAR, End::Zero, false),
    fractional(SchedulerClass::DpmSolverSde, "DPMSolverSDEScheduler", LINEAR_K, End::Zero, false),
    intervals(SchedulerClass::DpmSolverMultistep, "DPMSolverMultistepScheduler", End::FinalSigmas),
    ClassFacts {
        spacing_is_open: false,
        ..intervals(SchedulerClass::DpmSolverSinglestep, "DPMSolverSinglestepScheduler", End::FinalSigmas)
    },
    intervals(SchedulerClass::UniPc, "UniPCMultistepScheduler", End::FinalSigmas),
    intervals(SchedulerClass::Deis, "DEISMultistepScheduler", End::LeastNoise),
    distilled(SchedulerClass::Lcm, "LCMScheduler", End::Zero),
    distilled(SchedulerClass::Tcd, "TCDScheduler", End::LeastNoise),
];

impl SchedulerClass {
    /// What the class does where the file says nothing.
    #[must_use]
    pub fn facts(self) -> &'static ClassFacts {
        // The table has every class (a test looks), so the fallback is never taken.
        CLASSES.iter().find(|facts| facts.class == self).unwrap_or(&CLASSES[0])
    }

    /// The class of a name in `_class_name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        CLASSES.iter().find(|facts| facts.name == name).map(|facts| facts.class)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_and_the_names_in_files_agree() {
        for facts in CLASSES {
            let read: SchedulerClass = serde_json::from_str(&format!("{:?}", facts.name)).unwrap();
            assert_eq!(read, facts.class);
            assert_eq!(read.facts().name, facts.name);
        }
        let last = SchedulerClass::Tcd as usize;
        assert_eq!(CLASSES.len(), last + 1, "every class has a line");
    }
}
