/** Names that every JavaScript object answers to are names like any other. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { labelOf, tellingLabels } from "../src/base/naming";
import { shownUnit } from "../src/base/units";
import { Directory, type Series } from "../src/model/directory";
import { cells, named, nextFacet } from "../src/model/layout";
import { applies } from "../src/model/thresholds";
import { formatChart, parseChart, parseState } from "../src/model/url";
import { pandasSnippet } from "../src/panels/snippets";
import { withLimit } from "../src/panels/threshold-form";
import type { SeriesEntry, Threshold } from "../src/wire/messages";

const NAMES = [...Object.getOwnPropertyNames(Object.prototype), "prototype", "length", "name", "__proto"];

/** A directory as it arrives: labels are objects that JSON.parse made. */
function directoryOf(...entries: { metric: string; labels: [string, string][]; unit?: string }[]): Directory {
  const text = entries.map(({ metric, labels, unit = "" }, i) => {
    const pairs = labels.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return `{"i":${i},"metric":${JSON.stringify(metric)},"unit":${JSON.stringify(unit)},"labels":{${pairs.join(",")}}}`;
  });
  const directory = new Directory();
  directory.update(true, JSON.parse(`[${text.join(",")}]`) as SeriesEntry[]);
  return directory;
}

for (const name of NAMES)
  test(`${name} is a name like any other`, () => {
    assert.deepEqual(shownUnit(name, 1), { text: name, divisor: 1 });
    const directory = directoryOf(
      { metric: name, labels: [[name, "A"]], unit: name },
      { metric: name, labels: [["site", name]], unit: name },
      { metric: name, labels: [] },
    );
    const found = (key: string): Series => {
      const series = directory.find(name, key);
      assert.ok(series, key);
      return series;
    };
    const [own, other, without] = [found(`${name}=A`), found(`site=${name}`), found("")];
    assert.deepEqual(
      [own, other, without].map(({ labels }) => labelOf(labels, name)),
      ["A", undefined, undefined],
    );
    assert.deepEqual(Object.entries(tellingLabels(own.labels, [own.labels, without.labels])), [[name, "A"]]);

    const link = formatChart({ series: [{ metric: name, labels: own.labels }], columns: 4, facet: name });
    const read = parseChart(link);
    assert.ok(read);
    assert.equal(formatChart(read), link);
    assert.deepEqual(
      [own, other, without].map((one) => named(read.series, one)),
      [true, false, false],
    );
    assert.equal(parseState(`/d/${name}`, "", "").slug, name);

    const split = cells(directory, [{ series: [{ metric: name }], columns: 4, facet: name }]);
    assert.deepEqual(
      split.map(({ facet, series }) => [facet, series.length]),
      [
        ["", 2],
        ["A", 1],
      ],
    );
    assert.equal(nextFacet(directory, { series: [{ metric: name }], columns: 4 }), name < "site" ? name : "site");

    const limit = { metric: name, labels: { ...own.labels }, warn_above: 1 };
    assert.deepEqual(
      [own, other, without].map((one) => applies(limit, one)),
      [true, false, false],
    );
    const [kept] = withLimit([limit], "critical_above", { metric: name, labels: own.labels, critical_above: 2 });
    assert.equal(JSON.stringify(kept.labels), `{"${name}":"A"}`);
    assert.match(pandasSnippet([own], { startMs: 0, endMs: 1 }, ""), new RegExp(`labels=\\{"${name}": "A"\\}`));
  });

test("a label is looked up by labelOf, or under a name of Object.keys", () => {
  const src = join(process.cwd(), "src");
  const files = (readdirSync(src, { recursive: true }) as string[]).filter((file) => file.endsWith(".ts"));
  const looks = files.filter((file) => /labels\??\.?\[(?!key\])/.test(readFileSync(join(src, file), "utf8")));
  assert.deepEqual(looks, ["base/naming.ts"]);
  assert.equal(files.length > 60, true);
});

test("two sets of labels that read the same are two: a limit on one leaves the other's", () => {
  const sets = [{ a: "x,b=y" }, { a: "x", b: "y" }, { a: "x\\", b: "y" }, { "a=x,b": "y" }, { a: "x\\,b\\=y" }];
  const directory = directoryOf(...sets.map((labels) => ({ metric: "m", labels: Object.entries(labels) })));
  assert.equal(new Set(directory.list.map(({ key }) => key)).size, sets.length);
  let all: Threshold[] = [];
  for (const [at, labels] of sets.entries())
    all = withLimit(all, "warn_above", { metric: "m", labels, warn_above: at });
  assert.deepEqual(
    all.map((one) => one.labels),
    sets,
  );
});
