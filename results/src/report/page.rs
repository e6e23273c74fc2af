//! The page: everything in one file, and in an order in which one would ask.

use std::fmt::Write as _;

use super::chart::Chart;
use super::source::Source;
use super::{charts, svg, tables};
use crate::check::escaped;
use crate::summary::ProtocolResult;
use crate::units;

const PLOT_SCRIPT: &str = include_str!("../../assets/uPlot.iife.min.js");
const PLOT_STYLE: &str = include_str!("../../assets/uPlot.min.css");
const PLOT_LICENSE: &str = include_str!("../../assets/uPlot.LICENSE");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// Renders the page.
#[must_use]
pub fn render(source: &Source) -> String {
    let charts = charts(source);
    let name = escaped(source.name());
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src \
         'unsafe-inline'; style-src 'unsafe-inline'; img-src data:\">\n\
         <title>{name}: Synod</title>\n<style>{PLOT_STYLE}</style>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<main>\n"
    );
    html.push_str(&heading(source));
    section(&mut html, "glance", "At a glance", &tables::at_a_glance(source));
    section(&mut html, "findings", "What the repeats can tell", &tables::findings(source));
    section(&mut html, "parts", "Where time goes", &tables::where_time_goes(source));
    section(&mut html, "surface", "Over both", &tables::heat_maps(source));
    for chart in &charts {
        html.push_str(&figure(chart));
    }
    section(&mut html, "costs", "Costs", &(tables::costs(source) + &tables::threads(source)));
    section(&mut html, "trust", "Verdicts and gates", &trust(source));
    section(&mut html, "machine", "Machine", &machine(source));
    section(&mut html, "again", "How to run it again", &again(source));
    let _infallible = write!(
        html,
        "</main>\n<script>/*\n{}*/\n{PLOT_SCRIPT}</script>\n<script>{SCRIPT}</script>\n</body>\n\
         </html>\n",
        PLOT_LICENSE.replace("*/", "* /")
    );
    html
}

fn section(html: &mut String, id: &str, title: &str, content: &str) {
    if !content.is_empty() {
        let _infallible =
            writeln!(html, "<section id=\"{id}\"><h2>{title}</h2>\n{content}</section>");
    }
}

fn heading(source: &Source) -> String {
    let summary = &source.runs[0].summary;
    let commit = summary.commit.get(..12).unwrap_or(&summary.commit);
    let changed = if summary.dirty { " with changes" } else { "" };
    let results = source.results();
    let sound = results.iter().filter(|(_, _, result)| result.is_sound()).count();
    let (class, words) = if sound == results.len() {
        ("good", format!("all {sound} results are valid, every history kept its promise"))
    } else {
        ("bad", format!("{} of {} results are NOT valid", results.len() - sound, results.len()))
    };
    let incomplete = source.runs.iter().any(|run| !run.summary.complete)
        || source.suite.as_ref().is_some_and(|suite| !suite.complete);
    let incomplete =
        if incomplete { "<p class=\"bad\">Incomplete: it was interrupted.</p>\n" } else { "" };
    format!(
        "<header><h1>{}</h1>\n<p>{}</p>\n<p class=\"{class}\">{words}</p>\n{incomplete}\
         <p class=\"small\">{}, Synod {} (commit {}{changed}), seed {}</p></header>\n",
        escaped(source.name()),
        escaped(source.description()),
        escaped(&summary.date),
        escaped(&summary.synod_version),
        escaped(commit),
        summary.seed,
    )
}

/// A chart: for a script, for print, and as a table.
fn figure(chart: &Chart) -> String {
    let Chart { id, title, note, .. } = chart;
    // A script must not end where a name says so.
    let data = chart.to_json().to_string().replace('<', "\\u003c");
    format!(
        "<section><figure id=\"{id}\" class=\"chart\"><h2>{}</h2>\n<p class=\"small\">{}</p>\n\
         <div class=\"plot\" tabindex=\"0\" role=\"group\" aria-label=\"{}: + and - zoom, arrows \
         move, 0 shows all; the table below has the numbers\"></div>\n<div class=\"svg\">{}</div>\n\
         <script type=\"application/json\">{data}</script>\n\
         <details><summary>Table</summary>\n{}</details>\n\
         <button type=\"button\" class=\"save\">Save as SVG</button></figure></section>\n",
        escaped(title),
        escaped(note),
        escaped(title),
        svg::draw(chart),
        tables::behind(chart),
    )
}

fn trust(source: &Source) -> String {
    let mut rows = Vec::new();
    let mut faults = Vec::new();
    for (run, _, result) in source.results() {
        let name = source.at_point(run.point, format!("{} #{}", result.label, result.repeat + 1));
        rows.push(vec![name.clone(), result.verdict_words(), gates(result)]);
        for fault in &result.faults {
            faults.push(vec![
                name.clone(),
                format!("{:.1} s", fault.at_s),
                format!("{} {}", fault.action, fault.target),
                fault.evidence.clone(),
                units::or_dash(fault.gap_ns.map(|gap_ns| gap_ns as f64), units::nanoseconds),
            ]);
        }
    }
    let header = ["", "history", "gates"].map(str::to_owned);
    let mut html = tables::table("What the checker and the gates said", &header, &rows);
    if !faults.is_empty() {
        let header = ["", "when", "fault", "evidence", "no answer for"].map(str::to_owned);
        html.push_str(&tables::table("What was broken on purpose", &header, &faults));
    }
    html
}

fn gates(result: &ProtocolResult) -> String {
    let failed: Vec<String> =
        result.failed_gates().map(|gate| format!("{}: {}", gate.name, gate.detail)).collect();
    let mut words = if failed.is_empty() {
        format!("all {} passed", result.gates.len())
    } else {
        format!("NOT passed: {}", failed.join("; "))
    };
    for gate in result.warnings() {
        let _infallible = write!(words, "; to be known: {}: {}", gate.name, gate.detail);
    }
    words
}

fn machine(source: &Source) -> String {
    let machine = serde_json::to_value(&source.runs[0].summary.machine);
    let machine = machine.unwrap_or_default();
    let rows: Vec<Vec<String>> = machine
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![key.replace('_', " "), value]
        })
        .collect();
    tables::table("Where it ran", &["", ""].map(str::to_owned), &rows)
}

fn again(source: &Source) -> String {
    format!(
        "<p>With the file below, which has every default filled in, and the commit above:</p>\n\
         <pre><code>{}</code></pre>\n<details><summary>Workload</summary><pre><code>{}</code></pre>\
         </details>\n",
        escaped(&source.command),
        escaped(&source.runs[0].workload),
    )
}
