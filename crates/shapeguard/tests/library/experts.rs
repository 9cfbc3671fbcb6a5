//! Which experts settings and model files name, and what is said when they are not at hand.

use shapeguard::experts::{ExpertIdentity, Experts, ExpertsError};
use shapeguard_core::settings::{ExpertSettings, Preset, Settings};

use crate::support::{real_experts, tiny_shape_expert};

fn refused(settings: ExpertSettings) -> ExpertsError {
    Experts::from_settings(&settings).expect_err("these experts should not be had")
}

fn default() -> ExpertSettings {
    Settings::preset(Preset::Default).experts
}

#[test]
fn built_in_experts_are_known_by_name_and_digest() {
    for preset in [Preset::Paper, Preset::Default, Preset::Best] {
        let settings = Settings::preset(preset).experts;
        let experts = Experts::from_settings(&settings).unwrap();
        assert!(experts.shape_identity.built_in && experts.appearance_identity.built_in);
        assert_eq!(experts.shape_identity.name, settings.shape);
        assert_eq!(experts.appearance_identity.sha256.len(), 64);
        assert!(experts.shape_file.is_none() && experts.appearance_file.is_none());
        let restored = Experts::restore(&experts.shape_identity, None, &experts.appearance_identity, None).unwrap();
        assert_eq!(restored.shape_identity, experts.shape_identity);
        assert_eq!(restored.shape.feature_dim(), experts.shape.feature_dim());
    }
}

#[test]
fn an_expert_from_a_file_keeps_its_file() {
    let (_, experts) = real_experts();
    let bytes = std::fs::read(tiny_shape_expert()).unwrap();
    assert_eq!(experts.shape_identity.name, "shape_tiny.safetensors", "without the folders of one machine");
    assert!(!experts.shape_identity.built_in);
    assert_eq!(experts.shape_file.as_deref(), Some(&bytes[..]));
}

#[test]
fn unknown_names_say_what_there_is() {
    let error = refused(ExpertSettings { shape: "huge".into(), ..default() }).to_string();
    assert!(error.contains("huge") && error.contains("`paper`, `compact`, or the path"), "{error}");
    let error = refused(ExpertSettings { appearance: "resnet".into(), ..default() }).to_string();
    assert!(error.contains("resnet") && error.contains("`efficientnet-lite0`, or the path"), "{error}");
    let folder = refused(ExpertSettings { shape: env!("CARGO_MANIFEST_DIR").into(), ..default() }).to_string();
    assert!(folder.contains("not a regular file"), "{folder}");
}

#[test]
fn files_that_hold_no_weights_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors").display().to_string();
    std::fs::write(&path, b"<html>not found</html>").unwrap();
    let shape = refused(ExpertSettings { shape: path.clone(), ..default() });
    assert!(matches!(shape, ExpertsError::Shape { .. }) && shape.to_string().contains(&path), "{shape}");
    let appearance = refused(ExpertSettings { appearance: path.clone(), ..default() });
    assert!(matches!(appearance, ExpertsError::Appearance { .. }) && appearance.to_string().contains(&path));

    // Sparse: 2 GiB that take no room.
    std::fs::File::create(&path).unwrap().set_len(2 << 30).unwrap();
    let large = refused(ExpertSettings { shape: path, ..default() });
    assert!(matches!(large, ExpertsError::TooLarge { bytes: 2_147_483_648, .. }), "{large}");
}

#[test]
fn a_model_that_needs_other_experts_says_which() {
    let (_, experts) = real_experts();
    let file = || experts.shape_file.as_deref().map(<[u8]>::to_vec);
    let restore = |shape: &ExpertIdentity, file: Option<Vec<u8>>, appearance: &ExpertIdentity| {
        Experts::restore(shape, file, appearance, None).unwrap_err()
    };
    let (shape, appearance) = (&experts.shape_identity, &experts.appearance_identity);

    let other = ExpertIdentity { sha256: "ab".repeat(32), ..appearance.clone() };
    let error = restore(shape, file(), &other);
    assert!(matches!(error, ExpertsError::OtherBuiltIn { kind: "appearance", .. }));
    let message = error.to_string();
    assert!(message.contains(&"ab".repeat(32)) && message.contains(&appearance.sha256), "{message}");
    assert!(message.contains("fit the model again"), "{message}");

    let unknown = ExpertIdentity { name: "efficientnet-lite9".into(), ..appearance.clone() };
    let message = restore(shape, file(), &unknown).to_string();
    assert!(message.contains("efficientnet-lite9") && message.contains("update Shapeguard"), "{message}");
    let unknown = ExpertIdentity { name: "huge".into(), built_in: true, ..shape.clone() };
    assert!(matches!(restore(&unknown, None, appearance), ExpertsError::UnknownBuiltIn { kind: "shape", .. }));

    // Its own weights are missing, are others, or are there although the program carries them.
    for (identity, bytes) in [
        (shape.clone(), None),
        (shape.clone(), Some(vec![1, 2, 3])),
        (ExpertIdentity { name: "compact".into(), built_in: true, ..shape.clone() }, file()),
    ] {
        let error = restore(&identity, bytes, appearance);
        assert!(matches!(error, ExpertsError::Altered { kind: "shape", .. }), "{error}");
        assert!(error.to_string().contains(&identity.name), "{error}");
    }
}
