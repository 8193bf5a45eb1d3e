/** Builds the deck, compares it with the committed files (--check), runs the tests (--test), or rebuilds at every change (--watch). */

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { rollup } from "rollup";

const here = fileURLToPath(new URL(".", import.meta.url));
const committed = fileURLToPath(new URL("../tidewire/static/", import.meta.url));
/** What a page of the dashboard needs before it can draw; what each notebook chart holds; and what one with a part has. */
const MAX_FIRST_BYTES = 200_000;
const MAX_NOTEBOOK_BYTES = 180_000;
const MAX_WITH_PART_BYTES = 210_000;
/** Modules that a notebook chart gets from its kernel when it needs them: by the file that is imported, its part. */
const PARTS = new Map([
  ["src/chart/kinds/kinds.ts", "kinds"],
  ["src/panels/many.ts", "many"],
  ["src/pages/notebook-runs.ts", "runs"],
]);
/** The modules that pages start with, by the name of their file. */
const PAGES = ["deck-overview.js", "deck-charts.js"];
const BANNER = "/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */\n";
const MINIFIED = { minify: true, charset: "utf8", legalComments: "none", target: "es2022" };
const OURS = /^(deck|notebook)(-[a-z-]+)?\.js$/;

async function minifyCss(path) {
  return (await transform(readFileSync(path, "utf8"), { loader: "css", minify: true })).code.trim();
}

/** For Rollup: TypeScript loses its types, style sheets become strings, and what is written is minified. */
const sources = {
  name: "sources",
  resolveId(name, from) {
    if (!from) return join(here, name);
    return join(dirname(from), name.endsWith(".css") ? name : `${name}.ts`);
  },
  async load(path) {
    if (path.endsWith(".css")) return `export default ${JSON.stringify(await minifyCss(path))};`;
    return (await transform(readFileSync(path, "utf8"), { loader: "ts", target: "es2022" })).code;
  },
  async renderChunk(code) {
    return BANNER + (await transform(code, { ...MINIFIED, format: "esm" })).code;
  },
};

/** For Rollup: an import of a part becomes a call, everything else is in the first module. */
const partsOfNotebook = {
  name: "parts",
  renderDynamicImport: ({ targetModuleId }) =>
    targetModuleId && PARTS.has(inside(targetModuleId)) ? { left: "TIDEWIRE_LOAD(", right: ")" } : null,
};

const inside = (path) => path.slice(here.length);

/** Which modules are in which chunk of the notebook: a part has what only it needs. */
function chunkOf(id, { getModuleInfo }) {
  const above = new Set();
  const climb = (module) => {
    if (above.has(module)) return;
    above.add(module);
    const { importers, dynamicImporters } = getModuleInfo(module);
    if (PARTS.has(inside(module))) return;
    for (const other of [...importers, ...dynamicImporters]) climb(other);
  };
  climb(id);
  const names = new Set([...above].map((module) => PARTS.get(inside(module)) ?? "").filter(Boolean));
  return names.size === 1 && !above.has(join(here, "src/notebook.ts")) ? `notebook-${[...names][0]}` : "notebook";
}

/** A list of imports or exports, `a as b,c`, as pairs of the name at the left and the one at the right. */
const pairsOf = (list) =>
  list
    .split(",")
    .map((one) => one.trim().split(" as "))
    .map(([a, b = a]) => [a, b]);

/** Let the first module offer what it exports, and a part take what it imports, without an address. */
function joinParts(chunk) {
  let { code } = chunk;
  if (chunk.fileName === "notebook.js") {
    const [statement, list] = /export\s*\{([^}]*)\};?\s*$/.exec(code);
    const exported = pairsOf(list);
    const nameOf = (wanted) => exported.find(([, name]) => name === wanted)[0];
    const shared = exported.filter(([, name]) => !["default", "parts"].includes(name));
    const core = shared.map(([own, name]) => `get ${name}(){return ${own}}`).join();
    code = code.slice(0, code.length - statement.length);
    code += `const TIDEWIRE_LOAD=n=>${nameOf("parts")}.load(n);${nameOf("parts")}.core={${core}};`;
    code += `export{${nameOf("default")} as default};\n`;
  } else {
    const loaded = /import\s*\{([^}]*)\}\s*from\s*"\.\/notebook\.js";?/g;
    const place = 'const TIDEWIRE_AT=globalThis["TIDEWIRE_PLACE"],TIDEWIRE_LOAD=n=>TIDEWIRE_AT.load(n);';
    code = code.replace(loaded, (_, list) => {
      const taken = pairsOf(list).map(([name, own]) => `${name}:${own}`);
      return `const{${taken.join()}}=TIDEWIRE_AT.core;`;
    });
    code = code.replace(BANNER, `${BANNER}${place}\n`);
    if (/^import[\s{"']/m.test(code.replace(BANNER, ""))) throw new Error(`${chunk.fileName} imports another part`);
  }
  return { ...chunk, code: code.replace(/TIDEWIRE_LOAD\("\.\/notebook-([a-z]+)\.js"\)/g, 'TIDEWIRE_LOAD("$1")') };
}

/** Build the modules of the dashboard, of which all but the first are loaded when they are asked for, and those of a notebook. */
async function buildModules() {
  const deck = await rollup({
    input: { deck: "src/main.ts", "deck-panel": "src/panel.ts" },
    plugins: [sources],
    preserveEntrySignatures: "allow-extension",
  });
  const notebook = await rollup({
    input: { notebook: "src/notebook.ts" },
    plugins: [sources, partsOfNotebook],
    preserveEntrySignatures: "allow-extension",
  });
  const chunks = [
    ...(await deck.generate({ format: "es", entryFileNames: "[name].js", chunkFileNames: "deck-[name].js" })).output,
    ...(
      await notebook.generate({
        format: "es",
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        manualChunks: chunkOf,
      })
    ).output.map(joinParts),
  ];
  await Promise.all([deck.close(), notebook.close()]);
  return new Map(chunks.map((chunk) => [chunk.fileName, chunk]));
}

const bytesOf = ({ code }) => Buffer.byteLength(code);

/** The bytes of a module and of all that it imports. */
function firstBytes(modules, name, seen = new Set()) {
  if (seen.has(name)) return 0;
  seen.add(name);
  const chunk = modules.get(name);
  return chunk.imports.reduce((sum, other) => sum + firstBytes(modules, other, seen), bytesOf(chunk));
}

/** What is wrong with built modules: one line for each fault. */
function faults(modules) {
  const sizes = [
    ...PAGES.map((page) => [`deck.js with ${page}`, firstBytes(modules, page), MAX_FIRST_BYTES]),
    ["notebook.js", bytesOf(modules.get("notebook.js")), MAX_NOTEBOOK_BYTES],
    ...[...PARTS.values()].map((part) => [
      `notebook.js with its part ${part}`,
      bytesOf(modules.get("notebook.js")) + bytesOf(modules.get(`notebook-${part}.js`)),
      MAX_WITH_PART_BYTES,
    ]),
  ];
  for (const [what, bytes] of sizes) console.log(`${what}: ${bytes} bytes`);
  const unnamed = [...modules.keys()].filter((name) => !OURS.test(name));
  return [
    ...sizes
      .filter(([, bytes, most]) => bytes > most)
      .map(([what, bytes, most]) => `${what} is ${bytes} bytes; the bound is ${most}`),
    ...unnamed.map((name) => `${name} is not the name of a module that the dashboard serves`),
  ];
}

const onDisk = () => readdirSync(committed).filter((name) => OURS.test(name));

async function write() {
  const modules = await buildModules();
  for (const name of onDisk()) if (!modules.has(name)) rmSync(join(committed, name));
  for (const [name, { code }] of modules) writeFileSync(join(committed, name), code);
  return faults(modules);
}

async function check() {
  const modules = await buildModules();
  const stale = [...new Set([...modules.keys(), ...onDisk()])].filter(
    (name) => !onDisk().includes(name) || modules.get(name)?.code !== readFileSync(join(committed, name), "utf8"),
  );
  return [
    ...faults(modules),
    ...stale.map(
      (name) => `client/tidewire/static/${name} is not what client/chart builds: run \`npm run build\` and commit it`,
    ),
  ];
}

async function runTests() {
  rmSync(`${here}.test`, { recursive: true, force: true });
  mkdirSync(`${here}.test`);
  const tests = readdirSync(`${here}test`).filter((name) => /\.test\.(ts|mjs)$/.test(name));
  await build({
    absWorkingDir: here,
    entryPoints: tests.map((name) => `test/${name}`),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    loader: { ".css": "text" },
    packages: "external",
    sourcemap: "inline",
    outdir: ".test",
    outExtension: { ".js": ".mjs" },
  });
  const files = tests.map((name) => `.test/${name.replace(/\.(ts|mjs)$/, ".mjs")}`);
  return spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], { cwd: here, stdio: "inherit" });
}

process.chdir(here);
if (process.argv.includes("--test")) process.exit((await runTests()).status ?? 1);
if (process.argv.includes("--watch")) {
  let due;
  const rebuild = () => write().then((found) => found.forEach((fault) => console.error(fault)), console.error);
  watch("src", { recursive: true }, () => {
    clearTimeout(due);
    due = setTimeout(rebuild, 100);
  });
  await rebuild();
  console.log(`${committed} follows src/; reload the page after a change`);
} else {
  const found = await (process.argv.includes("--check") ? check() : write());
  for (const fault of found) console.error(fault);
  if (found.length) process.exit(1);
}
