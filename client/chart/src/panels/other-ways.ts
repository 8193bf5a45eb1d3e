/** "Publish from other tools": what to paste for each, and what has come since. */

import { h, icon, setText, show } from "../base/dom";
import { fullName } from "../base/naming";
import { isOwn } from "../model/directory";
import type { AppContext } from "./app-context";
import css from "./other-ways.css";
import { copyButton, snippetUrls } from "./snippets";

const LOOK_MS = 500;
const NAMED = 3;
const LISTENING = "Listening for new series…";

/** Return what publishes, and the lines to paste. */
export function waysOf(url: string, redis: string): readonly (readonly [what: string, code: string])[] {
  const { hostname, protocol, port: given } = new URL(url);
  const ssl = protocol === "https:";
  const port = given || (ssl ? "443" : "80");
  return [
    [
      "Node, Deno or a page: anything that speaks HTTP",
      `await fetch("${url}/v1/readings", {\n  method: "POST",\n  headers: { "Content-Type": "application/json" },\n  body: JSON.stringify({ metric: "line-1/flow", value: [12.5], unit: "L/min", labels: { site: "A" } }),\n});`,
    ],
    [
      "Any Redis client; kept until the service reads it",
      `redis-cli -u ${redis} XADD tw:in '*' metric line-1/flow value 12.5 unit L/min`,
    ],
    [
      "A CSV file: columns metric, time, value, unit; all others are labels",
      `curl ${url}/v1/readings -H 'Content-Type: text/csv' --data-binary @readings.csv`,
    ],
    ["A recorded file, replayed as if it were live", `tidewire replay readings.csv --speed 10 --to ${url}`],
    ["CPU, memory, disk and network of a machine", `tidewire host --to ${url}`],
    [
      "Telegraf, with all that it collects",
      `[[outputs.influxdb]]\n  urls = ["${url}"]\n  database = "any"\n  username = "any"\n  password = "TOKEN"`,
    ],
    [
      "Home Assistant: each entity with its unit",
      `influxdb:\n  api_version: 1\n  host: ${hostname}\n  port: ${port}\n  ssl: ${ssl}\n  username: any\n  password: TOKEN`,
    ],
    [
      "Proxmox, Glances and other clients of InfluxDB; any database or bucket will do",
      `curl ${url}/write -H 'Authorization: Token TOKEN' \\\n  --data-binary 'furnace,site=A temperature=921.4'`,
    ],
    [
      "OpenTelemetry: any SDK, instrumentation or collector",
      `export OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=${url}/v1/metrics\nexport OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf\nexport OTEL_EXPORTER_OTLP_METRICS_HEADERS='Authorization=Bearer%20TOKEN'`,
    ],
    [
      "What Prometheus scrapes, such as a node exporter",
      `tidewire scrape http://127.0.0.1:9100/metrics --every 15s --to ${url}`,
    ],
    ["Clients of StatsD, with DogStatsD's tags", `tidewire statsd --to ${url}`],
    [
      "Devices that publish to an MQTT broker",
      `tidewire mqtt mqtt://broker 'plant/+/temperature' --unit Cel --to ${url}`,
    ],
    [
      "Scripts that push to a Prometheus Pushgateway",
      `echo "backup_seconds 12.5" | curl --data-binary @- ${url}/metrics/job/backup`,
    ],
  ];
}

/** One way, and what came after its lines were copied. */
interface Way {
  readonly element: HTMLElement;
  readonly status: HTMLElement;
  readonly words: HTMLElement;
  readonly mark: HTMLElement;
  readonly found: Set<string>;
}

export class OtherWays {
  readonly element = h("div", { class: "ways" });
  readonly #app: AppContext;
  readonly #all: Way;
  #copied: Way | undefined;
  readonly #known: Set<number>;

  constructor(app: AppContext) {
    this.#app = app;
    this.#known = new Set(app.session.directory.byIndex.keys());
    const [url, redis] = snippetUrls(app.session);
    this.#all = this.#way(h("p", {}, "Paste the lines of what you have. What comes from then on is named here."));
    show(this.#all.status, true);
    this.element.append(
      h("style", {}, css),
      this.#all.element,
      ...waysOf(url, redis).map(([what, code]) => this.#code(what, code)),
      h(
        "a",
        { class: "link", href: `${url}/schema`, target: "_blank", rel: "noopener" },
        "All of the service's routes, with their formats",
      ),
    );
  }

  #code(what: string, code: string): HTMLElement {
    const copy = copyButton(
      () => code,
      () => {
        this.#copied = way;
        show(way.status, true);
      },
    );
    const head = h("div", { class: "way-head" }, h("h3", {}, what), copy);
    const way = this.#way(head, h("pre", { class: "code", tabindex: "0", "aria-label": what }, code));
    return way.element;
  }

  #way(...content: readonly HTMLElement[]): Way {
    const mark = h("span", { class: "way-mark" }, icon("ring", 14));
    const words = h("span", {}, LISTENING);
    const status = h("div", { class: "way-status", role: "status", "data-tw": "way-status" }, mark, words);
    show(status, false);
    return { element: h("section", {}, ...content, status), status, words, mark, found: new Set() };
  }

  /** Name what is new. */
  draw(): void {
    for (const series of this.#app.session.directory.measured) {
      if (this.#known.has(series.index) || isOwn(series)) continue;
      this.#known.add(series.index);
      this.#found(this.#all, fullName(series));
      if (this.#copied) this.#found(this.#copied, fullName(series));
    }
  }

  #found(way: Way, name: string): void {
    if (way.found.size === 0) way.mark.replaceChildren(icon("check", 14));
    way.found.add(name);
    way.status.classList.add("found");
    const names = [...way.found].slice(0, NAMED).join(", ");
    const more = way.found.size - NAMED;
    setText(way.words, `Here it is: ${names}${more > 0 ? ` and ${more} more` : ""}`);
  }
}

/** Show the ways in the page's dialog, and look for what comes while it is open. */
export function showOtherWays(app: AppContext): void {
  const ways = new OtherWays(app);
  const timer = window.setInterval(() => ways.draw(), LOOK_MS);
  app.dialog.show("Publish from other tools", ways.element, () => window.clearInterval(timer), true);
}
