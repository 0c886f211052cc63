//! `encaustic bench`: how fast a model runs here, and how much memory it takes.
//!
//! One run with a fixed prompt and seed, with DDIM, whose step is one call of the UNet (of a batch of two per picture
//! with guidance, as in a real run). The first step warms up (kernels are compiled and tuned, pages touched) and is
//! reported apart.

use encaustic_engine::catalog::catalog;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::generate::show;
use crate::machine::Machine;
use crate::progress::Progress;
use crate::stats::Summary;
use crate::work::{self, Job, Made};
use crate::{cli, interrupt, memory, terminal};

const PROMPT: &str = "a red circle above a blue square";
const SAMPLER: &str = "ddim";
/// Measured steps if nobody says.
const STEPS: u32 = 5;
/// The most steps that a request may have.
const MOST: u32 = 1000;

/// Measures a model.
///
/// # Errors
/// If the options are wrong, if the engine fails, and on Ctrl-C.
pub fn run(args: &cli::Bench, json: bool) -> Result<(), Failure> {
    let mut request = args.settings.request(&catalog())?;
    request.prompt = PROMPT.to_owned();
    request.sampler = Some(SAMPLER.to_owned());
    request.steps = Some(request.steps.unwrap_or(STEPS).saturating_add(1).min(MOST));
    let machine = Machine::find(&args.engine)?;
    interrupt::listen(interrupt::AFTER_STEP)?;
    let Machine { model, vae, device, precision } = machine.clone();

    let mut progress = Progress::new();
    progress.wait("loading the model");
    let job = Job { model, vae, device, precision, request, seed: 0, dump: None };
    let made = work::run(job, |news| show(&mut progress, &machine, news));
    progress.clear();
    let made = made?;
    let (warm_up, steps) = made.seconds.steps.split_first().map_or((0.0, None), |(first, rest)| (*first, Summary::of(rest)));
    if json { terminal::tell(report(&made, &machine, warm_up, steps)) } else { terminal::tell(table(&made, warm_up, steps)) }
}

fn report(made: &Made, machine: &Machine, warm_up: f64, steps: Option<Summary>) -> Value {
    let Made { settings, compute, seconds, .. } = made;
    json!({
        "engine": concat!("encaustic ", env!("CARGO_PKG_VERSION")),
        "model": machine.model.name(),
        "family": made.family,
        "device": compute.info.name.to_string(),
        "device_label": compute.info.label,
        "dtype": compute.precision.name(),
        "threads": std::thread::available_parallelism().map(usize::from).ok(),
        "width": settings.width,
        "height": settings.height,
        "batch": settings.batch,
        "cfg": settings.guidance.scale,
        "load": seconds.load,
        "text": seconds.text,
        "warm_up": warm_up,
        "unet": steps,
        "vae": seconds.vae,
        "peak_bytes": memory::peak(),
        "device_peak_bytes": made.device_peak,
    })
}

fn table(made: &Made, warm_up: f64, steps: Option<Summary>) -> String {
    let seconds = &made.seconds;
    let mut lines = vec![
        format!("load            {:8.3} s", seconds.load),
        format!("text            {:8.3} s", seconds.text),
        format!("first step      {warm_up:8.3} s"),
    ];
    if let Some(steps) = steps {
        lines.push(format!("step, median    {:8.3} s  (of {}; {:.3} to {:.3})", steps.median, steps.count, steps.min, steps.max));
    }
    lines.push(format!("VAE             {:8.3} s", seconds.vae));
    for (name, bytes) in [("host memory", memory::peak()), ("device memory", made.device_peak)] {
        if let Some(bytes) = bytes {
            lines.push(format!("{name:15} {:8.0} MB at most", bytes as f64 / 1e6));
        }
    }
    lines.join("\n")
}
