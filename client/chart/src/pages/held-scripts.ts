/** Runs the scripts that the page holds back until the deck has drawn: Bokeh's and Panel's. */

let begun = false;

/**
 * Run them one after the other, once, while the page is at the path where it was loaded: their addresses, and that of the
 * session, are relative to it. Rejects if one cannot be fetched, which the browser reports: the deck needs none of them.
 */
export async function runHeldScripts(pathname: string): Promise<void> {
  const held = document.getElementById("panel-scripts");
  if (begun || !(held instanceof HTMLTemplateElement)) return;
  begun = true;
  for (const one of held.content.querySelectorAll("script")) {
    const script = document.createElement("script");
    for (const { name, value } of one.attributes) script.setAttribute(name, value);
    if (location.pathname !== pathname) return;
    script.text = one.text;
    const loaded = one.src
      ? new Promise((resolve, reject) => {
          script.addEventListener("load", resolve);
          script.addEventListener("error", () => reject(new Error(`cannot load ${script.src}`)));
        })
      : null;
    held.before(script);
    await loaded;
  }
}
