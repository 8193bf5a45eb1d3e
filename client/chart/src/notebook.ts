/** Entry point of a notebook chart: starts the notebook frame in anywidget's cell. */

import { parts } from "./base/parts";
import { NotebookFrame } from "./pages/notebook";
import css from "./pages/notebook.css";
import { deckRoot } from "./pages/root";
import type { WidgetModel } from "./wire/port";

function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  const root = deckRoot(css);
  root.classList.add("notebook");
  el.append(root);
  const frame = new NotebookFrame(model, root);
  return () => frame.destroy();
}

export { parts };
export default { render };
