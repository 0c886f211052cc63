//! The samplers, each declared once: names, habits, constructor.

use encaustic_protocol::{Entry, nearest};

use super::build::Setup;
use super::{
    Sampler, SamplingError, adaptive, ddim, ddpm, deis, dpm2, dpm2_a, dpmpp_2m, dpmpp_2m_sde, dpmpp_2s, dpmpp_2s_a, dpmpp_3m_sde,
    dpmpp_sde, euler, euler_a, heun, lcm, lms, pndm, restart, tcd, unipc,
};
use crate::schedule::{self, Algorithm, ScheduleKind, SchedulerClass, SchedulerConfig, SolverType};

/// The samplers that can be asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`SAMPLERS` documents each")]
pub enum SamplerKind {
    Euler,
    EulerA,
    Heun,
    Dpm2,
    Dpm2A,
    Lms,
    Ddim,
    Ddpm,
    Pndm,
    Dpmpp2m,
    Dpmpp2s,
    Dpmpp2sA,
    DpmppSde,
    Dpmpp2mSde,
    Dpmpp2mSdeHeun,
    Dpmpp3mSde,
    UniPc,
    Deis,
    Lcm,
    Tcd,
    Restart,
    DpmAdaptive,
}

/// Whether a sampler adds noise on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    /// Never: the first noise decides the picture.
    None,
    /// Only if asked to, by `eta` or `s_churn`.
    OnRequest,
    /// Unless `eta` is 0; more steps do not converge to one picture.
    Always,
}

/// What there is to know about a sampler.
#[derive(Clone, Copy)]
pub struct SamplerInfo {
    /// The sampler.
    pub kind: SamplerKind,
    /// Its name on a command line.
    pub name: &'static str,
    /// Its name in A1111's menus and metadata, or as near to that as there is.
    pub label: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// The class of diffusers that does the same, or whose way of picking timesteps it follows.
    pub class: SchedulerClass,
    /// What A1111's "Automatic" means for it.
    pub usual: ScheduleKind,
    /// Whether it adds noise.
    pub randomness: Randomness,
    /// Model calls per step, but for the last.
    pub calls: usize,
    /// Its order: how fast the error falls with more steps.
    pub order: usize,
    /// Whether the images of a batch influence each other, so that they should be made one at a time.
    pub couples_batch: bool,
    /// One line of help.
    pub help: &'static str,
    pub(super) build: fn(Setup<'_>) -> Box<dyn Sampler>,
}

macro_rules! samplers {
    ($( $kind:ident $name:literal $label:literal [$($alias:literal),*] $class:ident $usual:ident $random:ident
        $calls:literal $order:literal $build:path, $help:literal; )+) => {
        /// Every sampler, in the order of menus.
        pub const SAMPLERS: &[SamplerInfo] = &[$( SamplerInfo {
            kind: SamplerKind::$kind, name: $name, label: $label, aliases: &[$($alias),*], class: SchedulerClass::$class,
            usual: ScheduleKind::$usual, randomness: Randomness::$random, calls: $calls, order: $order,
            couples_batch: matches!(SamplerKind::$kind, SamplerKind::DpmAdaptive), help: $help, build: $build,
        }, )+];
    };
}

samplers! {
    Euler "euler" "Euler" ["k_euler"] Euler Normal OnRequest 1 1 euler::sampler, "plain and dependable";
    EulerA "euler-a" "Euler a" ["k_euler_a", "euler ancestral", "k_euler_ancestral"] EulerAncestral Normal Always 1 1 euler_a::sampler,
        "soft pictures that keep changing with the number of steps";
    Heun "heun" "Heun" ["k_heun"] Heun Normal OnRequest 2 2 heun::sampler, "Euler with a second look: two model calls a step";
    Dpm2 "dpm2" "DPM2" ["k_dpm_2", "dpm_2"] Dpm2 Karras OnRequest 2 2 dpm2::sampler, "midpoint method: two model calls a step";
    Dpm2A "dpm2-a" "DPM2 a" ["k_dpm_2_a", "dpm_2_ancestral", "k_dpm_2_ancestral", "dpm2 ancestral"] Dpm2Ancestral Karras Always 2 2 dpm2_a::sampler,
        "DPM2 with fresh noise each step";
    Lms "lms" "LMS" ["k_lms"] Lms Normal None 1 4 lms::sampler, "linear multistep over four steps";
    Ddim "ddim" "DDIM" [] Ddim Ddim OnRequest 1 1 ddim::sampler, "the classic of latent diffusion; --eta adds noise";
    Ddpm "ddpm" "DDPM" [] Ddpm Ddim Always 1 1 ddpm::sampler, "the diffusion itself, reversed; wants many steps";
    Pndm "pndm" "PLMS" ["k_plms"] Pndm Ddim None 1 4 pndm::sampler, "linear multistep, the first sampler of Stable Diffusion";
    Dpmpp2m "dpmpp-2m" "DPM++ 2M" ["k_dpmpp_2m"] DpmSolverMultistep Karras None 1 2 dpmpp_2m::sampler,
        "sharp pictures in 20 to 30 steps: a good default";
    Dpmpp2s "dpmpp-2s" "DPM++ 2S" ["k_dpmpp_2s"] DpmSolverSinglestep Karras None 1 2 dpmpp_2s::sampler,
        "DPM++ in pairs of steps (diffusers' singlestep solver)";
    Dpmpp2sA "dpmpp-2s-a" "DPM++ 2S a" ["k_dpmpp_2s_a", "dpmpp_2s_ancestral"] Euler Karras Always 2 2 dpmpp_2s_a::sampler,
        "DPM++ with a midpoint and fresh noise: two model calls a step";
    DpmppSde "dpmpp-sde" "DPM++ SDE" ["k_dpmpp_sde"] DpmSolverSde Karras Always 2 2 dpmpp_sde::sampler,
        "much detail in few steps, two model calls each";
    Dpmpp2mSde "dpmpp-2m-sde" "DPM++ 2M SDE" ["k_dpmpp_2m_sde"] DpmSolverMultistep Exponential Always 1 2 dpmpp_2m_sde::midpoint,
        "DPM++ 2M with fresh noise each step";
    Dpmpp2mSdeHeun "dpmpp-2m-sde-heun" "DPM++ 2M SDE Heun" ["k_dpmpp_2m_sde_heun"] DpmSolverMultistep Exponential Always 1 2
        dpmpp_2m_sde::heun, "DPM++ 2M SDE with Heun's second-order term";
    Dpmpp3mSde "dpmpp-3m-sde" "DPM++ 3M SDE" ["k_dpmpp_3m_sde"] DpmSolverMultistep Exponential Always 1 3 dpmpp_3m_sde::sampler,
        "third order with fresh noise; wants 30 steps or more";
    UniPc "unipc" "UniPC" ["uni_pc", "uni_pc_bh2", "k_unipc"] UniPc Normal None 1 3 unipc::sampler,
        "predictor and corrector: good with 5 to 15 steps";
    Deis "deis" "DEIS" ["k_deis"] Deis Normal None 1 2 deis::sampler, "exponential integrator, close to DPM++ 2M";
    Lcm "lcm" "LCM" ["k_lcm"] Lcm Lcm Always 1 1 lcm::sampler, "for latent consistency models: 1 to 8 steps, cfg 1 to 2";
    Tcd "tcd" "TCD" ["k_tcd"] Tcd Lcm Always 1 1 tcd::sampler, "for trajectory consistency models; --eta sets how much is redrawn";
    Restart "restart" "Restart" ["k_restart"] Euler Karras Always 2 2 restart::sampler, "Heun that goes back up and down again; wants 20 steps or more";
    DpmAdaptive "dpm-adaptive" "DPM adaptive" ["k_dpm_ad", "k_dpm_adaptive"] Euler Karras OnRequest 3 3 adaptive::sampler,
        "chooses its own steps, three model calls each; ignores the number of steps";
}

impl SamplerKind {
    /// What there is to know about it.
    #[must_use]
    pub fn info(self) -> &'static SamplerInfo {
        // Every kind has a line (a test looks), so the fallback is never taken.
        SAMPLERS.iter().find(|info| info.kind == self).unwrap_or(&SAMPLERS[0])
    }

    /// The sampler that a model's configuration means.
    #[must_use]
    pub fn of(config: &SchedulerConfig) -> Self {
        let algorithm = config.algorithm_type.unwrap_or_default();
        let is_stochastic = matches!(algorithm, Algorithm::SdeDpmSolver | Algorithm::SdeDpmSolverPlusPlus);
        let is_third = algorithm == Algorithm::SdeDpmSolverPlusPlus && config.solver_order.unwrap_or(2) > 2;
        match config.class {
            SchedulerClass::Ddim => Self::Ddim,
            SchedulerClass::Ddpm => Self::Ddpm,
            SchedulerClass::Pndm => Self::Pndm,
            SchedulerClass::Euler => Self::Euler,
            SchedulerClass::EulerAncestral => Self::EulerA,
            SchedulerClass::Heun => Self::Heun,
            SchedulerClass::Dpm2 => Self::Dpm2,
            SchedulerClass::Dpm2Ancestral => Self::Dpm2A,
            SchedulerClass::Lms => Self::Lms,
            SchedulerClass::DpmSolverSde => Self::DpmppSde,
            SchedulerClass::DpmSolverMultistep if is_third => Self::Dpmpp3mSde,
            SchedulerClass::DpmSolverMultistep if is_stochastic && config.solver_type == Some(SolverType::Heun) => {
                Self::Dpmpp2mSdeHeun
            }
            SchedulerClass::DpmSolverMultistep if is_stochastic => Self::Dpmpp2mSde,
            SchedulerClass::DpmSolverMultistep => Self::Dpmpp2m,
            SchedulerClass::DpmSolverSinglestep => Self::Dpmpp2s,
            SchedulerClass::UniPc => Self::UniPc,
            SchedulerClass::Deis => Self::Deis,
            SchedulerClass::Lcm => Self::Lcm,
            SchedulerClass::Tcd => Self::Tcd,
        }
    }
}

/// The samplers as a catalog shows them.
#[must_use]
pub fn entries() -> Vec<Entry> {
    SAMPLERS
        .iter()
        .map(|info| Entry {
            id: info.name.to_owned(),
            label: info.label.to_owned(),
            aliases: info.aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            help: info.help.to_owned(),
        })
        .collect()
}

/// The sampler called `name`, by its name, A1111's or another alias, whatever the case and the separators.
pub fn parse(name: &str) -> Result<SamplerKind, SamplingError> {
    let entries = entries();
    let found = SAMPLERS.iter().zip(&entries).find(|(_, entry)| entry.is_called(name));
    found.map(|(info, _)| info.kind).ok_or_else(|| SamplingError::UnknownSampler {
        name: name.chars().take(64).collect(),
        nearest: nearest(name, &entries).unwrap_or_default().to_owned(),
    })
}

/// As [`parse`], and the schedule where the name ends with one, as older A1111 metadata has it ("DPM++ 2M Karras").
pub fn parse_with_schedule(name: &str) -> Result<(SamplerKind, Option<ScheduleKind>), SamplingError> {
    let unknown = match parse(name) {
        Ok(kind) => return Ok((kind, None)),
        Err(unknown) => unknown,
    };
    let words: Vec<&str> = name.split([' ', '_', '-']).filter(|word| !word.is_empty()).collect();
    // Longer names first: a schedule's name may be several words.
    for split in 1..words.len() {
        let (sampler, schedule) = words.split_at(split);
        if let (Ok(kind), Ok(schedule)) = (parse(&sampler.join(" ")), schedule::parse(&schedule.join(" "))) {
            return Ok((kind, Some(schedule)));
        }
    }
    Err(unknown)
}
