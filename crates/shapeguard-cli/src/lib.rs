//! What the `shapeguard` command line is made of, subcommand by subcommand.
//!
//! The commands parse, call and print; what they call is in the library crates. Results go to stdout, progress and logs
//! to stderr. Exit codes: 0 for success (`inspect`: all scans good), 1 for rejected scans, 2 for errors and scans that
//! could not be judged.

pub mod bench;
pub mod demo;
pub mod device;
pub mod evaluate;
pub mod fit;
pub mod history;
pub mod info;
pub mod inspect;
pub mod output;
pub mod preset;
pub mod progress;
pub mod reproduce;
pub mod scans;
pub mod serve;
pub mod simulate;
pub mod station;
#[cfg(feature = "train")]
pub mod train_expert;
pub mod watch;
pub mod weights;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};
use shapeguard_data::DataError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use progress::Bars;

/// Widest line of the help texts.
const HELP_COLUMNS: usize = 100;
/// Position of the options that every command has, behind its own.
const LATE: usize = 900;
/// What the list of commands says of `train-expert`, whether it is built in or not.
pub(crate) const TRAIN_EXPERT_ABOUT: &str =
    "Train the shape expert, or measure one (in builds with the feature `train`)";

/// Finds defects on manufactured parts from one scan of a 3D camera, learning from good parts only.
#[derive(Debug, Parser)]
#[command(
    name = "shapeguard",
    version,
    max_term_width = HELP_COLUMNS,
    disable_help_subcommand = true,
    after_help = "Example:\n  shapeguard demo\n  shapeguard fit parts/good -o part.shapeguard\n  shapeguard inspect part.shapeguard parts/new/*.ply --out pictures\n\nEnvironment:\n  RUST_LOG            what is logged, like debug or shapeguard=info\n  RAYON_NUM_THREADS   threads to use; all cores unless set\n\nExit codes: 0 success (inspect: all scans good), 1 some scans rejected, 2 an error or scans not judged."
)]
struct Cli {
    /// Log more: -v for what is done, -vv for details (RUST_LOG overrides)
    #[arg(short, long, action = ArgAction::Count, global = true, conflicts_with = "quiet", display_order = LATE)]
    verbose: u8,
    /// No progress, and of the log errors only
    #[arg(short, long, global = true, display_order = LATE)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Simulate(simulate::SimulateArgs),
    Fit(fit::FitArgs),
    Inspect(inspect::InspectArgs),
    Evaluate(evaluate::EvaluateArgs),
    Bench(bench::BenchArgs),
    Reproduce(Box<reproduce::ReproduceArgs>),
    Serve(Box<serve::ServeArgs>),
    Watch(Box<watch::WatchArgs>),
    Token(serve::TokenArgs),
    History(history::HistoryArgs),
    Info(info::InfoArgs),
    Preset(preset::PresetArgs),
    Weights(weights::WeightsArgs),
    #[cfg(feature = "train")]
    TrainExpert(Box<train_expert::TrainExpertArgs>),
    // Listed all the same, so that who needs it learns how to get it, and the list of commands is one in both builds.
    #[cfg(not(feature = "train"))]
    #[command(about = TRAIN_EXPERT_ABOUT, disable_help_flag = true)]
    TrainExpert {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        _anything: Vec<std::ffi::OsString>,
    },
}

/// How a command ended that met no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Everything asked for was done; all inspected scans are good.
    Success,
    /// Some scans were rejected.
    Rejected,
    /// Some scans were not judged, or their pictures not written.
    Incomplete,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Success => 0,
            Outcome::Rejected => 1,
            Outcome::Incomplete => 2,
        })
    }
}

/// Parses the process's arguments, runs the command, and reports its errors.
pub fn main() -> ExitCode {
    // Prints help, version and usage errors, the last with exit code 2.
    let cli = Cli::parse();
    let bars = if cli.quiet { Bars::hidden() } else { Bars::new() };
    start_log(cli.verbose, cli.quiet, &bars);
    match run(cli.command, &bars, cli.quiet) {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            // Whoever reads the results has had enough; that is no news, but not success either.
            if !is_broken_pipe(&error) {
                report(&error);
            }
            ExitCode::from(2)
        }
    }
}

fn run(command: Command, bars: &Bars, is_quiet: bool) -> Result<Outcome> {
    let done = |()| Outcome::Success;
    match command {
        Command::Demo(args) => demo::run(&args, bars),
        Command::Simulate(args) => simulate::run(&args, bars).map(done),
        Command::Fit(args) => fit::run(&args, bars).map(done),
        Command::Inspect(args) => inspect::run(&args, bars),
        Command::Evaluate(args) => evaluate::run(&args, bars),
        Command::Bench(args) => bench::run(&args, bars).map(done),
        Command::Reproduce(args) => reproduce::run(&args, bars).map(done),
        Command::Serve(args) => serve::run(&args).map(done),
        Command::Watch(args) => watch::run(&args, is_quiet).map(done),
        Command::Token(args) => serve::run_token(&args).map(done),
        Command::History(args) => history::run(&args, bars).map(done),
        Command::Info(args) => info::run(&args).map(done),
        Command::Preset(args) => preset::run(&args).map(done),
        Command::Weights(args) => weights::run(&args).map(done),
        #[cfg(feature = "train")]
        Command::TrainExpert(args) => train_expert::run(&args, bars).map(done),
        #[cfg(not(feature = "train"))]
        Command::TrainExpert { .. } => anyhow::bail!(
            "this program was built without `train-expert`, since training needs a tensor framework; in a checkout of the source run\n  cargo run --release --features train -- train-expert --help"
        ),
    }
}

fn start_log(verbose: u8, quiet: bool, bars: &Bars) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, _) => LevelFilter::DEBUG,
    };
    // `lossy`: a misspelt RUST_LOG must not stop an inspection.
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .with_writer(bars.log_writer())
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

/// Prints an error with its causes; those that the message before them quotes are not repeated.
fn report(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            text += &format!("\n  caused by: {cause}");
            last = cause;
        }
    }
    let hint = error.chain().filter_map(|cause| cause.downcast_ref::<DataError>()).find_map(|error| match error {
        DataError::Exists { .. } => Some("pass --force to overwrite"),
        _ => None,
    });
    if let Some(hint) = hint {
        text += &format!("\n  hint: {hint}");
    }
    // Nobody is left to be told if stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command) {
            if command.is_disable_help_flag_set() {
                // Stands for a command that is not built in: it has no help of its own.
                return;
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let is_leaf_of_weights = command.get_name() == "list";
            assert!(is_leaf_of_weights || help.contains("Example:\n  shapeguard "), "{}", command.get_name());
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_broken_pipe_is_found_below_its_context() {
        let error = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_broken_pipe(&error));
        assert!(!is_broken_pipe(&anyhow::anyhow!("another")));
    }
}
