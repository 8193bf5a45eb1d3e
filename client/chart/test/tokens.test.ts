/** The two themes: text can be read on every surface, and nothing solid is told apart by a status colour alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { DARK, hostIsDark, LIGHT, type Tokens } from "../src/base/tokens";
import deckCss from "../src/deck.css";
import emptyCss from "../src/pages/empty.css";
import notebookCss from "../src/pages/notebook.css";
import drawerCss from "../src/panels/drawer.css";
import helpCss from "../src/panels/help.css";
import tablesCss from "../src/panels/tables.css";

const css = [deckCss, emptyCss, notebookCss, drawerCss, helpCss, tablesCss].join("");

function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [hi, lo] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (hi + 0.05) / (lo + 0.05);
}

for (const [name, tokens] of [
  ["dark", DARK],
  ["light", LIGHT],
] as const satisfies readonly (readonly [string, Tokens])[]) {
  test(`${name}: text of every kind has 4.5:1 on canvas, surface and raised`, () => {
    for (const text of ["text", "secondary", "muted", "warn", "critical", "stale", "ok", "accent"] as const) {
      for (const ground of ["canvas", "surface"] as const) {
        const ratio = contrast(tokens[text], tokens[ground]);
        assert.ok(ratio >= 4.5, `${text} on ${ground}: ${ratio.toFixed(2)}`);
      }
    }
    assert.ok(contrast(tokens.muted, tokens.raised) >= 4.5);
    assert.ok(contrast(tokens.onAccent, tokens.accent) >= 4.5);
    assert.ok(contrast(tokens.text, tokens.sel) >= 4.5);
  });

  test(`${name}: twelve different series colours, none of them a status colour`, () => {
    const status = [tokens.accent, tokens.warn, tokens.warnMark, tokens.critical, tokens.ok, tokens.stale];
    assert.equal(new Set(tokens.series).size, 12);
    for (const colour of tokens.series) assert.ok(!status.includes(colour));
  });

  test(`${name}: every line has 3:1 on cards, tiles and the page`, () => {
    for (const [at, colour] of tokens.series.entries())
      for (const ground of ["surface", "canvas"] as const) {
        const ratio = contrast(colour, tokens[ground]);
        assert.ok(ratio >= 3, `${at + 1} ${colour} on ${ground}: ${ratio.toFixed(2)}`);
      }
  });
}

type Rgb = [number, number, number];

function linearRgb(hex: string): Rgb {
  return [1, 3, 5].map((at) => {
    const c = parseInt(hex.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Rgb;
}

const times = (matrix: readonly Rgb[], v: Rgb): Rgb =>
  matrix.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) as Rgb;

/** Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB. */
const VISIONS: Record<string, readonly Rgb[]> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

/** OKLab, Ottosson 2020. */
function oklab(rgb: Rgb): Rgb {
  const lms = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb,
  ).map((c) => Math.cbrt(Math.max(0, c))) as Rgb;
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    lms,
  );
}

/** What a screen shows of linear RGB: a simulation may leave its gamut. */
const shown = (rgb: Rgb): Rgb => rgb.map((c) => Math.min(1, Math.max(0, c))) as Rgb;

/** The smallest distance of two colours: [normal, deuteranopia, protanopia, tritanopia], of the first so many. */
const BOUNDS = [
  ["dark", DARK, 6, [0.187, 0.14, 0.149, 0.138]],
  ["dark", DARK, 12, [0.121, 0.094, 0.091, 0.074]],
  ["light", LIGHT, 6, [0.156, 0.117, 0.128, 0.082]],
  ["light", LIGHT, 12, [0.108, 0.081, 0.08, 0.081]],
] as const;

for (const [name, { series }, count, bounds] of BOUNDS)
  for (const [at, vision] of ["normal", "deuteranopia", "protanopia", "tritanopia"].entries())
    test(`${name}, ${vision}: any two of the first ${count} series colours are far apart`, () => {
      const seen = series.slice(0, count).map((hex) => oklab(shown(times(VISIONS[vision], linearRgb(hex)))));
      const distances = seen.flatMap((a, i) =>
        seen.slice(i + 1).map((b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])),
      );
      const worst = Math.min(...distances);
      assert.ok(worst >= bounds[at] - 0.001, worst.toFixed(4));
    });

test("the style sheets use only tokens that exist, load nothing, and give canvases tabular figures", () => {
  const known = new Set(Object.keys(DARK).map((name) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`));
  for (const [, name] of css.matchAll(/var\((--[a-z-]+)\)/g)) assert.ok(known.has(name) || name === "--tone", name);
  assert.doesNotMatch(css, /url\(|@import|@font-face/);
  assert.match(css, /canvas \{ font-variant-numeric: tabular-nums/);
});

test("each notebook says in its own way whether it is dark", () => {
  assert.equal(hostIsDark({ jpThemeLight: "false" }, null), true);
  assert.equal(hostIsDark({ jpThemeLight: "true", theme: "dark" }, null), false);
  assert.equal(hostIsDark({ vscodeThemeKind: "vscode-dark" }, null), true);
  assert.equal(hostIsDark({ vscodeThemeKind: "vscode-high-contrast" }, null), true);
  assert.equal(hostIsDark({ vscodeThemeKind: "vscode-high-contrast-light" }, null), false);
  assert.equal(hostIsDark({ theme: "dark" }, null), true, "marimo");
  assert.equal(hostIsDark({}, "dark"), true, "Colab");
  assert.equal(hostIsDark({}, null), null);
});
