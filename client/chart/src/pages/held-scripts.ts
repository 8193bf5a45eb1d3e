/** Runs the scripts that the page holds back until the deck has drawn: Bokeh's and Panel's. */

let begun = false;

/**
 * Run them one after the other, once, while the page is at the path where it was loaded: their addresses, and that of the
 * session, are relative to it. Rejects if one cannot be fetched, which the browser reports: the deck needs none of them.
 */
export async function runHeldScripts(pathname: string): Promise<void> {
  if (begun) return;
  begun = true;
  const held = document.getElementById("panel-scripts") ?? (await fetchedScripts(pathname));
  if (!(held instanceof HTMLTemplateElement)) return;
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

/**
 * Add what a page lacks that was answered before the dashboard had imported Panel; returns its scripts. The answer to the
 * same address waits for Panel. Null on a page that is not the dashboard's own, or once its log-in has ended.
 */
async function fetchedScripts(pathname: string): Promise<Element | null> {
  if (!document.getElementById("tidewire-page") || location.pathname !== pathname) return null;
  const answer = await fetch(pathname + location.search, { headers: { "Tidewire-Panel": "1" } });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const scripts = page.getElementById("panel-scripts");
  for (const part of [page.getElementById("panel-roots"), scripts]) {
    if (part) document.body.append(document.adoptNode(part));
  }
  return scripts;
}
