//! The text encoders against transformers.

use crate::common::{Goldens, device, models};
use encaustic_engine::model::clip::{ClipConfig, ClipText, TokensError};

const TOLERANCE: f64 = 1e-4;

fn text_encoder(path: &str) -> ClipText {
    let device = device();
    let config = ClipConfig::parse(&models::config_text(path)).unwrap();
    models::load(ClipText::new(&config, &device).unwrap(), path, &ClipText::keys(), &device)
}

fn prompts(goldens: &Goldens, name: &str) -> Vec<Vec<u32>> {
    let length = goldens.shape(name)[1];
    let ids: Vec<u32> = goldens.ints(name).iter().map(|id| *id as u32).collect();
    ids.chunks(length).map(<[u32]>::to_vec).collect()
}

#[test]
fn text_encoders_match_transformers() {
    // Golden file, text encoder, name of the pooled output.
    for (file, part, pooled) in [
        ("sd15_modules", "sd15/text_encoder", "pooler_output"),
        ("sd2_modules", "sd2/text_encoder", "pooler_output"),
        ("sdxl_modules", "sdxl/text_encoder", ""),
        ("sdxl_modules", "sdxl/text_encoder_2", "text_embeds"),
    ] {
        let goldens = Goldens::open(file);
        let encoder = text_encoder(&format!("models/{part}"));
        let prefix = part.split('/').next_back().unwrap();
        let name = |tensor: &str| format!("{prefix}/{tensor}");
        let prompts = prompts(&goldens, &name("input_ids"));

        let all = encoder.forward(&prompts, &device()).unwrap();
        goldens.check(&name("last_hidden_state"), all.last.clone(), TOLERANCE);
        if !pooled.is_empty() {
            goldens.check(&name(pooled), all.pooled.clone(), TOLERANCE);
        }

        // Every recorded depth, of the first prompt alone: a prompt does not depend on its batch.
        let first = encoder.forward(&prompts[..1], &device()).unwrap();
        let mut depths = 0;
        for (depth, state) in first.hidden_states.iter().enumerate() {
            let recorded = name(&format!("hidden_states.{depth}"));
            if goldens.has(&recorded) {
                goldens.check(&recorded, state.clone(), TOLERANCE);
                depths += 1;
            }
        }
        assert!(depths >= 4, "{part}: {depths} depths compared");

        // Clip skip: the last state, normalised, is the output.
        let last = encoder.final_norm(first.from_last(0).unwrap());
        crate::common::assert_close(
            part,
            &crate::common::goldens::to_f64(last),
            &crate::common::goldens::to_f64(first.last.clone()),
            1e-6,
        );
        assert!(first.from_last(first.hidden_states.len()).is_none());
    }
}

#[test]
fn prefix_is_optional() {
    let path = "models/sd15/text_encoder";
    let checkpoint = models::checkpoint(path);
    let prefixed = checkpoint.tensors().filter(|(name, _)| name.starts_with("text_model.")).count();
    let bare = checkpoint.tensors().count() - prefixed;
    println!("{prefixed} names with the prefix, {bare} without");

    // The same weights under the other spelling.
    let file = safetensors_renamed(path, |name| match name.strip_prefix("text_model.") {
        Some(bare) => bare.to_owned(),
        None => format!("text_model.{name}"),
    });
    let device = device();
    let config = ClipConfig::parse(&models::config_text(path)).unwrap();
    let empty = ClipText::new(&config, &device).unwrap();
    let other = encaustic_engine::weights::Checkpoint::single("renamed", file).unwrap();
    let keys = ClipText::keys();
    let other = encaustic_engine::weights::load_into(empty, path, &other, &keys, burn::tensor::FloatDType::F32, &device);
    let ids = vec![vec![3, 4, 5]];
    let here = text_encoder(path).forward(&ids, &device).unwrap().last;
    let there = other.unwrap().forward(&ids, &device).unwrap().last;
    assert_eq!(crate::common::goldens::to_f64(here), crate::common::goldens::to_f64(there));
}

fn safetensors_renamed(path: &str, rename: impl Fn(&str) -> String) -> Vec<u8> {
    let bytes = std::fs::read(models::folder(path).join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter().map(|(name, view)| (rename(&name), view));
    safetensors::serialize(tensors.collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn tokens_are_checked() {
    let encoder = text_encoder("models/sd15/text_encoder");
    let vocab = 816;
    let device = device();
    let refusal = |prompts: &[Vec<u32>]| encoder.forward(prompts, &device).unwrap_err();
    assert_eq!(refusal(&[]), TokensError::Ragged(vec![]));
    assert_eq!(refusal(&[vec![]]), TokensError::Ragged(vec![0]));
    assert_eq!(refusal(&[vec![1, 2], vec![1]]), TokensError::Ragged(vec![2, 1]));
    assert_eq!(refusal(&[vec![0; 78]]), TokensError::TooLong { tokens: 78, positions: 77 });
    assert_eq!(refusal(&[vec![0, vocab]]), TokensError::Unknown { id: vocab, vocab: vocab as usize });
    assert_eq!(refusal(&[vec![u32::MAX]]), TokensError::Unknown { id: u32::MAX, vocab: vocab as usize });
}
