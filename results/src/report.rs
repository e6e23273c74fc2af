//! A run or a suite as one HTML page: no network, a table behind every chart, every chart also as
//! SVG.
//!
//! [`source`] reads folders, [`charts`] says what is drawn, [`chart`] what a chart is, [`svg`] draws
//! it for print and papers, [`bars`] where time goes, [`page`] puts everything together. In a browser `assets/uPlot` draws the
//! same numbers, so that one can look closer.

mod bars;
pub mod chart;
mod charts;
mod columns;
mod page;
pub mod source;
pub mod svg;
mod tables;

pub use bars::breakdown;
pub use charts::charts;
pub use columns::columns;
pub use page::render;
