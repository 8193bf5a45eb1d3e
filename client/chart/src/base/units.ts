/**
 * How a UCUM unit is written on the screen, and the scale of quantities whose magnitude varies.
 *
 * Python has the same tables in `tidewire/model/units.py`; `tests/chart/vectors/units.json` holds both.
 */

/** A unit for the screen: values are divided by `divisor` before they are printed. */
export interface ShownUnit {
  text: string;
  divisor: number;
}

/** UCUM code → what people write. A code that is not here is shown as it is. */
export const WORDS: Readonly<Record<string, string>> = {
  "1": "",
  Cel: "°C",
  "[degF]": "°F",
  K: "K",
  "%": "%",
  bit: "bit",
  "bit/s": "bit/s",
  KiBy: "KiB",
  MiBy: "MiB",
  GiBy: "GiB",
  TiBy: "TiB",
  kBy: "kB",
  MBy: "MB",
  GBy: "GB",
  "KiBy/s": "KiB/s",
  "MiBy/s": "MiB/s",
  "GiBy/s": "GiB/s",
  "kBy/s": "kB/s",
  "MBy/s": "MB/s",
  us: "µs",
  Ohm: "Ω",
  deg: "°",
  m3: "m³",
  m2: "m²",
  "m3/h": "m³/h",
  "m/s2": "m/s²",
  "N.m": "N·m",
  "kW.h": "kWh",
  "W.h": "Wh",
  "1/s": "/s",
  "/s": "/s",
  "1/min": "/min",
  "{rpm}": "rpm",
  "[ppm]": "ppm",
  "[ppb]": "ppb",
  "[pH]": "pH",
  "[psi]": "psi",
  "[ft_i]": "ft",
  "[gal_us]/min": "gal/min",
};

/** Units that grow: the largest magnitude of the window picks the step. */
export const SCALES: Readonly<Record<string, readonly (readonly [number, string])[]>> = {
  By: [
    [1, "B"],
    [1e3, "kB"],
    [1e6, "MB"],
    [1e9, "GB"],
    [1e12, "TB"],
  ],
  "By/s": [
    [1, "B/s"],
    [1e3, "kB/s"],
    [1e6, "MB/s"],
    [1e9, "GB/s"],
    [1e12, "TB/s"],
  ],
};

/**
 * What else is written for what the screen shows, in lower case: only where no other case means anything else, as `m`
 * and `M` do.
 */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ["°c", "°C"],
  ["cel", "°C"],
  ["degc", "°C"],
  ["deg c", "°C"],
  ["celsius", "°C"],
  ["°f", "°F"],
  ["degf", "°F"],
  ["deg f", "°F"],
  ["fahrenheit", "°F"],
  ["percent", "%"],
  ["hz", "Hz"],
  ["rpm", "rpm"],
  ["ppm", "ppm"],
  ["ppb", "ppb"],
  ["db", "dB"],
  ["bar", "bar"],
  ["kwh", "kWh"],
  ["ohm", "Ω"],
  ["ohms", "Ω"],
]);

const MOST_PLAIN = 4_096;
const known = new Map<string, string>();

/** Return what is the same for units of the same characters: blanks around marks mean nothing, those of words do. */
function plain(unit: string): string {
  let text = known.get(unit);
  if (text === undefined) {
    // Two rings that are typed for a degree sign.
    text = unit
      .replace(/[\u00ba\u02da]/g, "°")
      .normalize("NFKC")
      .trim();
    text = text.replace(/\s*([^\p{L}\p{N}_\s])\s*/gu, "$1");
    if (known.size >= MOST_PLAIN) known.clear();
    known.set(unit, text);
  }
  return text;
}

/** What is the same for units that mean the same, such as `Cel` and `°C`. */
export function unitKey(unit: string): string {
  return plain(shownUnit(unit, 0).text);
}

/** How a unit is written for values of this magnitude; blanks at its ends mean nothing. */
export function shownUnit(unit: string | undefined, magnitude: number): ShownUnit {
  const code = unit?.trim() ?? "";
  const scale = Object.hasOwn(SCALES, code) ? SCALES[code] : undefined;
  if (scale) {
    let [divisor, text] = scale[0];
    for (const step of scale) if (magnitude >= step[0]) [divisor, text] = step;
    return { text, divisor };
  }
  if (Object.hasOwn(WORDS, code)) return { text: WORDS[code], divisor: 1 };
  const alias = ALIASES.get(plain(code).toLowerCase());
  if (alias !== undefined) return { text: alias, divisor: 1 };
  // A UCUM annotation stands for the thing counted: {parts} → parts, {batches}/s → batches/s.
  return { text: code.replace(/\{([^{}]*)\}/g, "$1"), divisor: 1 };
}

/** Percentages and rates of counted things or bytes read as amounts: their axis starts at 0. */
export function startsAtZero(unit: string | undefined): boolean {
  return /^(%|(1|([KMGT]i|[kMGT])?By|([kMGT])?bit|\{[^{}]*\})?\/(s|min|h))$/.test(unit ?? "");
}

/** An amount of something, filled down to the foot of the plot when it is alone on a chart. */
export function isAmount(unit: string | undefined): boolean {
  return /^([KMGT]i|[kMGT])?By$/.test(unit ?? "");
}
