/** Holds the order of the folders of src/: no file imports from a later room, and no imports form a circle; types included. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path/posix";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Lower rooms first. */
export const ROOMS = [
  "base",
  "wire",
  "model",
  "canvas",
  "chart",
  "panels",
  "pages",
  "main.ts",
  "panel.ts",
  "notebook.ts",
];

const here = fileURLToPath(new URL(".", import.meta.url));

/** The source files that a text imports, by `from "./x"`, `import "./x"` or `import("./x")`. */
export function importsOf(file, text) {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "");
  const found = [...code.matchAll(/\b(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g)].map(([, path]) =>
    join(dirname(file), path),
  );
  return [...new Set(found)].filter((path) => !path.endsWith(".css")).map((path) => `${path}.ts`);
}

/** What is wrong with a graph of imports, file → imported files: one line for each fault. */
export function faults(graph) {
  const found = [];
  const room = (file) => ROOMS.indexOf(file.split("/")[0]);
  for (const [file, imported] of graph) {
    if (room(file) < 0) found.push(`${file} is in no room`);
    for (const other of imported)
      if (room(other) > room(file)) found.push(`${file} imports ${other}, from a later room`);
  }
  const done = new Set();
  const visit = (file, path) => {
    if (path.includes(file)) found.push(`a circle: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`);
    if (done.has(file) || path.includes(file)) return;
    for (const other of graph.get(file) ?? []) visit(other, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

/** Check src/; the imports that esbuild resolves must all have been found in the text, so that none goes unseen. */
export async function check() {
  const files = readdirSync(`${here}src`, { recursive: true }).filter(
    (file) => file.endsWith(".ts") && !file.endsWith(".d.ts"),
  );
  const graph = new Map(files.map((file) => [file, importsOf(file, readFileSync(`${here}src/${file}`, "utf8"))]));
  const { metafile } = await build({
    absWorkingDir: here,
    entryPoints: ["src/panel.ts", "src/notebook.ts"],
    outdir: ".",
    bundle: true,
    format: "esm",
    write: false,
    metafile: true,
    loader: { ".css": "empty" },
  });
  const inside = (path) => path.replace(/^src\//, "");
  const unseen = Object.entries(metafile.inputs).flatMap(([file, { imports }]) =>
    imports
      .filter(({ path }) => path.endsWith(".ts") && !graph.get(inside(file))?.includes(inside(path)))
      .map(({ path }) => `${file} imports ${path}, which this check does not see`),
  );
  return { files: files.length, found: [...faults(graph), ...unseen] };
}

if (process.argv[1]?.endsWith("/check-rooms.mjs")) {
  const { files, found } = await check();
  for (const fault of found) console.error(fault);
  if (found.length) process.exit(1);
  console.log(`${files} files, no import circle, none from a later room`);
}
