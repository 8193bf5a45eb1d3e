/** Builds the deck, compares it with the committed files (--check), runs the tests (--test), or rebuilds at every change (--watch). */

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, transform } from "esbuild";
import { rollup } from "rollup";

const here = fileURLToPath(new URL(".", import.meta.url));
const committed = fileURLToPath(new URL("../tidewire/static/", import.meta.url));
/** What a page of the dashboard needs before it can draw, and all that a notebook holds. */
const MAX_FIRST_BYTES = 200_000;
const MAX_NOTEBOOK_BYTES = 200_000;
/** The modules that pages start with, by the name of their file. */
const PAGES = ["deck-overview.js", "deck-charts.js"];
const BANNER = "/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */\n";
const MINIFIED = { minify: true, charset: "utf8", legalComments: "none", target: "es2022" };
const OURS = /^(deck(-[a-z-]+)?|notebook)\.js$/;

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

/** Build the modules of the dashboard, of which all but the first are loaded when they are asked for, and the notebook's only one. */
async function buildModules() {
  const deck = await rollup({
    input: { deck: "src/main.ts", "deck-panel": "src/panel.ts" },
    plugins: [sources],
    preserveEntrySignatures: "allow-extension",
  });
  const notebook = await rollup({ input: "src/notebook.ts", plugins: [sources] });
  const chunks = [
    ...(await deck.generate({ format: "es", entryFileNames: "[name].js", chunkFileNames: "deck-[name].js" })).output,
    ...(await notebook.generate({ format: "es", entryFileNames: "notebook.js", inlineDynamicImports: true })).output,
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
