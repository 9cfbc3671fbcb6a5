//! The pages: Markdown and HTML of the tables, plots and pictures, and the same as JSON.

use std::io::Write;
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;
use shapeguard_data::{atomic_write, write_json};

use crate::error::ReproductionError;
use crate::plots;
use crate::results::{FIGURES, Shown};
use crate::sheets::COLUMNS;
use crate::tables::{Reproduction, RowKind, Table};

/// What a sheet's headings say.
const HEADINGS: [(Shown, &str, &str); 3] = [
    (Shown::Clearest, "Figures 7 and 8: what is found", "The scan of each kind of defect with the highest score."),
    (Shown::WorstMiss, "Figure 9: the worst misses", "The defective scans with the lowest scores."),
    (Shown::WorstFalseAlarm, "The worst false alarms", "The good scans with the highest scores."),
];

/// A plot on the pages.
#[derive(Serialize)]
struct Plot {
    title: &'static str,
    note: &'static str,
    file: String,
    svg: String,
}

impl Reproduction {
    /// Writes `reproduction.md`, `.json` and `.html` and the plots to the folder that has the pictures already.
    ///
    /// # Errors
    /// If something cannot be written or rendered.
    pub fn write(&self, folder: &Path) -> Result<(), ReproductionError> {
        let plots = self.plots()?;
        for plot in &plots {
            atomic_write(&folder.join(&plot.file), true, |file| file.write_all(plot.svg.as_bytes()))?;
        }
        let markdown = self.markdown(&plots);
        let html = self.html(&plots)?;
        atomic_write(&folder.join("reproduction.md"), true, |file| file.write_all(markdown.as_bytes()))?;
        write_json(&folder.join("reproduction.json"), self, true)?;
        atomic_write(&folder.join("reproduction.html"), true, |file| file.write_all(html.as_bytes()))?;
        Ok(())
    }

    fn plots(&self) -> Result<Vec<Plot>, ReproductionError> {
        let made = [
            (
                "Figure 6: AUPRO at seven limits",
                "Means over the categories; RGB is guided by shape.",
                "aupro-limits",
                plots::aupro_limits(&self.categories),
            ),
            (
                "Figure 10: scores of good and of defective scans",
                "Each dot is a test scan, blue and above if it is good, orange and below if it is defective.",
                "scores",
                plots::scores(&self.categories),
            ),
        ];
        let mut plots = Vec::new();
        for (title, note, name, svg) in made {
            if let Some(svg) = svg.map_err(ReproductionError::Render)? {
                plots.push(Plot { title, note, file: format!("{FIGURES}/{name}.svg"), svg });
            }
        }
        Ok(plots)
    }

    /// The page as Markdown.
    fn markdown(&self, plots: &[Plot]) -> String {
        let origin = &self.origin;
        let mut text = format!(
            "# Reproduction on {}\n\nShapeguard {}. Published figures are the paper's, on MVTec 3D-AD.\n",
            origin.dataset, self.program_version
        );
        let mut add = |line: &str| {
            text += "\n";
            text += line;
            text += "\n";
        };
        for warning in &self.warnings {
            add(&format!("> **Note.** {warning}"));
        }
        for table in &self.tables {
            add(&format!("## {}", table.title));
            table.notes.iter().for_each(|note| add(note));
            add(&markdown_table(table));
        }
        for plot in plots {
            add(&format!("## {}", plot.title));
            add(plot.note);
            add(&format!("![{}]({})", plot.title, plot.file));
        }
        for (shown, title, note) in HEADINGS {
            if !self.categories.iter().any(|category| category.pictures.iter().any(|picture| picture.shown == shown)) {
                continue;
            }
            add(&format!("## {title}"));
            add(&format!("{note} From left to right: {}.", COLUMNS.join(", ")));
            for category in &self.categories {
                for picture in category.pictures.iter().filter(|picture| picture.shown == shown) {
                    let label = format!("{}: {}, score {:.4}", category.name, picture.name, picture.score);
                    add(&format!("{label}\n\n![{label}](<{}>)", picture.file));
                }
            }
        }
        add("## What in the published figures does not add up");
        add(&self.doubts.iter().map(|doubt| format!("- {doubt}")).collect::<Vec<_>>().join("\n"));
        add("## Settings");
        add(&format!("```toml\n{}\n```", origin.settings.trim_end()));
        text
    }

    fn html(&self, plots: &[Plot]) -> Result<String, ReproductionError> {
        let render = |error: minijinja::Error| ReproductionError::Render(format!("{error:#}"));
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::Html);
        environment.add_template("page", include_str!("reproduction.html.jinja")).map_err(render)?;
        let sheets: Vec<_> = HEADINGS
            .iter()
            .map(|(shown, title, note)| {
                let pictures = self.categories.iter().flat_map(|category| {
                    let of_heading = category.pictures.iter().filter(move |picture| picture.shown == *shown);
                    of_heading.map(|picture| context! { category => &category.name, picture => Serde(picture) })
                });
                context! { title => *title, note => *note, pictures => pictures.collect::<Vec<_>>() }
            })
            .collect();
        let page = environment.get_template("page").map_err(render)?;
        page.render(context! {
            r => Serde(self),
            plots => Serde(plots),
            sheets => sheets,
            columns => COLUMNS,
        })
        .map_err(render)
    }
}

fn markdown_table(table: &Table) -> String {
    let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut header = table.header.clone();
    header.insert(1, "from".into());
    let mut lines = vec![line(&header), format!("|{}", "---|".repeat(header.len()))];
    for row in &table.rows {
        let (from, mark) = match row.kind {
            RowKind::Published => ("published", ""),
            RowKind::Ours => ("ours", "**"),
        };
        let mut cells = vec![row.name.clone(), format!("{mark}{from}{mark}")];
        cells.extend(row.cells.iter().cloned());
        lines.push(line(&cells));
    }
    lines.join("\n")
}
