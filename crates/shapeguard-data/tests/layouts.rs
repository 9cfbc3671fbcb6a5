//! Which scans a folder means, and what is said about folders that mean none.

mod support;

use std::path::{Path, PathBuf};

use shapeguard_data::{
    DataError, Dataset, Datasets, GOOD, ReadOptions, ScanSource, TruthRule, category_roots, discover_arriving,
    discover_scans, read_scan, read_truth,
};
use support::{SIZE, golden, scan};

/// A scratch folder that golden files are put into.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn put(&self, name: &str, relative: &str) -> &Self {
        let target = self.path(relative);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(golden(name), target).unwrap();
        self
    }

    fn scan(&self, folder: &str, name: &str) -> &Self {
        self.put("xyz_lzw.tiff", &format!("{folder}/xyz/{name}.tiff"))
            .put("rgb.png", &format!("{folder}/rgb/{name}.png"))
    }

    fn category(root: &str) -> Self {
        let scratch = Self::new();
        for name in ["002", "000", "001"] {
            scratch.scan(&format!("{root}train/good"), name);
        }
        scratch.scan(&format!("{root}validation/good"), "000");
        scratch.scan(&format!("{root}test/good"), "000");
        for name in ["001", "000"] {
            scratch.scan(&format!("{root}test/crack"), name);
            scratch.put("truth.png", &format!("{root}test/crack/gt/{name}.png"));
        }
        scratch.put("intrinsics.json", &format!("{root}calibration/camera_parameters.json"));
        std::fs::write(scratch.path(&format!("{root}.hidden")), "").unwrap();
        scratch
    }
}

fn open_error(path: &Path) -> String {
    Dataset::open(path).unwrap_err().to_string()
}

#[test]
fn an_mvtec_category_is_recognised() {
    let scratch = Scratch::category("bagel/");
    let dataset = Dataset::open(&scratch.path("bagel")).unwrap();
    assert_eq!(dataset.name, "bagel");
    let names: Vec<&str> = dataset.train.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names, ["000", "001", "002"]);
    assert_eq!(dataset.validation.len(), 1);
    let tests: Vec<(&str, &str, bool)> =
        dataset.test.iter().map(|t| (t.defect.as_str(), t.sample.name.as_str(), t.truth.is_some())).collect();
    assert_eq!(tests, [("crack", "000", true), ("crack", "001", true), (GOOD, "000", false)]);
    for sample in &dataset.train {
        assert_eq!(read_scan(&sample.source, &ReadOptions::default()).unwrap(), scan());
    }
    let truth = dataset.test[0].truth.as_ref().unwrap();
    assert_eq!(read_truth(truth, SIZE, TruthRule::AboveZero).unwrap().count(), 4);
}

#[test]
fn good_tests_may_have_masks_and_defects_may_have_none() {
    let scratch = Scratch::category("");
    scratch.put("truth.png", "test/good/gt/000.png").scan("test/dent", "000");
    let dataset = Dataset::open(&scratch.path("")).unwrap();
    let truths: Vec<(&str, bool)> = dataset.test.iter().map(|t| (t.defect.as_str(), t.truth.is_some())).collect();
    assert_eq!(truths, [("crack", true), ("crack", true), ("dent", false), (GOOD, true)]);
}

#[test]
fn a_split_without_good_and_missing_splits() {
    let scratch = Scratch::new();
    scratch.scan("train", "a");
    let dataset = Dataset::open(&scratch.path("")).unwrap();
    assert_eq!((dataset.train.len(), dataset.validation.len(), dataset.test.len()), (1, 0, 0));
}

#[test]
fn a_bare_folder_is_recognised() {
    let scratch = Scratch::new();
    scratch.scan("part", "b").scan("part", "a");
    let dataset = Dataset::open(&scratch.path("part")).unwrap();
    assert_eq!(dataset.name, "part");
    assert_eq!(dataset.train.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(dataset.validation.is_empty() && dataset.test.is_empty());
}

#[test]
fn folders_of_organized_clouds_are_recognised() {
    for (name, target) in [("binary.pcd", "a.pcd"), ("little.ply", "ply/a.ply"), ("deflated.npz", "npz/a.npz")] {
        let scratch = Scratch::new();
        scratch.put(name, target).put(name, &target.replace('a', "b")).put("README.md", "notes.md");
        let dataset = Dataset::open(&scratch.path("")).unwrap();
        assert_eq!(dataset.train.len(), 2, "{target}");
        assert_eq!(read_scan(&dataset.train[0].source, &ReadOptions::default()).unwrap(), scan());
    }
    let scratch = Scratch::new();
    scratch.put("cloud_only.pcd", "a.pcd").put("rgb.png", "a.png");
    let dataset = Dataset::open(&scratch.path("")).unwrap();
    assert_eq!(read_scan(&dataset.train[0].source, &ReadOptions::default()).unwrap(), scan());
}

#[test]
fn depth_folders_find_their_intrinsics() {
    let scratch = Scratch::new();
    scratch.put("depth.png", "part/train/good/depth/0.png").put("rgb.png", "part/train/good/rgb/0.png");
    let read = |scratch: &Scratch| {
        let dataset = Dataset::open(&scratch.path("part")).unwrap();
        read_scan(&dataset.train[0].source, &ReadOptions::default())
    };
    assert!(matches!(read(&scratch).unwrap_err(), DataError::MissingIntrinsics { .. }));
    scratch.put("intrinsics.json", "part/intrinsics.json");
    assert_eq!(read(&scratch).unwrap().size(), SIZE);
    let found = discover_scans(&scratch.path("part/train/good/depth/0.png")).unwrap();
    assert_eq!(found, [Dataset::open(&scratch.path("part")).unwrap().train[0].source.clone()]);
}

#[test]
fn empty_folders_are_named() {
    let scratch = Scratch::new();
    assert!(matches!(Dataset::open(&scratch.path("")).unwrap_err(), DataError::EmptyFolder { .. }));
    assert!(matches!(discover_scans(&scratch.path("")).unwrap_err(), DataError::EmptyFolder { .. }));
    for folder in ["part/xyz", "part/rgb"] {
        std::fs::create_dir_all(scratch.path(folder)).unwrap();
    }
    let error = open_error(&scratch.path("part"));
    assert!(error.contains("xyz") && error.contains("empty"), "{error}");
    std::fs::create_dir_all(scratch.path("category/train/good")).unwrap();
    assert!(open_error(&scratch.path("category")).contains("good"));
    assert!(open_error(&scratch.path("no such folder")).contains("no such folder"));
}

#[test]
fn of_a_folder_that_is_being_filled_what_is_missing_is_still_to_come() {
    let scratch = Scratch::new();
    let found = |scratch: &Scratch| {
        let sources = discover_arriving(&scratch.path("")).unwrap();
        let relative = |path: &Path| path.strip_prefix(scratch.path("")).unwrap().to_string_lossy().into_owned();
        sources.iter().map(|s| (relative(&s.cloud), s.rgb.as_deref().map(relative))).collect::<Vec<_>>()
    };
    assert_eq!(found(&scratch), []);
    scratch.put("rgb.png", "rgb/0.png");
    let whole = [("xyz/0.tiff".to_owned(), Some("rgb/0.png".to_owned()))];
    assert_eq!(found(&scratch), whole, "without a folder of clouds");
    scratch.put("xyz_lzw.tiff", "xyz/0.tiff");
    assert_eq!(found(&scratch), whole);
    std::fs::remove_dir_all(scratch.path("rgb")).unwrap();
    assert_eq!(found(&scratch), whole, "without a folder of images");
    // The strict rule is the same for whole folders, and refuses what lacks a modality.
    assert!(discover_scans(&scratch.path("")).is_err());
    let by_day = Scratch::new();
    by_day.scan("monday", "0");
    by_day.scan("tuesday", "0");
    assert_eq!(found(&by_day).len(), 2);
    assert!(discover_arriving(&by_day.path("none")).is_err());
}

#[test]
fn a_file_in_place_of_its_folder_is_named() {
    let scratch = Scratch::new();
    scratch.scan("part", "000");
    let cloud = scratch.path("part/xyz/000.tiff");
    let expected = "000.tiff: expected a folder of scans, found a single file; give the folder that holds the scans";
    assert!(open_error(&cloud).ends_with(expected), "{}", open_error(&cloud));
    let error = category_roots(&cloud).unwrap_err().to_string();
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn nothing_recognised_says_what_was_looked_for_and_what_is_there() {
    let scratch = Scratch::new();
    scratch.put("README.md", "notes.md").put("README.md", "sub/notes.md");
    let error = open_error(&scratch.path(""));
    for part in ["train/good", "rgb/ and xyz/", "*.pcd", "notes.md", "sub"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(discover_scans(&scratch.path("")).unwrap_err().to_string().contains("notes.md"));
    let root = Scratch::category("bagel/");
    let error = open_error(&root.path(""));
    assert!(error.contains("the categories bagel: give one of them"), "{error}");
}

#[test]
fn a_missing_modality_is_named() {
    let scratch = Scratch::new();
    scratch.put("xyz_lzw.tiff", "a/xyz/0.tiff").put("rgb.png", "b/rgb/0.png");
    let error = open_error(&scratch.path("a"));
    assert!(error.contains("a folder rgb/ beside xyz/") && error.contains("both shape and colour"), "{error}");
    let error = open_error(&scratch.path("b"));
    assert!(error.contains("a folder xyz/ or depth/ beside rgb/"), "{error}");
}

#[test]
fn a_scan_without_its_other_file_is_listed_and_reading_it_names_what_is_missing() {
    let scratch = Scratch::new();
    scratch.scan("part", "000").put("rgb.png", "part/rgb/image.png").put("xyz_lzw.tiff", "part/xyz/lonely.tif");
    // What a missing image would be called is guessed from the others.
    scratch.put("xyz_lzw.tiff", "part/xyz/001.tiff").put("rgb.png", "part/rgb/001.JPG");
    let samples = Dataset::open(&scratch.path("part")).unwrap().train;
    assert_eq!(
        samples.iter().map(|sample| sample.name.as_str()).collect::<Vec<_>>(),
        ["000", "001", "image", "lonely"]
    );
    let sources: Vec<_> = samples.into_iter().map(|sample| sample.source).collect();
    assert_eq!(discover_scans(&scratch.path("part")).unwrap(), sources);

    sources[0].check_partner().unwrap();
    assert_eq!(read_scan(&sources[0], &ReadOptions::default()).unwrap(), scan());
    for (source, path, wanted, partner) in [
        (&sources[2], "part/rgb/image.png", "cloud", "part/xyz/image.tiff"),
        (&sources[3], "part/xyz/lonely.tif", "colour image", "part/rgb/lonely.png"),
    ] {
        let error = read_scan(source, &ReadOptions::default()).unwrap_err();
        let (path, partner) = (scratch.path(path), scratch.path(partner));
        let expected = format!(
            "{}: expected its {wanted} {}, found no such file; add it, or remove the file that stands alone",
            path.display(),
            partner.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(source.check_partner().unwrap_err().to_string(), expected);
    }
    // A scan of which nothing is there is another matter.
    let nothing = ScanSource::with_rgb(scratch.path("part/xyz/9.tiff"), scratch.path("part/rgb/9.png"));
    nothing.check_partner().unwrap();
    assert!(read_scan(&nothing, &ReadOptions::default()).unwrap_err().to_string().contains("cannot be read"));

    let scratch = Scratch::category("");
    std::fs::remove_file(scratch.path("test/crack/rgb/001.png")).unwrap();
    let tests = Dataset::open(&scratch.path("")).unwrap().test;
    assert_eq!(tests.len(), 3);
    assert!(tests[1].truth.is_some() && tests[1].sample.source.check_partner().is_err());
}

#[test]
fn masks_without_scans_and_scans_without_masks_are_named() {
    let scratch = Scratch::category("");
    std::fs::remove_file(scratch.path("test/crack/gt/001.png")).unwrap();
    let error = open_error(&scratch.path(""));
    assert!(error.contains("001") && error.contains("add the masks"), "{error}");
    scratch.put("truth.png", "test/crack/gt/001.png");
    for i in 0..9 {
        scratch.put("truth.png", &format!("test/crack/gt/lonely{i}.png"));
    }
    let error = open_error(&scratch.path(""));
    assert!(error.contains("lonely0") && error.contains("and 4 more"), "{error}");
    assert!(error.contains("remove these masks"), "{error}");
}

#[test]
fn two_files_of_one_name_are_refused() {
    let scratch = Scratch::new();
    scratch.scan("part", "000").put("xyz_lzw.tiff", "part/xyz/000.tif");
    let error = open_error(&scratch.path("part"));
    assert!(error.contains("000.tif") && error.contains("rename"), "{error}");
}

#[test]
fn categories_of_a_root() {
    let scratch = Scratch::category("bagel/");
    scratch.scan("apple/train/good", "0").put("README.md", "readme.txt");
    assert_eq!(category_roots(&scratch.path("")).unwrap(), [scratch.path("apple"), scratch.path("bagel")]);
    assert_eq!(category_roots(&scratch.path("bagel")).unwrap(), [scratch.path("bagel")]);
    let empty = Scratch::new();
    assert!(category_roots(&empty.path("")).unwrap_err().to_string().contains("train/good"));
}

#[cfg(unix)]
#[test]
fn categories_of_one_name_are_refused() {
    // A folder is called as it really is, so that links to folders of one name have it both.
    let (first, second, root) = (Scratch::category("bagel/"), Scratch::category("bagel/"), Scratch::new());
    for (scratch, link) in [(&first, "a"), (&second, "b")] {
        std::os::unix::fs::symlink(scratch.path("bagel"), root.path(link)).unwrap();
    }
    let error = Datasets::open(&root.path("")).unwrap_err().to_string();
    assert!(error.contains("two called \"bagel\"") && error.contains("rename"), "{error}");
}

#[test]
fn a_root_of_several_categories_is_told_from_one_kind_of_part() {
    let scratch = Scratch::category("bagel/");
    let error = Datasets::open(&scratch.path("")).unwrap_err().to_string();
    assert!(error.contains("the categories bagel: give one of them"), "one category is no root of several: {error}");
    scratch.scan("apple/train/good", "0").put("README.md", "readme.txt");
    let Datasets::Several(datasets) = Datasets::open(&scratch.path("")).unwrap() else { panic!("two categories") };
    let counts: Vec<_> = datasets.iter().map(|dataset| (dataset.name.as_str(), dataset.train.len())).collect();
    assert_eq!(counts, [("apple", 1), ("bagel", 3)]);
    for one in ["bagel", "bagel/test/crack", "apple/train/good"] {
        let Datasets::One(dataset) = Datasets::open(&scratch.path(one)).unwrap() else { panic!("{one} is one") };
        assert_eq!(dataset, Dataset::open(&scratch.path(one)).unwrap());
    }
    // A category that is not whole is an error, not left out.
    std::fs::create_dir_all(scratch.path("cherry/train/good")).unwrap();
    assert!(Datasets::open(&scratch.path("")).unwrap_err().to_string().contains("cherry"));
    assert!(matches!(Datasets::open(&scratch.path("nowhere")).unwrap_err(), DataError::Read { .. }));
}

#[test]
fn scans_are_found_from_files_and_folders() {
    let scratch = Scratch::category("");
    let one = discover_scans(&scratch.path("test/crack/xyz/001.tiff")).unwrap();
    assert_eq!(one[0].rgb, Some(scratch.path("test/crack/rgb/001.png")));
    assert_eq!(discover_scans(&scratch.path("test/crack")).unwrap().len(), 2);
    let all = discover_scans(&scratch.path("test")).unwrap();
    assert_eq!(all.len(), 3);
    assert_eq!(discover_scans(&scratch.path("")).unwrap(), all);
    assert!(discover_scans(&scratch.path("nothing")).is_err());

    scratch.put("cloud_only.pcd", "loose/a.pcd").put("rgb.png", "loose/a.png").put("binary.pcd", "loose/b.pcd");
    let loose = discover_scans(&scratch.path("loose/a.pcd")).unwrap();
    assert_eq!(loose[0].rgb, Some(scratch.path("loose/a.png")));
    assert_eq!(discover_scans(&scratch.path("loose/b.pcd")).unwrap()[0].rgb, None);
    for image in ["loose/a.png", "test/crack/rgb/001.png", "test/crack/gt/001.png"] {
        let error = discover_scans(&scratch.path(image)).unwrap_err().to_string();
        assert!(error.contains("give the cloud"), "{error}");
    }
}
