/** Creates elements. Data becomes text, never markup. */

type Attributes = Record<string, string | number | boolean | undefined | ((event: never) => void)>;

/** An element; attributes named `on…` are listeners, `false` and undefined leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string | null)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value as unknown as EventListener);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null) element.append(child);
  return element;
}

/** A line that says how an action ended; screen readers read it out. */
export function messageLine(hook: string): HTMLParagraphElement {
  return h("p", { class: "dialog-message", role: "status", "aria-live": "polite", "data-tw": hook });
}

/** Set text only if it differs, to spare a layout; into the text node that is there, which costs half of a new one. */
export function setText(element: HTMLElement, text: string): void {
  const { firstChild } = element;
  if (firstChild instanceof Text && firstChild === element.lastChild) {
    if (firstChild.data !== text) firstChild.data = text;
  } else if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element: Element, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Return the focused element of the document or shadow root that an element is in. */
export function focusedAt(element: HTMLElement): HTMLElement | null {
  return (element.getRootNode() as Document | ShadowRoot).activeElement as HTMLElement | null;
}

const SVG = "http://www.w3.org/2000/svg";

/** Whether a click on a link is for the browser: it opens a new tab or window. */
export function opensElsewhere({ metaKey, ctrlKey, shiftKey }: MouseEvent): boolean {
  return metaKey || ctrlKey || shiftKey;
}

/** Follow a link by `go` and not by loading a page, unless the click opens a new tab or window. */
export function onFollow(link: HTMLElement, go: () => void): void {
  link.addEventListener("click", (event) => {
    if (opensElsewhere(event)) return;
    event.preventDefault();
    go();
  });
}

/** Icon outlines on a 16 px grid, stroke 1.6. */
const ICONS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.4 10.4 14 14",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M4.5 3v10l8-5Z",
  link: "M6.7 9.3a2.8 2.8 0 0 0 4 0l2.2-2.2a2.83 2.83 0 0 0-4-4l-.9.9M9.3 6.7a2.8 2.8 0 0 0-4 0L3.1 8.9a2.83 2.83 0 0 0 4 4l.9-.9",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6ZM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M3.2 12.8l1-1M11.8 4.2l1-1",
  moon: "M13.5 9.6A5.8 5.8 0 0 1 6.4 2.5a5.8 5.8 0 1 0 7.1 7.1Z",
  calendar: "M2.5 3.8h11v9.7h-11ZM2.5 6.8h11M5.5 2v3M10.5 2v3",
  chevron: "m4.5 6.5 3.5 3.5 3.5-3.5",
  plus: "M8 3v10M3 8h10",
  close: "m4 4 8 8M12 4l-8 8",
  copy: "M6 6h7v7H6ZM10 6V3H3v7h3",
  check: "m3 8.5 3.2 3.2L13 5",
  done: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM5.4 8.3 7.2 10.1 10.6 6.2",
  warn: "M8 2.4 14.4 13.4H1.6ZM8 6.6v3M8 11.4v.2",
  critical: "M5.4 2h5.2L14 5.4v5.2L10.6 14H5.4L2 10.6V5.4ZM8 5v3.4M8 10.8v.2",
  clock: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM8 4.8V8l2 1.4",
  nodata: "M8 2.2a5.8 5.8 0 1 0 0 11.6A5.8 5.8 0 0 0 8 2.2ZM4 12 12 4",
  retry: "M13.2 8A5.2 5.2 0 1 1 11.5 4.2L13.2 5.8M13.2 2.4v3.4H9.8",
  ring: "M8 2.5A5.5 5.5 0 1 1 2.5 8",
  unzoom: "M3 8a5 5 0 1 1 1.6 3.7M3 12.5V8.9h3.6",
  flag: "M4 14V2.5h8L10 6l2 3.5H4",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  split: "M2.5 3h11v10h-11ZM8 3v10",
  formula: "M9 2.5c-1.8 0-2 1-2.3 2.6L5.4 12c-.3 1.5-.8 2-2.1 2M4 6.5h5M9.5 8l4 5M13.5 8l-4 5",
  axis: "M2.5 2.5v11h11M4.5 10l3-4 2.5 2.5 3.5-5",
  table: "M2.5 3h11v10h-11ZM2.5 6.5h11M2.5 9.8h11M6.5 6.5V13",
  tiles: "M3.5 13V8.5M8 13V3M12.5 13V6",
  deck: "M2.5 3h11v10h-11ZM10 3v10",
  expand: "M9.5 2.5h4v4M13.5 2.5 9 7M6.5 13.5h-4v-4M2.5 13.5 7 9",
  shrink: "M13 6.5H9.5V3M9.5 6.5 13.5 2.5M3 9.5h3.5V13M6.5 9.5l-4 4",
  open: "M6.5 3.5h-3v9h9v-3M9.5 2.5h4v4M13.5 2.5 7.5 8.5",
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName, size = 16): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("width", String(size));
  svg.setAttribute("height", String(size));
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/** The logo: a wave that ends in the live dot. */
export function mark(size = 24): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("width", String(size));
  svg.setAttribute("height", String(size));
  svg.setAttribute("class", "mark");
  svg.setAttribute("aria-hidden", "true");
  const wave = document.createElementNS(SVG, "path");
  wave.setAttribute("d", "M1.5 14.5C3.2 10 4.6 8 6.4 8c3.6 0 3.4 9.5 7 9.5 2.6 0 3.6-4.2 5.3-8.2");
  const dot = document.createElementNS(SVG, "circle");
  dot.setAttribute("cx", "20");
  dot.setAttribute("cy", "8");
  dot.setAttribute("r", "2.6");
  svg.append(wave, dot);
  return svg;
}

/** Create an icon button; the label is its tooltip and accessible name. */
export function iconButton(
  name: IconName,
  label: string,
  onclick: () => void,
  hook: string,
  size = 16,
): HTMLButtonElement {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, "data-tw": hook, onclick },
    icon(name, size),
  );
}

/** A group of buttons of which one is pressed. */
export class Segments<T extends string> {
  readonly element: HTMLElement;
  readonly #buttons = new Map<T, HTMLButtonElement>();

  constructor(label: string, hook: string, choices: readonly (readonly [T, string])[], choose: (value: T) => void) {
    this.element = h("div", { class: "segments", role: "group", "aria-label": label, "data-tw": hook });
    for (const [value, text] of choices) {
      const button = h(
        "button",
        { type: "button", "data-value": value, "aria-pressed": "false", onclick: () => choose(value) },
        text,
      );
      this.#buttons.set(value, button);
      this.element.append(button);
    }
  }

  select(value: T | null): void {
    for (const [own, button] of this.#buttons) setAttribute(button, "aria-pressed", String(own === value));
  }
}
