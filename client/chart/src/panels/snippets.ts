/** The ways to publish a first reading. */
import { h, icon, setText } from "../base/dom";
import type { Session } from "../model/session";

/** A word of code and how it is coloured. */
export type Token = readonly [text: string, kind: "plain" | "word" | "string"];

export interface SnippetTab {
  name: string;
  lines: readonly (readonly Token[])[];
}

const FIRST = "furnace/temperature";

const word = (text: string): Token => [text, "word"];
const string = (text: string): Token => [text, "string"];
const plain = (text: string): Token => [text, "plain"];

/** Return the addresses of the service and of Redis, as far as the dashboard has said. */
export function snippetUrls({ snippet, status }: Pick<Session, "snippet" | "status">): [string, string] {
  return [snippet?.url || status?.service || "http://127.0.0.1:8000", snippet?.redis || "redis://127.0.0.1:6379"];
}

/** Return a snippet for each way, with the metric that it publishes. */
export function snippetTabs(
  url: string,
  redis: string,
  metrics: readonly string[] = [FIRST, FIRST, FIRST],
): SnippetTab[] {
  const [python, curl, cli] = metrics;
  return [
    {
      name: "Python",
      lines: [
        [word("from"), plain(" tidewire "), word("import"), plain(" Publisher")],
        [plain("publisher = Publisher("), string(`"${url}"`), plain(")")],
        [plain("publisher.publish("), string(`"${python}"`), plain(", 921.4, unit="), string('"Cel"'), plain(")")],
      ],
    },
    {
      name: "curl",
      lines: [
        [word("curl"), plain(` ${url}/v1/readings \\`)],
        [plain("  -H "), string("'Content-Type: application/json'"), plain(" \\")],
        [plain("  -d "), string(`'{"metric":"${curl}","value":[921.4],"unit":"Cel"}'`)],
      ],
    },
    {
      name: "redis-cli",
      lines: [[word("redis-cli"), plain(` -u ${redis} \\`)], [plain(`  PUBLISH tw:in:${cli} 921.4`)]],
    },
  ];
}

export function snippetText(tab: SnippetTab): string {
  return tab.lines.map((line) => line.map(([text]) => text).join("")).join("\n");
}

/** Return the words of a line, coloured. */
export const lineWords = (line: readonly Token[]): HTMLElement[] =>
  line.map(([text, kind]) => h("span", { class: `code-${kind}` }, text));

/** Return a button that copies a text, and says so; `copied` is called then. */
export function copyButton(text: () => string, copied: () => void = () => undefined): HTMLButtonElement {
  const words = h("span", {}, "Copy");
  const copy = async (): Promise<void> => {
    copied();
    try {
      await navigator.clipboard.writeText(text());
      setText(words, "Copied");
    } catch {
      setText(words, "Select it and copy"); // a page without TLS has no clipboard
    }
    window.setTimeout(() => setText(words, "Copy"), 2_000);
  };
  const attributes = { type: "button", class: "button", "data-tw": "copy-snippet", onclick: () => void copy() };
  return h("button", attributes, icon("copy", 14), words);
}

/** Return Python code that loads the readings of these series and this span into a DataFrame. */
export function pandasSnippet(
  series: readonly { metric: string; labels: Readonly<Record<string, string>> }[],
  span: { startMs: number; endMs: number },
  url: string,
): string {
  const metrics = [...new Set(series.map(({ metric }) => metric))];
  const only =
    series.length === 1 && Object.keys(series[0].labels).length > 0
      ? [`    labels=${pythonDict(series[0].labels)},`]
      : [];
  return [
    "import tidewire",
    "",
    "readings = tidewire.history(",
    ...metrics.map((metric) => `    ${JSON.stringify(metric)},`),
    `    start="${new Date(span.startMs).toISOString()}",`,
    `    end="${new Date(span.endMs).toISOString()}",`,
    ...only,
    `    url=${JSON.stringify(url)},`,
    ")",
    'readings.groupby("metric")["value"].describe()',
    "",
  ].join("\n");
}

function pythonDict(labels: Readonly<Record<string, string>>): string {
  return `{${Object.entries(labels)
    .map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)}`)
    .join(", ")}}`;
}
