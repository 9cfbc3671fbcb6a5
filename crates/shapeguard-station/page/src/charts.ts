// Two charts as SVG: how scores went, and how they are distributed. Colours come from the style sheet.
import type { Summary, Verdict } from "./contract";
import { svg } from "./dom";
import { short } from "./words";

/** A chart's width in its own units; it is drawn as wide as there is room. Narrower on a phone, or its text would be tiny. */
const chartWidth = () => (matchMedia("(max-width: 720px)").matches ? 320 : 560);
const LEFT = 44;
const RIGHT = 14;
const TOP = 22;

/** Scores higher than this multiple of the threshold are drawn at the upper edge: how much higher does not matter here. */
const TREND_LIMIT = 3;
/** Room for the word "threshold" beside the axis. */
const TREND_LEFT = 76;
const TREND_HEIGHT = 190;
const TREND_BOTTOM = TREND_HEIGHT - 26;

/** Scores over time, oldest left, as multiples of each one's threshold: categories and versions have different ones. */
export function trend(newestFirst: Summary[], name: string): SVGSVGElement {
  const shown = newestFirst.filter((one) => one.score !== null && one.threshold).reverse();
  const relative = shown.map((one) => one.score! / one.threshold!);
  const width = chartWidth();
  const left = TREND_LEFT;
  const limit = Math.min(TREND_LIMIT, Math.max(2, ...relative));
  const x = (i: number) => left + 8 + (i / Math.max(1, shown.length - 1)) * (width - left - RIGHT - 16);
  const y = (value: number) => TREND_BOTTOM - (Math.min(limit, value) / limit) * (TREND_BOTTOM - TOP);
  const rejected = shown.filter((one) => one.verdict === "rejected").length;
  const label = `Scores of the last ${shown.length} judged inspections of ${name}: ${rejected} above the threshold`;
  const ticks = [0, 1, 2, 3].filter((tick) => tick <= limit && tick !== 1);
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${TREND_HEIGHT}`, role: "img", "aria-label": label, class: "chart" },
    ticks.map((tick) => [
      svg("path", { class: "grid", d: `M${left} ${y(tick)}H${width - RIGHT}` }),
      svg("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, tick === 0 ? "0" : `${tick}×`),
    ]),
    svg("path", { class: "threshold", d: `M${left} ${y(1)}H${width - RIGHT}` }),
    svg("text", { class: "threshold-label", x: left - 8, y: y(1) + 4, "text-anchor": "end" }, "threshold"),
    shown.map((one, i) => point(one.verdict, x(i), y(relative[i]))),
    svg("text", { x: left, y: TREND_HEIGHT - 6 }, "older"),
    svg("text", { x: width - RIGHT, y: TREND_HEIGHT - 6, "text-anchor": "end" }, "newest"),
  );
}

/** Good parts are discs, rejected ones larger diamonds: shapes differ as colours do. */
function point(verdict: Verdict, x: number, y: number): SVGElement {
  if (verdict === "rejected") {
    return svg("path", { class: "point rejected", d: `M${x} ${y - 5.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z` });
  }
  return svg("circle", { class: "point good", cx: x, cy: y, r: 3 });
}

/** Bars between the lowest and the highest good score, and at most so many altogether. */
const GOOD_BINS = 12;
const MOST_BINS = 60;
const HISTOGRAM_BOTTOM = 158;
/** Room below the axis for its labels, and for recent scores where there are any. */
const LABELS_BELOW = 24;
const RECENT_BELOW = 62;
/** The axis reaches this far beyond the threshold or the highest good score; higher recent scores stand at its end. */
const HISTOGRAM_REACH = 2.2;

/** Scores of the good scans that the model was made of, the threshold, and recent inspections' scores below the axis. */
export function histogram(goodScores: number[], threshold: number, recent: Summary[], name: string): SVGSVGElement {
  const width = chartWidth();
  const judged = recent.filter((one) => one.score !== null);
  const highestGood = Math.max(threshold, ...goodScores);
  const high = Math.min(HISTOGRAM_REACH * highestGood, Math.max(1.15 * highestGood, ...judged.map((one) => one.score!)));
  const low = Math.max(0, Math.min(...goodScores, ...judged.map((one) => one.score!), threshold) - 0.05 * high);
  const right = width - RIGHT;
  const x = (value: number) => LEFT + (Math.min(1, (value - low) / (high - low)) || 0) * (right - LEFT);
  const goodRange = Math.max(...goodScores) - Math.min(...goodScores);
  const bins = Math.min(MOST_BINS, Math.max(GOOD_BINS, Math.round((GOOD_BINS * (high - low)) / goodRange) || GOOD_BINS));
  const counts = new Array<number>(bins).fill(0);
  for (const score of goodScores) counts[Math.min(bins - 1, Math.floor(((score - low) / (high - low)) * bins))] += 1;
  const most = Math.max(1, ...counts);
  const y = (n: number) => HISTOGRAM_BOTTOM - (n / most) * (HISTOGRAM_BOTTOM - TOP);
  const binWidth = (right - LEFT) / bins;
  const above = judged.filter((one) => one.score! > threshold).length;
  const label =
    `Scores of ${goodScores.length} good scans of ${name}, threshold ${short(threshold)}` +
    (judged.length > 0 ? `; of ${judged.length} recent inspections ${above} scored above it` : "");
  const lane = (rejected: boolean) => HISTOGRAM_BOTTOM + (rejected ? 42 : 30);
  const height = HISTOGRAM_BOTTOM + (judged.length > 0 ? RECENT_BELOW : LABELS_BELOW);
  const nearRight = x(threshold) > width - 140;
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "chart" },
    [0, most].map((n) => svg("text", { x: LEFT - 8, y: y(n) + 4, "text-anchor": "end" }, n)),
    counts.map((n, i) =>
      svg("rect", { class: "bar", x: LEFT + i * binWidth + 1, y: y(n), width: binWidth - 2, height: HISTOGRAM_BOTTOM - y(n) }),
    ),
    svg("path", { class: "frame", d: `M${LEFT} ${HISTOGRAM_BOTTOM}H${right}` }),
    roundSteps(low, high).map((value) => [
      svg("path", { class: "frame", d: `M${x(value)} ${HISTOGRAM_BOTTOM}v5` }),
      svg("text", { x: x(value), y: HISTOGRAM_BOTTOM + 18, "text-anchor": "middle" }, String(value)),
    ]),
    svg("path", { class: "threshold", d: `M${x(threshold)} ${TOP - 8}V${HISTOGRAM_BOTTOM}` }),
    svg(
      "text",
      { class: "threshold-label", x: x(threshold) + (nearRight ? -6 : 6), y: TOP - 4, "text-anchor": nearRight ? "end" : "start" },
      `threshold ${short(threshold)}`,
    ),
    judged.map((one) => {
      const rejected = one.verdict === "rejected";
      return svg("path", { class: `tick ${one.verdict}`, d: `M${x(one.score!)} ${lane(rejected) - 5}v10` });
    }),
    judged.length > 0 && svg("text", { x: LEFT, y: height - 4 }, "recent: good above, rejected below"),
  );
}

/** About six round numbers within a range. */
export function roundSteps(low: number, high: number): number[] {
  const rough = (high - low) / 6;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!;
  const first = Math.ceil(low / step - 1e-9);
  const steps: number[] = [];
  for (let i = first; i * step <= high * (1 + 1e-9); i++) steps.push(Number((i * step).toPrecision(6)));
  return steps;
}
