/** Names as people read them: groups, tile names, legend labels. Names stay text; nothing here makes markup. */

export type Labels = Readonly<Record<string, string>>;

/** The value of a label; undefined without one. A label may be named `constructor`, which every object answers to. */
export function labelOf(labels: Labels, name: string): string | undefined {
  return Object.hasOwn(labels, name) ? labels[name] : undefined;
}

/** Canonical text of a label set: sorted by key; two sets have two texts, since `,` and `=` in a label are escaped. */
export function labelKey(labels: Labels): string {
  const escaped = (text: string) => text.replace(/[\\,=]/g, "\\$&");
  return Object.keys(labels)
    .sort()
    .map((key) => `${escaped(key)}=${escaped(labels[key])}`)
    .join(",");
}

/** First level of a metric: the group it is listed under. */
export function groupOf(metric: string): string {
  const slash = metric.indexOf("/");
  return slash < 0 ? metric : metric.slice(0, slash);
}

/** The metric without its group; a metric of one level is its own name. */
export function nameInGroup(metric: string): string {
  const slash = metric.indexOf("/");
  return slash < 0 ? metric : metric.slice(slash + 1);
}

/** Metric and labels of a series, for a tooltip. */
export function fullName({ metric, key }: { metric: string; key: string }): string {
  return metric + (key ? ` {${key}}` : "");
}

/** A label on a tile or row, short: core 0 → core0, site A → A, direction rx → rx. */
export function shortLabels(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((key) => (/^\d/.test(labels[key]) ? `${key}${labels[key]}` : labels[key]))
    .join(" ");
}

/** A label in a legend, where a letter alone says too little: site A, core0, rx. */
export function legendLabel(labels: Labels): string {
  return Object.keys(labels)
    .sort()
    .map((key) => {
      const value = labels[key];
      if (/^\d/.test(value)) return `${key}${value}`;
      return value.length === 1 ? `${key} ${value}` : value;
    })
    .join(" ");
}

/** The labels that tell series of one metric apart: those whose value differs among them; all where none does. */
export function tellingLabels(labels: Labels, all: readonly Labels[]): Labels {
  const telling = Object.keys(labels).filter((name) => all.some((other) => labelOf(other, name) !== labels[name]));
  return telling.length ? Object.fromEntries(telling.map((name) => [name, labels[name]])) : labels;
}

/** Title of a chart that holds these metrics. */
export function chartTitle(metrics: readonly string[]): string {
  if (metrics.length <= 1) return metrics[0] ?? "";
  const group = groupOf(metrics[0]);
  if (metrics.every((metric) => groupOf(metric) === group && metric !== group)) {
    return `${group}/${metrics.map(nameInGroup).join(" + ")}`;
  }
  return metrics.join(" + ");
}

/** Sort key that puts cpu10 after cpu9. */
export const byName = new Intl.Collator("en", { numeric: true }).compare;
