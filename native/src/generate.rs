//! `encaustic generate`: from the options to pictures on the disk.

use std::path::{Path, PathBuf};
use std::time::Instant;

use encaustic_engine::catalog::catalog;
use encaustic_engine::settings::Settings;
use encaustic_picture::png::{self, Pixels};

use crate::caption::{Caption, Hashes};
use crate::cli;
use crate::failure::{Failure, Refusal};
use crate::files::{self, Target};
use crate::machine::Machine;
use crate::progress::Progress;
use crate::report::{self, Report};
use crate::work::{self, Job, Made, News};
use crate::{interrupt, seed, terminal};

/// Makes pictures and saves them.
///
/// # Errors
/// If the options are wrong (before anything is done), if the engine or the disk fails, and on Ctrl-C.
pub fn run(args: &cli::Generate, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let request = args.settings.request(&catalog())?;
    let target = Target::resolve(&args.out)?;
    let machine = Machine::find(&args.engine)?;
    let dump = args.dump_latents.as_deref().map(dump_path).transpose()?;
    target.prepare()?;
    if let Some(dump) = &dump {
        files::probe(files::folder_of(dump))?;
    }
    interrupt::listen(interrupt::AFTER_STEP)?;
    let hashes = Hashes::begin(&machine);
    let Machine { model, vae, device, precision } = machine.clone();

    let mut progress = Progress::new();
    progress.wait("loading the model");
    let job = Job { model, vae, device, precision, request, seed: seed::random(), dump };
    let made = work::run(job, |news| show(&mut progress, &machine, news));
    progress.clear();
    let made = made?;

    let saving = Instant::now();
    let caption = Caption { settings: &made.settings, machine: &machine, hashes: hashes.finish() };
    let paths = save(&made, &target, &caption)?;
    let save = saving.elapsed().as_secs_f64();
    let report = Report { made: &made, caption: &caption, paths: &paths, save, total: begun.elapsed().as_secs_f64() };
    if json {
        return terminal::tell(report.to_json());
    }
    terminal::say(report::summary(&report));
    paths.iter().try_for_each(|path| terminal::tell(path.display()))
}

fn dump_path(path: &Path) -> Result<PathBuf, Refusal> {
    let is_named_so = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    if is_named_so && !path.is_dir() {
        return Ok(path.to_owned());
    }
    Err(Refusal::new("dump-latents", format!("{} is not a name for a file of tensors", path.display()))
        .hint("give a name that ends in .safetensors"))
}

fn save(made: &Made, target: &Target, caption: &Caption<'_>) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    let count = made.pictures.len();
    for ((index, picture), seed) in made.pictures.iter().enumerate().zip(made.settings.seeds()) {
        let text = caption.infotext(seed).to_string();
        let size = |side: usize| {
            u32::try_from(side).map_err(|_| Failure::System(format!("a side of {side} pixels is too long for PNG")))
        };
        let pixels = Pixels { width: size(picture.width)?, height: size(picture.height)?, rgb: &picture.pixels };
        paths.push(target.save(index, count, seed, |file| png::write(pixels, &text, file))?);
    }
    Ok(paths)
}

/// Draws the news.
pub(crate) fn show(progress: &mut Progress, machine: &Machine, news: News) {
    match news {
        News::Device(info, precision) => progress.say(&format!("{} on {info} in {precision}", machine.model.name())),
        News::Begin(settings) => {
            progress.say(&plan(&settings));
            progress.wait("reading the prompt");
        }
        News::Read => progress.wait("loading the model"),
        News::Denoising => progress.wait("denoising"),
        News::Step(done, of) => progress.steps("denoising", done as u64, of as u64),
        News::Decoding => progress.wait("decoding"),
    }
}

/// One line on what will be done.
fn plan(settings: &Settings) -> String {
    let count = if settings.batch > 1 { format!("{} pictures of ", settings.batch) } else { String::new() };
    format!(
        "{count}{} x {}, seed {}, {} steps of {} ({}), cfg {}",
        settings.width,
        settings.height,
        settings.seed,
        settings.steps,
        settings.sampler.info().label,
        settings.schedule.info().label,
        settings.guidance.scale,
    )
}
