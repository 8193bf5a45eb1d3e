/** The three ways to publish a first reading, as the "No metrics yet" page shows them. */

/** A word of code and how it is coloured. */
export type Token = readonly [text: string, kind: "plain" | "word" | "string"];

export interface SnippetTab {
  name: string;
  lines: readonly (readonly Token[])[];
}

const word = (text: string): Token => [text, "word"];
const string = (text: string): Token => [text, "string"];
const plain = (text: string): Token => [text, "plain"];

export function snippetTabs(url: string, redis: string): SnippetTab[] {
  return [
    {
      name: "Python",
      lines: [
        [word("from"), plain(" tidewire "), word("import"), plain(" Publisher")],
        [plain("publisher = Publisher("), string(`"${url}"`), plain(")")],
        [plain("publisher.publish("), string('"furnace/temperature"'), plain(", 921.4, unit="), string('"Cel"'), plain(")")],
      ],
    },
    {
      name: "curl",
      lines: [
        [word("curl"), plain(` ${url}/v1/readings \\`)],
        [plain("  -H "), string("'Content-Type: application/json'"), plain(" \\")],
        [plain("  -d "), string(`'{"metric":"furnace/temperature","value":[921.4],"unit":"Cel"}'`)],
      ],
    },
    {
      name: "redis-cli",
      lines: [[word("redis-cli"), plain(` -u ${redis} \\`)], [plain("  PUBLISH tw:in:furnace/temperature 921.4")]],
    },
  ];
}

export function snippetText(tab: SnippetTab): string {
  return tab.lines.map((line) => line.map(([text]) => text).join("")).join("\n");
}
