//! The `shapeguard` command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    shapeguard_cli::main()
}
