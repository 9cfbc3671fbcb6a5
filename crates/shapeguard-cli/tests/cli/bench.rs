//! `bench`: what is measured, not how fast it was.

use serde_json::Value;

use crate::support::{fixture, run};

#[test]
fn bench_measures_a_model_stage_by_stage() {
    let fixture = fixture();
    let scans = fixture.data.join("test/good");
    let printed: Value = serde_json::from_str(&run!["bench", &fixture.model, &scans, "--json"].expect(0)).unwrap();
    let machine = &printed["machine"];
    for limit in ["fma_gflops_per_cpu_second", "fma_gflops_all_threads", "read_gb_per_second"] {
        assert!(machine[limit].as_f64().unwrap() > 0.0, "{machine}");
    }
    assert_eq!(printed["device"], "cpu");
    let [preset] = &printed["presets"].as_array().unwrap()[..] else { panic!("{printed}") };
    assert_eq!(preset["good_scans"], 4);
    assert_eq!(preset["fit"], Value::Null);
    assert_eq!(preset["model_bytes"].as_u64().unwrap(), std::fs::metadata(&fixture.model).unwrap().len());
    let inspection = &preset["inspection"];
    let stages = inspection["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "foreground",
            "resampling",
            "patches",
            "patch inputs",
            "shape encoder",
            "colour network",
            "SDF search, sparse codes",
            "signed distances",
            "RGB search, sparse codes",
            "maps",
            "fusion, scores"
        ]
    );
    for stage in stages {
        assert!(stage["wall_seconds"].as_f64().unwrap() > 0.0 && stage["runs"].as_u64().unwrap() > 0, "{stage}");
    }
    // A patch of k points takes k times the multiply-adds of a query and some for the patch itself.
    let patches = inspection["patches"].as_u64().unwrap();
    let distances = stages[7]["multiply_adds"].as_u64().unwrap();
    assert!(patches > 0 && distances.is_multiple_of(patches) && distances / patches > 30_000, "{inspection}");
    assert!(preset["stream"]["scans"].as_u64().unwrap() >= 1 && preset["stream"]["ratio"].as_f64().unwrap() > 0.0);
}

#[test]
fn bench_makes_its_own_input_and_prints_a_table() {
    let bench = ["bench", "--preset", "default", "--category", "cork", "--train", "2", "--stream", "1"];
    let [command, preset, name, category, cork, train, two, stream, one] = bench;
    let table = run![command, preset, name, category, cork, train, two, stream, one].expect(0);
    for expected in [
        "limits: ",
        "Preset `default`",
        "800 rows x 800 columns",
        "| signed distances |",
        "| fit to 2 scans |",
        "stream of 1 scan:",
    ] {
        assert!(table.contains(expected), "{expected}: {table}");
    }
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    for (args, expected) in [
        (["--category", "teapot"], "simulate --list"),
        (["--train", "1"], "expected 2 to 2000"),
        (["--train", "18446744073709551615"], "expected 2 to 2000"),
        (["--stream", "0"], "expected 1 to 2000"),
        (["--stream", "2001"], "expected 1 to 2000"),
        (["--preset", "fast"], "built in: best, default, paper"),
    ] {
        let error = run!["bench", args[0], args[1]].error();
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}
