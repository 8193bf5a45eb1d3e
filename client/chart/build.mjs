/** Builds the deck, compares it with the committed file (--check), runs the tests (--test), or rebuilds at every change (--watch). */

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build, context, transform } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const committed = fileURLToPath(new URL("../tidewire/static/deck.js", import.meta.url));
const MAX_BYTES = 238_000;

/**
 * Long names of the deck's own that occur often and that no message, address, file or test of a page has: the build
 * shortens them, as it does private members.
 */
const SHORTENED =
  /^(byIndex|decimals|directory|directoryChanged|divisor|element|lastValue|plotHost|prints|requestDraw|savedDecks|session|setCharts|slots|stateChanged|timeline|tokens|traces|(expected|lastId|lastTime|now|retention|window)Ms)$/;

/** Style sheets become strings; esbuild would bundle them as they are written, comments and all. */
const styles = {
  name: "styles",
  setup: ({ onLoad }) => {
    onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await transform(readFileSync(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

const options = {
  absWorkingDir: here,
  entryPoints: ["src/main.ts"],
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  mangleProps: SHORTENED,
  charset: "utf8",
  legalComments: "eof",
  plugins: [styles],
  banner: { js: "/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */" },
  outfile: committed,
};

if (process.argv.includes("--test")) {
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
    plugins: [styles],
    packages: "external",
    sourcemap: "inline",
    outdir: ".test",
    outExtension: { ".js": ".mjs" },
  });
  const files = tests.map((name) => `.test/${name.replace(/\.(ts|mjs)$/, ".mjs")}`);
  const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...files], {
    cwd: here,
    stdio: "inherit",
  });
  process.exit(run.status ?? 1);
}

if (process.argv.includes("--watch")) {
  const watched = await context(options);
  await watched.watch();
  console.log(`${committed} follows src/; reload the page after a change`);
  await new Promise(() => {});
}

const check = process.argv.includes("--check");
const result = await build({ ...options, write: !check });
const bytes = check ? result.outputFiles[0].contents : readFileSync(committed);
if (bytes.length >= MAX_BYTES) {
  console.error(`deck.js is ${bytes.length} bytes; the bound is ${MAX_BYTES}`);
  process.exit(1);
}
if (check && !Buffer.from(bytes).equals(readFileSync(committed))) {
  console.error("client/tidewire/static/deck.js is not what client/chart builds: run `npm run build` and commit it");
  process.exit(1);
}
console.log(`deck.js ${bytes.length} bytes${check ? ", as committed" : ""}`);
