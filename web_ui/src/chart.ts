/** The trend drawn with uPlot; what uPlot has no word for is drawn on its canvas by hooks here. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { limitText, mmText } from "./rounding";
import { spread } from "./trend";
import type { Curve, Trend } from "./trend";
import type { Limits } from "./wire";

export interface Drawn {
  readonly trend: Trend;
  readonly limits: Limits;
}

/** Shortest time axis, minutes: one freeze and some thaw. */
const SHORTEST_MIN = 15;

/** Always in view, mm: both limits and contact. */
const LOWEST_TOP_MM = 10;
const HIGHEST_BOTTOM_MM = -2;

const WHOLE_MINUTES = [1, 2, 5, 10, 20, 30, 60, 120];

interface Paint {
  readonly px: number;
  colour(name: string): string;
}

function paintOf(host: HTMLElement): Paint {
  const style = getComputedStyle(host);
  return {
    px: parseFloat(style.fontSize),
    colour: (name) => style.getPropertyValue(`--${name}`).trim(),
  };
}

function font(paint: Paint, weight: number): string {
  return `${weight} ${paint.px * devicePixelRatio}px "Inter Variable", system-ui, sans-serif`;
}

/** Runs of neighbouring scans that have a value: nothing is drawn across a gap. */
function runs(curve: Curve): number[][] {
  const found: number[][] = [];
  curve.value.forEach((value, index) => {
    if (value === null) return;
    const last = found.at(-1);
    if (last && last.at(-1) === index - 1) last.push(index);
    else found.push([index]);
  });
  return found;
}

export class Chart {
  private readonly plot: uPlot;
  private readonly paint: Paint;

  constructor(
    host: HTMLElement,
    private drawn: Drawn,
  ) {
    this.paint = paintOf(host);
    this.plot = new uPlot(this.options(host), this.data(), host);
  }

  show(drawn: Drawn): void {
    this.drawn = drawn;
    this.plot.setData(this.data());
  }

  resize(width: number, height: number): void {
    this.plot.setSize({ width, height });
  }

  destroy(): void {
    this.plot.destroy();
  }

  private data(): uPlot.AlignedData {
    const { minutes, margin, hilum } = this.drawn.trend;
    return [[...minutes], [...margin.value], [...hilum.value]];
  }

  private xRange(): [number, number] {
    const { minutes, bands } = this.drawn.trend;
    const ends = [...minutes, ...bands.flatMap((band) => [band.fromMin, band.toMin])];
    const from = Math.min(0, ...ends);
    const to = Math.max(from + SHORTEST_MIN, ...ends);
    // A mark at the first moment stays clear of the axis.
    return [from - (to - from) * 0.03, to];
  }

  private yRange(): [number, number] {
    const { margin, hilum } = this.drawn.trend;
    const { margin_target_mm, hilum_near_mm } = this.drawn.limits;
    const numbers = [margin, hilum]
      .flatMap(({ low, high }) => [...low, ...high])
      .filter((value) => value !== null);
    const top = Math.max(LOWEST_TOP_MM, margin_target_mm + 2, hilum_near_mm + 2, ...numbers);
    const bottom = Math.min(HIGHEST_BOTTOM_MM, ...numbers);
    return [Math.floor(bottom - 0.5), Math.ceil(top + 0.5)];
  }

  private options(host: HTMLElement): uPlot.Options {
    const { paint } = this;
    const axis: uPlot.Axis = {
      stroke: paint.colour("quiet"),
      font: `500 ${paint.px}px "Inter Variable", system-ui, sans-serif`,
      grid: { stroke: "#2a313a", width: 1 },
      ticks: { show: false },
      gap: paint.px * 0.3,
    };
    const values = (_: uPlot, ticks: number[]): string[] => ticks.map(limitText);
    const line = (name: string): uPlot.Series => ({
      stroke: paint.colour(name),
      width: paint.px * 0.14,
      points: { show: true, size: paint.px * 0.5, fill: paint.colour(name) },
      spanGaps: false,
    });
    return {
      width: host.clientWidth,
      height: host.clientHeight,
      padding: [paint.px * 1.3, paint.px * 6.6, 0, paint.px * 4.2],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => this.xRange() },
        y: { range: () => this.yRange() },
      },
      axes: [
        { ...axis, size: paint.px * 1.5, space: paint.px * 3, incrs: WHOLE_MINUTES, values },
        { ...axis, size: paint.px * 2, space: paint.px * 1.6, values },
      ],
      series: [{}, line("tumour"), line("hilum")],
      hooks: {
        drawClear: [(plot) => this.drawPhases(plot)],
        drawAxes: [(plot) => this.drawLimits(plot), (plot) => this.drawIntervals(plot)],
        draw: [(plot) => this.drawNotAssessable(plot), (plot) => this.drawEndLabels(plot)],
      },
    };
  }

  private drawPhases(plot: uPlot): void {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.font = font(this.paint, 500);
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    for (const { phase, fromMin, toMin } of this.drawn.trend.bands) {
      const left = plot.valToPos(fromMin, "x", true);
      const right = plot.valToPos(toMin, "x", true);
      ctx.fillStyle = phase === "freeze" ? "#26313f" : "#1c2026";
      const strip = this.device(1.2);
      ctx.fillRect(left, bbox.top - strip, right - left, bbox.height + strip);
      if (ctx.measureText(phase).width + this.device(0.6) > right - left) continue;
      ctx.fillStyle = this.paint.colour("text");
      ctx.fillText(phase, left + this.device(0.3), bbox.top - this.device(0.05));
    }
    ctx.restore();
  }

  private drawLimits(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const { margin_target_mm, hilum_near_mm } = this.drawn.limits;
    const level = (mm: number, colour: string, width: number): number => {
      const y = plot.valToPos(mm, "y", true);
      ctx.strokeStyle = colour;
      ctx.lineWidth = this.device(width);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      return y;
    };
    ctx.save();
    ctx.font = font(this.paint, 600);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    level(0, this.paint.colour("text"), 0.09);
    const limits = [
      { mm: margin_target_mm, name: "tumour", text: `target ${limitText(margin_target_mm)}` },
      { mm: hilum_near_mm, name: "hilum", text: `limit ${limitText(hilum_near_mm)}` },
    ].sort((a, b) => b.mm - a.mm);
    const same = margin_target_mm === hilum_near_mm;
    // One line for both where they agree, in neither's colour.
    const levels = limits.map(({ mm, name }) =>
      level(mm, this.paint.colour(same ? "quiet" : name), 0.07),
    );
    const places = spread(levels, this.device(1.05), bbox.top, bbox.top + bbox.height);
    limits.forEach(({ name, text }, index) => {
      ctx.fillStyle = this.paint.colour(`${name}-ink`);
      ctx.fillText(text, 0, places[index] ?? 0);
    });
    ctx.restore();
  }

  private drawIntervals(plot: uPlot): void {
    const { ctx } = plot;
    const { minutes, margin, hilum } = this.drawn.trend;
    ctx.save();
    for (const [curve, name] of [
      [margin, "tumour"],
      [hilum, "hilum"],
    ] as const) {
      const colour = this.paint.colour(name);
      const at = (index: number, mm: number | null | undefined): [number, number] => [
        plot.valToPos(minutes[index] ?? 0, "x", true),
        plot.valToPos(mm ?? 0, "y", true),
      ];
      for (const run of runs(curve)) {
        const outline = [
          ...run.map((index) => at(index, curve.high[index])),
          ...run.toReversed().map((index) => at(index, curve.low[index])),
        ];
        ctx.fillStyle = colour;
        ctx.globalAlpha = 0.2;
        ctx.beginPath();
        outline.forEach(([x, y]) => ctx.lineTo(x, y));
        ctx.fill();
        ctx.globalAlpha = 0.75;
        ctx.strokeStyle = colour;
        ctx.lineWidth = this.device(0.07);
        for (const index of run) {
          ctx.beginPath();
          ctx.moveTo(...at(index, curve.high[index]));
          ctx.lineTo(...at(index, curve.low[index]));
          ctx.stroke();
        }
      }
    }
    ctx.restore();
  }

  private drawNotAssessable(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const half = this.device(0.28);
    const y = bbox.top + this.device(0.6);
    ctx.save();
    ctx.strokeStyle = this.paint.colour("text");
    ctx.lineWidth = this.device(0.12);
    for (const minute of this.drawn.trend.notAssessable) {
      const x = plot.valToPos(minute, "x", true);
      ctx.beginPath();
      ctx.moveTo(x - half, y - half);
      ctx.lineTo(x + half, y + half);
      ctx.moveTo(x + half, y - half);
      ctx.lineTo(x - half, y + half);
      ctx.stroke();
    }
    ctx.restore();
  }

  private drawEndLabels(plot: uPlot): void {
    const { ctx, bbox } = plot;
    const { minutes, margin, hilum } = this.drawn.trend;
    const labels = [
      { name: "margin", colour: "tumour", value: margin.value.at(-1) },
      { name: "hilum", colour: "hilum", value: hilum.value.at(-1) },
    ].flatMap((label) => {
      const { value } = label;
      return value === null || value === undefined ? [] : [{ ...label, value }];
    });
    const half = this.device(0.55);
    const places = spread(
      labels.map(({ value }) => plot.valToPos(value, "y", true)),
      this.device(1.05),
      bbox.top + half,
      bbox.top + bbox.height - half,
    );
    ctx.save();
    ctx.font = font(this.paint, 700);
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.strokeStyle = this.paint.colour("panel");
    ctx.lineWidth = this.device(0.3);
    ctx.lineJoin = "round";
    const x = plot.valToPos(minutes.at(-1) ?? 0, "x", true) + this.device(0.5);
    labels.forEach(({ name, colour, value }, index) => {
      const text = `${name} ${mmText(value)}`;
      ctx.fillStyle = this.paint.colour(`${colour}-ink`);
      // A dark edge keeps it legible where it crosses a line.
      ctx.strokeText(text, x, places[index] ?? 0);
      ctx.fillText(text, x, places[index] ?? 0);
    });
    ctx.restore();
  }

  /** Device pixels of so many text heights. */
  private device(texts: number): number {
    return texts * this.paint.px * devicePixelRatio;
  }
}
