// Draws each chart of the page from the numbers beside it. Without scripts the SVG is shown instead.
"use strict";
document.documentElement.classList.add("scripted");

const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c6d1f"];
const DASHES = [[], [7, 3], [2, 3], [9, 3, 2, 3]];

const digits = (number) => {
  const size = Math.abs(number);
  return number.toFixed(size >= 99.95 || size === 0 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
};
const scaled = (number, units, small) => {
  const unit = units.find(([size]) => Math.abs(number) >= 0.9995 * size);
  return unit ? digits(number / unit[0]) + unit[1] : digits(number) + small;
};
const words = {
  plain: (number) => scaled(number, [[1e9, " G"], [1e6, " M"], [1e3, " k"]], ""),
  nanoseconds: (number) => scaled(number, [[1e9, " s"], [1e6, " ms"], [1e3, " us"]], " ns"),
  seconds: (number) => digits(number) + " s",
  quantile: (inverse) => {
    const places = Math.min(9, Math.max(0, Math.ceil(Math.log10(inverse) - 1e-9) - 2));
    return (100 - 100 / inverse).toFixed(places) + " %";
  },
};

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isPowerOfTen = (number) => Math.abs(Math.log10(number) % 1) < 1e-9;

function axis(spec, size) {
  return {
    label: spec.label,
    labelSize: 20,
    size,
    stroke: () => ink("--ink"),
    grid: { stroke: () => ink("--line"), width: 1 },
    ticks: { stroke: () => ink("--line"), width: 1 },
    values: (_, ticks) =>
      ticks.map((tick) => (tick === null || (spec.log && !isPowerOfTen(tick)) ? "" : words[spec.unit](tick))),
  };
}

// Lines from top to bottom where faults were.
const marked = (marks) => ({
  hooks: {
    draw: [
      (plot) => {
        const { ctx } = plot;
        const { left, width, top, height } = plot.bbox;
        ctx.save();
        ctx.strokeStyle = "#c00000";
        ctx.setLineDash([4, 4]);
        for (const { x } of marks) {
          const at = plot.valToPos(x, "x", true);
          if (at >= left && at <= left + width) {
            ctx.beginPath();
            ctx.moveTo(at, top);
            ctx.lineTo(at, top + height);
            ctx.stroke();
          }
        }
        ctx.restore();
      },
    ],
  },
});

const heightOf = (place) => (place.clientWidth < 500 ? 240 : 320);

function options(chart, place) {
  const series = chart.series.map(({ name, x }, number) => ({
    label: name,
    stroke: COLORS[number % COLORS.length],
    dash: DASHES[Math.floor(number / COLORS.length) % DASHES.length],
    width: 2,
    spanGaps: true,
    points: { show: x.length <= 40, size: 6 },
    value: (_, number) => (number == null ? "-" : words[chart.y.unit](number)),
  }));
  const fromZero = (_, least, most) => [Math.min(0, least), most > 0 ? most * 1.05 : 1];
  return {
    width: place.clientWidth,
    height: heightOf(place),
    scales: {
      // As wide as what is shown, not up to the next power of ten.
      x: { time: false, distr: chart.x.log ? 3 : 1, range: (_, least, most) => [least, most] },
      y: chart.y.log ? { distr: 3 } : { range: fromZero },
    },
    axes: [axis(chart.x, 50), axis(chart.y, 70)],
    series: [{ label: chart.x.label, value: (_, number) => (number == null ? "-" : words[chart.x.unit](number)) }, ...series],
    plugins: [marked(chart.marks)],
  };
}

// + and - zoom around the middle, arrows move, 0 shows all; in the numbers of the scale.
function steer(plot, chart, key) {
  const to = chart.x.log ? Math.log : (number) => number;
  const from = chart.x.log ? Math.exp : (number) => number;
  const [least, most] = [plot.scales.x.min, plot.scales.x.max].map(to);
  const [middle, half] = [(least + most) / 2, (most - least) / 2];
  const moves = {
    "+": [middle - half / 2, middle + half / 2],
    "-": [middle - half * 2, middle + half * 2],
    ArrowLeft: [least - half / 2, most - half / 2],
    ArrowRight: [least + half / 2, most + half / 2],
  };
  const [min, max] = (moves[key] ?? []).map(from);
  if (key === "0") plot.setData(plot.data);
  else if (min !== undefined) plot.setScale("x", { min, max });
  else return false;
  return true;
}

function save(figure, id) {
  const text = figure.querySelector("svg").outerHTML.replace("<svg ", '<svg color="#000" ');
  const link = document.createElement("a");
  link.href = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text);
  link.download = id + ".svg";
  link.click();
}

const plots = new Map();
for (const figure of document.querySelectorAll(".chart")) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".plot");
  const data = uPlot.join(chart.series.map(({ x, y }) => [x, y]));
  const plot = new uPlot(options(chart, place), data, place);
  plots.set(chart.id, plot);
  place.addEventListener("keydown", (event) => {
    if (steer(plot, chart, event.key)) event.preventDefault();
  });
  new ResizeObserver(() => plot.setSize({ width: place.clientWidth, height: heightOf(place) })).observe(place);
  figure.querySelector(".save").addEventListener("click", () => save(figure, chart.id));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw()));
