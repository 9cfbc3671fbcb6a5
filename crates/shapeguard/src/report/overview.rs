//! The overview of a model for several categories: means, each category with a link to its own report, and where scans are
//! routed to.

use std::collections::BTreeMap;
use std::path::Path;

use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;
use shapeguard_data::atomic_write;

use super::{ReportError, environment};
use crate::evaluation::Channel;
use crate::evaluation::routed::{CategoryEvaluation, MeanMetrics, RoutedSummary, RoutingCounts, StrangerEvaluation};

/// What an overview shows.
#[derive(Clone, Debug)]
pub struct Overview<'a> {
    /// The categories that were tested.
    pub categories: &'a [CategoryEvaluation],
    /// Categories that the model does not know.
    pub strangers: &'a [StrangerEvaluation],
    /// Categories of the model that were not tested.
    pub not_tested: &'a [String],
    /// All together.
    pub summary: &'a RoutedSummary,
    /// Names of the categories' own reports, in the overview's folder.
    pub files: BTreeMap<String, String>,
}

/// One line of the table of figures.
#[derive(Serialize)]
struct Row {
    name: String,
    /// Path of its report, as a link has it.
    link: Option<String>,
    i_auroc: [Option<f64>; 3],
    p_auroc: Option<f64>,
    aupro_0_3: Option<f64>,
    aupro_0_01: Option<f64>,
    good_rejected: Option<String>,
    defective_rejected: Option<String>,
    not_judged: usize,
}

/// One line of the table of routing.
#[derive(Serialize)]
struct Routed {
    name: String,
    is_known: bool,
    good: String,
    defective: String,
    unknown: usize,
    elsewhere: String,
    is_flawless: bool,
}

/// Renders the overview.
///
/// # Errors
/// If the template fails.
pub fn render_overview(overview: &Overview<'_>) -> Result<String, ReportError> {
    let render = |e: minijinja::Error| ReportError::Render(format!("{e:#}"));
    let mut environment = environment();
    environment.add_template("overview.html", include_str!("overview.html.jinja")).map_err(render)?;
    let rows: Vec<Row> = overview.categories.iter().map(|category| row(category, &overview.files)).collect();
    let known =
        overview.categories.iter().map(|c| routed(&c.evaluation.name, &c.routing.good, &c.routing.defective, true));
    let strangers = overview.strangers.iter().map(|s| routed(&s.name, &s.routing.good, &s.routing.defective, false));
    environment
        .get_template("overview.html")
        .map_err(render)?
        .render(context! {
            rows => Serde(rows),
            routed => Serde(known.chain(strangers).collect::<Vec<_>>()),
            mean => Serde(figures("mean", &overview.summary.means)),
            summary => Serde(overview.summary),
            first => Serde(overview.categories.first().map(|category| &category.evaluation)),
            strangers_unknown => overview.summary.strangers.all().unknown_share(),
            not_tested => overview.not_tested.join(", "),
            version => env!("CARGO_PKG_VERSION"),
        })
        .map_err(render)
}

/// Renders the overview and writes it.
///
/// # Errors
/// As [`render_overview`], or if the file exists and `overwrite` is off.
pub fn write_overview(path: &Path, overview: &Overview<'_>, overwrite: bool) -> Result<(), ReportError> {
    let html = render_overview(overview)?;
    atomic_write(path, overwrite, |file| std::io::Write::write_all(file, html.as_bytes()))?;
    Ok(())
}

fn figures(name: &str, means: &[MeanMetrics]) -> Row {
    let of = |channel: Channel| means.iter().find(|means| means.channel == channel);
    let fused = of(Channel::Fused);
    Row {
        name: name.to_owned(),
        link: None,
        i_auroc: Channel::ALL.map(|channel| of(channel).and_then(|means| means.i_auroc)),
        p_auroc: fused.and_then(|means| means.p_auroc),
        aupro_0_3: fused.and_then(|means| Some(means.aupro?[0])),
        aupro_0_01: fused.and_then(|means| Some(means.aupro?[6])),
        good_rejected: None,
        defective_rejected: None,
        not_judged: 0,
    }
}

fn row(category: &CategoryEvaluation, files: &BTreeMap<String, String>) -> Row {
    let evaluation = &category.evaluation;
    let means = RoutedSummary::of(std::slice::from_ref(category), &[]).means;
    let rejected = |is_good: bool| {
        let (rejected, judged) = evaluation.rejected(is_good);
        format!("{rejected} of {judged}")
    };
    Row {
        link: files.get(&evaluation.name).map(|file| percent_encoded(file)),
        good_rejected: Some(rejected(true)),
        defective_rejected: Some(rejected(false)),
        not_judged: evaluation.not_judged,
        ..figures(&evaluation.name, &means)
    }
}

fn routed(name: &str, good: &RoutingCounts, defective: &RoutingCounts, is_known: bool) -> Routed {
    let wanted = |counts: &RoutingCounts| if is_known { counts.own } else { counts.unknown };
    let mut elsewhere = BTreeMap::<&str, usize>::new();
    for (other, count) in good.elsewhere.iter().chain(&defective.elsewhere) {
        *elsewhere.entry(other).or_default() += count;
    }
    let text = elsewhere.iter().map(|(other, count)| format!("{count} to {other}")).collect::<Vec<_>>();
    Routed {
        name: name.to_owned(),
        is_known,
        good: format!("{} of {}", wanted(good), good.scans),
        defective: format!("{} of {}", wanted(defective), defective.scans),
        unknown: good.unknown + defective.unknown,
        elsewhere: text.join(", "),
        is_flawless: wanted(good) == good.scans && wanted(defective) == defective.scans,
    }
}

/// A file's name as the path of a link: what has a meaning there, or is no ASCII, is escaped.
fn percent_encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_survive_odd_names() {
        assert_eq!(percent_encoded("report-gear.html"), "report-gear.html");
        assert_eq!(percent_encoded("a b#?%\u{e4}/.html"), "a%20b%23%3F%25%C3%A4%2F.html");
    }
}
