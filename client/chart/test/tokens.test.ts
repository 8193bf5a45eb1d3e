/** The two themes: text can be read on every surface, and nothing solid is told apart by a status colour alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import css from "../src/deck.css";
import { DARK, LIGHT, type Tokens } from "../src/tokens";

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

for (const [name, tokens] of [["dark", DARK], ["light", LIGHT]] as const satisfies readonly (readonly [string, Tokens])[]) {
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

  test(`${name}: six different series colours, none of them a status colour`, () => {
    const status = [tokens.accent, tokens.warn, tokens.warnMark, tokens.critical, tokens.ok, tokens.stale];
    assert.equal(new Set(tokens.series).size, 6);
    for (const colour of tokens.series) assert.ok(!status.includes(colour));
  });
}

test("the style sheet uses only tokens that exist, loads nothing, and gives canvases tabular figures", () => {
  const known = new Set(Object.keys(DARK).map((name) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`));
  for (const [, name] of css.matchAll(/var\((--[a-z-]+)\)/g)) assert.ok(known.has(name) || name === "--tone", name);
  assert.doesNotMatch(css, /url\(|@import|@font-face/);
  assert.match(css, /canvas\{font-variant-numeric:tabular-nums/);
});
