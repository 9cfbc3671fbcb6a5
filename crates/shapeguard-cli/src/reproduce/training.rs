//! The shape expert, trained on the dataset's own training scans as published: 20 random scans of each category, all
//! categories in one expert.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::HumanDuration;
use rand::SeedableRng;
use rand::seq::index;
use rayon::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha256};
use shapeguard_core::foreground::segment;
use shapeguard_core::seams::Progress;
use shapeguard_core::settings::Settings;
use shapeguard_data::{Dataset, SampleEntry, atomic_write};
use shapeguard_experts::shape::{PointNetNif, ShapeArchitecture, WeightPrecision};
use shapeguard_reproduction::study::ReadScan;
use shapeguard_train::{EncoderInput, Schedule, Trainer, TrainingData, TrainingSettings};

use super::say;
use crate::device::DeviceOption;
use crate::output::counted;
use crate::progress::Bars;
use crate::train_expert::{patches_of, train};

/// Training scans of each category (reference value).
const SCANS_PER_CATEGORY: usize = 20;
/// Minutes between two checkpoints.
const CHECKPOINT_MINUTES: f64 = 5.0;
/// Key of the weights' provenance that says what they were trained on and how.
const TRAINING_KEY: &str = "training_sha256";
/// Files in the reproduction's folder.
const WEIGHTS: &str = "shape-expert.safetensors";
/// See [`WEIGHTS`].
const CHECKPOINT: &str = "shape-expert.checkpoint";

/// How the expert is trained.
pub(super) struct Plan<'a> {
    /// Instead of the published 600 epochs.
    pub(super) steps: Option<usize>,
    pub(super) seed: u64,
    /// As in the published implementation.
    pub(super) encoder_sees_targets: bool,
    /// Where; opened if there is something to train.
    pub(super) device: &'a DeviceOption,
    /// Train again where the folder has another expert.
    pub(super) force: bool,
}

impl Plan<'_> {
    /// Trains the expert, goes on with an interrupted training, or takes the finished one that the folder has. The file, and
    /// what to call it.
    pub(super) fn expert(
        &self,
        datasets: &[&Dataset],
        settings: &Settings,
        read: &ReadScan<'_>,
        out: &Path,
        bars: &Bars,
    ) -> Result<(PathBuf, String)> {
        let chosen = self.choose(datasets);
        let (weights, checkpoint) = (out.join(WEIGHTS), out.join(CHECKPOINT));
        let identity = self.identity(&chosen, settings);
        if weights.is_file() {
            let bytes = std::fs::read(&weights).with_context(|| format!("cannot read {}", weights.display()))?;
            let expert = PointNetNif::from_safetensors(&bytes).with_context(|| weights.display().to_string())?;
            let is_same = expert.provenance().get(TRAINING_KEY) == Some(&identity);
            if is_same {
                let description = expert.provenance().get("description").cloned().unwrap_or_default();
                return Ok((weights, description));
            }
            ensure!(
                self.force,
                "{}: this expert was trained on other scans or in another way; give another folder by --out, or pass --force to train again",
                weights.display()
            );
        }
        let device = self.device.open_for_training()?;
        let data = self.data(&chosen, settings, read, bars)?;
        let wanted = self.training_settings(data.counts().0);
        let mut trainer = match checkpoint.is_file() {
            true => Trainer::resume(&checkpoint)?,
            false => Trainer::new(wanted.clone())?,
        };
        if *trainer.settings() != wanted {
            ensure!(
                self.force,
                "{}: this training was begun in another way; give another folder by --out, or pass --force to train anew",
                checkpoint.display()
            );
            trainer = Trainer::new(wanted)?;
        }
        let mut trainer = trainer.on(&device)?;
        announce(&trainer, device.is_cpu(), &data, bars)?;
        train(&mut trainer, &data, Some(&checkpoint), Duration::from_secs_f64(60.0 * CHECKPOINT_MINUTES), None, bars)?;
        let description = format!(
            "trained here (up to {SCANS_PER_CATEGORY} scans of each category, {} in all; {}, loss {:.4})",
            chosen.len(),
            counted(trainer.steps_done(), "step"),
            trainer.smoothed_loss()
        );
        let provenance =
            BTreeMap::from([(TRAINING_KEY.to_owned(), identity), ("description".to_owned(), description.clone())]);
        let bytes = trainer.expert(&data)?.to_safetensors(WeightPrecision::F32, &provenance);
        atomic_write(&weights, true, |file| file.write_all(&bytes))?;
        Ok((weights, description))
    }

    /// The scans of each category, a seeded choice, in order.
    fn choose<'a>(&self, datasets: &[&'a Dataset]) -> Vec<(&'a str, &'a SampleEntry)> {
        let mut chosen = Vec::new();
        for (number, dataset) in datasets.iter().enumerate() {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(number as u64);
            let count = SCANS_PER_CATEGORY.min(dataset.train.len());
            let mut places = index::sample(&mut random, dataset.train.len(), count).into_vec();
            places.sort_unstable();
            chosen.extend(places.into_iter().map(|place| (dataset.name.as_str(), &dataset.train[place])));
        }
        chosen
    }

    fn data(
        &self,
        chosen: &[(&str, &SampleEntry)],
        settings: &Settings,
        read: &ReadScan<'_>,
        bars: &Bars,
    ) -> Result<TrainingData> {
        bars.begin("Training scans: patches", chosen.len());
        let patches: Vec<_> = chosen
            .par_iter()
            .map(|(category, entry)| {
                let loaded = read(&entry.source)?;
                let part = segment(&loaded.scan, &settings.foreground, loaded.mask.as_ref(), settings.seed);
                let patches = patches_of(&part.with_context(|| format!("{category}/{}", entry.name))?)
                    .with_context(|| format!("{category}/{}", entry.name))?;
                bars.step();
                Ok(patches)
            })
            .collect::<Result<_>>()?;
        bars.end();
        Ok(TrainingData::new(patches.into_iter().flatten().collect(), Vec::new())?)
    }

    fn training_settings(&self, patches: usize) -> TrainingSettings {
        let published = Schedule::paper(patches);
        TrainingSettings {
            architecture: ShapeArchitecture::paper(),
            schedule: Schedule { steps: self.steps.unwrap_or(published.steps), ..published },
            seed: self.seed,
            surface_share: 0.0,
            turn: false,
            encoder_input: if self.encoder_sees_targets { EncoderInput::Targets } else { EncoderInput::Patch },
        }
    }

    /// Equal for equal trainings.
    fn identity(&self, chosen: &[(&str, &SampleEntry)], settings: &Settings) -> String {
        let scans: Vec<_> = chosen.iter().map(|(category, entry)| (category, &entry.name)).collect();
        // The number of patches follows from the scans.
        let text = json!([scans, settings.foreground, self.training_settings(1), self.steps]).to_string();
        shapeguard::hex(&Sha256::digest(text))
    }
}

/// Says how long the training will take: a step of a copy is timed.
fn announce(trainer: &Trainer, is_cpu: bool, data: &TrainingData, bars: &Bars) -> Result<()> {
    let steps = trainer.settings().schedule.steps.saturating_sub(trainer.steps_done());
    if steps == 0 {
        return Ok(());
    }
    let mut copy = trainer.clone();
    if !is_cpu {
        // The first step compiles the device's kernels.
        copy.step(data)?;
    }
    let start = Instant::now();
    copy.step(data)?;
    let seconds = start.elapsed().as_secs_f64() * steps as f64;
    say(
        bars,
        &format!(
            "training takes about {} ({} on {} patches); it goes on where it is interrupted, --training-steps takes fewer",
            HumanDuration(Duration::from_secs_f64(seconds.min(1e9))),
            counted(steps, "step"),
            data.counts().0
        ),
    );
    Ok(())
}
