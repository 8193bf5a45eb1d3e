/**
 * Entry point of the dashboard: starts the app by what the page says of it, or else in Panel's component.
 *
 * Panel brings the component's properties after its own and Bokeh's scripts have run, which takes longer than the deck needs
 * for its first charts.
 */

import { App } from "./pages/app";
import { deckRoot } from "./pages/root";

/** What the deck uses of the dashboard's Panel component. */
interface PanelModel {
  page?: string;
  socket_path?: string;
  ticket?: string;
  viewer?: string;
  theme?: string;
  assets?: string;
  dashboard_prefix?: string;
  on?: (name: string, listener: () => void) => void;
}

const LATIN =
  "U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+0304,U+0308,U+0329,U+2000-206F,U+20AC,U+2122,U+2191,U+2193,U+2212,U+2215,U+FEFF,U+FFFD";
const LATIN_EXT =
  "U+0100-02BA,U+02BD-02C5,U+02C7-02CC,U+02CE-02D7,U+02DD-02FF,U+0304,U+0308,U+0329,U+1D00-1DBF,U+1E00-1E9F,U+1EF2-1EFF,U+2020,U+20A0-20AB,U+20AD-20C0,U+2113,U+2C60-2C7F,U+A720-A7FF";

/** Add the fonts to the document: those declared in a shadow root are ignored. */
function loadFonts(assets: string, loaded: () => void): void {
  for (const [file, unicodeRange] of [
    ["inter-latin.woff2", LATIN],
    ["inter-latin-ext.woff2", LATIN_EXT],
  ] as const) {
    const address = new URL(`${assets.replace(/\/$/, "")}/${file}`, document.baseURI).href;
    const face = new FontFace("Inter", `url(${JSON.stringify(address)})`, {
      weight: "100 900",
      unicodeRange,
      display: "swap",
    });
    document.fonts.add(face);
    // Canvas text does not load a font by itself.
    if (file === "inter-latin.woff2") face.load().then(loaded, () => undefined);
  }
}

interface Started {
  destroy(): void;
  /** Go on with the properties of Panel's component, of which some may change. */
  adopt(model: PanelModel): void;
}

function startDashboard(given: PanelModel, el: ParentNode, root: HTMLElement): Started {
  let model = given;
  const socketBase = new URL(model.socket_path || "../frames", location.href);
  const prefix = (model.dashboard_prefix ?? "").replace(/\/$/, "");
  const app = new App({
    root,
    prefix,
    viewer: model.viewer ?? "",
    fallbackPage: model.page === "deck" ? "deck" : "overview",
    theme: () => model.theme ?? "auto",
    socketAddress: () => {
      const address = new URL(socketBase);
      address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
      address.hash = "";
      address.search = "";
      if (given.ticket) address.searchParams.set("ticket", given.ticket);
      return address.href;
    },
    drawn: () => {
      void import("./pages/debug").then(({ debugState }) => {
        const shown = window as unknown as Record<string, unknown>;
        shown.__tidewire = Object.freeze({ state: () => debugState(app, app.debug()) });
      });
      window.setTimeout(loadPanel, PANEL_AFTER_MS);
    },
  });
  if (model.assets) loadFonts(model.assets, () => app.applyTheme());
  el.append(root);
  return {
    destroy: () => app.destroy(),
    adopt(component) {
      model = component;
      model.on?.("theme", () => app.applyTheme());
    },
  };
}

/** Panel's scripts begin so long after the first drawing, which they would hold up … */
const PANEL_AFTER_MS = 3_000;
/** … or so long after the start, if nothing was drawn: a session without a connection is given up after 25 s. */
const PANEL_AT_LATEST_MS = 10_000;
const { pathname } = location;
const loadPanel = (): void =>
  void import("./pages/held-scripts").then(({ runHeldScripts }) => runHeldScripts(pathname));

/** Start by what the page says; null on a page that says nothing. */
function startEarly(): Started | null {
  const place = document.getElementById("tidewire-page");
  if (!place?.dataset.page) return null;
  return startDashboard(JSON.parse(place.dataset.page) as PanelModel, place.attachShadow({ mode: "open" }), deckRoot());
}

const early = startEarly();
if (early) window.setTimeout(loadPanel, PANEL_AT_LATEST_MS);

function render({ model, el }: { model: PanelModel; el: HTMLElement }): () => void {
  const started = early ?? startDashboard(model, el, deckRoot());
  started.adopt(model);
  const destroy = (): void => started.destroy();
  model.on?.("remove", destroy);
  return destroy;
}

export default { render };
