use super::*;
use crate::{evaluate, held_back_surface_patches, surface_patches};

fn tiny() -> TrainingSettings {
    let architecture =
        ShapeArchitecture { encoder_point: vec![16, 32], encoder_dense: vec![32, 24], nif_width: 32, nif_hidden: 2 };
    let schedule = Schedule { patches: 8, queries: 32, learning_rate: 2e-3, warm_up: 10, ..Schedule::fast(600) };
    TrainingSettings {
        architecture,
        schedule,
        seed: 3,
        surface_share: 1.0,
        turn: true,
        encoder_input: EncoderInput::Patch,
    }
}

fn surfaces() -> TrainingData {
    TrainingData::new(vec![], surface_patches(1, 200, 200)).unwrap()
}

#[test]
fn training_closes_much_of_what_can_be_closed_on_surfaces_it_has_not_seen() {
    let data = surfaces();
    let mut trainer = Trainer::new(tiny()).unwrap();
    let held_back = held_back_surface_patches(1000, 24, 200);
    let before = evaluate(&trainer.expert(&data).unwrap(), &held_back, 5);
    while !trainer.is_done() {
        trainer.step(&data).unwrap();
    }
    let after = evaluate(&trainer.expert(&data).unwrap(), &held_back, 5);
    assert!(after.analytic < after.unmoved);
    // A few seconds of training of a tiny expert: more than a third of the way, from nowhere.
    assert!(before.closed_share < 0.0 && after.closed_share > 0.35, "{before:?} {after:?}");
}

#[test]
fn one_thread_and_many_give_the_same_expert() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let data = surfaces();
            let mut trainer = Trainer::new(tiny()).unwrap();
            for _ in 0..8 {
                trainer.step(&data).unwrap();
            }
            trainer.host_state().unwrap().into_owned()
        })
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn the_encoder_sees_the_patch_or_as_the_reference_has_it_the_targets() {
    let data = surfaces();
    let batch = data.batch(&tiny(), 8, 32, 0);
    assert_eq!(batch.encoder_points(8, EncoderInput::Patch), (&batch.points[..], 200));
    assert_eq!(batch.encoder_points(8, EncoderInput::Targets), (&batch.targets[..], 32));
    // 32 queries of 200 points: some of their targets are the same point.
    let mut distinct: Vec<_> = batch.targets[..32].iter().map(|p| p.map(f32::to_bits)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() < 32, "{}", distinct.len());
    let after_a_step = |encoder_input| {
        let mut trainer = Trainer::new(TrainingSettings { encoder_input, ..tiny() }).unwrap();
        trainer.step(&data).unwrap();
        (trainer.expert(&data).unwrap().tensors(), trainer.host_state().unwrap().into_owned())
    };
    let (patch, targets) = (after_a_step(EncoderInput::Patch), after_a_step(EncoderInput::Targets));
    assert_ne!(patch.1.parameters, targets.1.parameters, "both training and the statistics differ");
    assert_ne!(patch.0, targets.0);
}

#[test]
fn settings_from_before_the_encoder_s_input_could_be_chosen_are_read() {
    let mut old = serde_json::to_value(tiny()).unwrap();
    old.as_object_mut().unwrap().remove("encoder_input").unwrap();
    assert_eq!(serde_json::from_value::<TrainingSettings>(old).unwrap(), tiny());
}

#[test]
fn the_learning_rate_rises_and_then_falls_to_its_last_share() {
    let schedule = Schedule { learning_rate: 1e-3, final_share: 0.05, warm_up: 9, ..Schedule::fast(1000) };
    assert!((schedule.learning_rate_at(0) - 1e-4).abs() < 1e-7);
    assert!((schedule.learning_rate_at(9) - 1e-3).abs() < 1e-5);
    // Halfway down half a cosine: the mean of both ends.
    assert!((schedule.learning_rate_at(500) - 0.525e-3).abs() < 1e-7);
    assert!((schedule.learning_rate_at(1000) - 0.05e-3).abs() < 1e-8);
    let paper = Schedule::paper(3200);
    assert_eq!((paper.steps, paper.learning_rate_at(0), paper.learning_rate_at(59_999)), (60_000, 1e-4, 1e-4));
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let refused = |change: fn(&mut TrainingSettings)| {
        let mut settings = tiny();
        change(&mut settings);
        Trainer::new(settings).unwrap_err().to_string()
    };
    assert!(refused(|s| s.schedule.patches = 1).contains("`patches` is 1"));
    assert!(refused(|s| s.schedule.steps = 0).contains("`steps` is 0"));
    assert!(refused(|s| s.schedule.learning_rate = f32::NAN).contains("`learning_rate`"));
    assert!(refused(|s| s.surface_share = 1.5).contains("`surface_share`"));
    assert!(refused(|s| s.architecture.nif_width = 0).contains("architecture"));
    assert!(matches!(TrainingData::new(vec![], vec![]), Err(TrainError::TooFewPatches { .. })));
    let mixed = TrainingData::new(surface_patches(1, 1, 50), surface_patches(1, 1, 60)).unwrap_err();
    assert!(matches!(mixed, TrainError::PatchSizesDiffer { .. }), "{mixed}");
}
