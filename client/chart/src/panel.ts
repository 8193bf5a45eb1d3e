/** What Panel loads, by a loader that copies the module: it has nothing but the import of the deck, which the browser loads. */
export { default } from "./main";
