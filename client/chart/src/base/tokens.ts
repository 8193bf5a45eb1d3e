/** The colours of the two themes: custom properties for the style sheet, and the same values for the canvases. */

export interface Tokens {
  canvas: string;
  surface: string;
  raised: string;
  border: string;
  cardBorder: string;
  hairline: string;
  text: string;
  secondary: string;
  muted: string;
  accent: string;
  onAccent: string;
  ok: string;
  warn: string;
  warnMark: string;
  critical: string;
  stale: string;
  sel: string;
  flag: string;
  hover: string;
  shadow: string;
  /** Twelve; the first six are easier to tell apart. */
  series: readonly string[];
  /** Of the band of a state. */
  bandAlpha: number;
}

export const DARK: Tokens = {
  canvas: "#0E1116",
  surface: "#161B22",
  raised: "#1F262F",
  border: "#2B333E",
  cardBorder: "rgba(43,51,62,.70)",
  hairline: "rgba(43,51,62,.75)",
  text: "#E6EBF2",
  secondary: "#A3AFBF",
  muted: "#8591A1",
  accent: "#5AA9FF",
  onAccent: "#0B1626",
  ok: "#2EC4B6",
  warn: "#FFC24B",
  warnMark: "#FFC24B",
  critical: "#FF4D6D",
  stale: "#8A96A6",
  sel: "#2B333E",
  flag: "#2B333E",
  hover: "rgba(163,175,191,.08)",
  shadow: "0 1px 2px rgba(0,0,0,.40),0 12px 32px rgba(0,0,0,.45)",
  series: [
    ...["#3581F6", "#E3884E", "#63EDCA", "#B1ABF4", "#F4CE23", "#CE357C"],
    ...["#A532BB", "#56722F", "#FEFF5C", "#46B78F", "#BA76BF", "#D6FFFE"],
  ],
  bandAlpha: 0.42,
};

export const LIGHT: Tokens = {
  canvas: "#F4F6F9",
  surface: "#FFFFFF",
  raised: "#FFFFFF",
  border: "#DDE3EA",
  cardBorder: "#E1E6ED",
  hairline: "#DDE3EA",
  text: "#17202B",
  secondary: "#4E5B6B",
  muted: "#5F6B7A",
  accent: "#1C6DD0",
  onAccent: "#FFFFFF",
  ok: "#0A7D74",
  warn: "#9A5C00",
  warnMark: "#B06A00",
  critical: "#B3123F",
  stale: "#66717F",
  sel: "#E4E9F0",
  flag: "#E6EAF0",
  hover: "rgba(23,32,43,.05)",
  shadow: "0 1px 2px rgba(23,32,43,.08),0 12px 32px rgba(23,32,43,.16)",
  series: [
    ...["#2750A2", "#A8480F", "#179B96", "#7B70E0", "#9D8E2F", "#901A5C"],
    ...["#D03260", "#1E00B7", "#624000", "#511A7C", "#2E7793", "#8030DB"],
  ],
  bandAlpha: 0.3,
};

/** The colour of a style of lines. */
export const lineColour = ({ series }: Tokens, style: number): string => series[style % series.length];

/** Font stack of the page; a notebook uses the same names, where Inter is used only if it is installed. */
export const FONT = 'Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif';

export function font(weight: number, px: number): string {
  return `${weight} ${px}px ${FONT}`;
}

/** Write a theme's custom properties on the root; `cardBorder` becomes `--card-border`. */
export function applyTokens(root: HTMLElement, theme: "dark" | "light"): Tokens {
  const tokens = theme === "light" ? LIGHT : DARK;
  for (const [name, value] of Object.entries(tokens)) {
    if (typeof value === "string")
      root.style.setProperty(`--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`, value);
  }
  root.dataset.theme = theme;
  return tokens;
}

/**
 * Tell whether the host page is dark, by attributes of the body (JupyterLab, Notebook, VS Code, marimo) or the root
 * (Colab); null: unknown.
 */
export function hostIsDark(
  body: Readonly<Record<string, string | undefined>>,
  rootTheme: string | null,
): boolean | null {
  if (body.jpThemeLight !== undefined) return body.jpThemeLight === "false";
  // "vscode-high-contrast" is dark, "vscode-high-contrast-light" is not
  if (body.vscodeThemeKind !== undefined) return !body.vscodeThemeKind.includes("light");
  const theme = body.theme ?? rootTheme ?? "";
  return theme === "dark" ? true : theme === "light" ? false : null;
}
