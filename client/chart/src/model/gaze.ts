/** Tells Python which series are on the screen, so that their past is read first. */

/** Series sent at most: what is on a screen, and some. */
const MOST = 500;
/** While a page is scrolled it is told this often. */
const EVERY_MS = 250;

export class Gaze {
  readonly #send: (series: number[]) => void;
  #charts: readonly number[] = [];
  #list: readonly number[] = [];
  #sent = "";
  #timer = 0;

  constructor(send: (series: number[]) => void) {
    this.#send = send;
  }

  /** Set the series of the charts in view. */
  charts(series: readonly number[]): void {
    this.#charts = series;
    this.#later();
  }

  /** Set the series of the tiles or of the sidebar's rows in view. */
  list(series: readonly number[]): void {
    this.#list = series;
    this.#later();
  }

  /** Tell everything again: there is another connection. */
  again(): void {
    this.#sent = "";
    this.#later();
  }

  #later(): void {
    if (this.#timer !== 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      const series = [...new Set([...this.#charts, ...this.#list])].slice(0, MOST);
      const key = series.join();
      if (key === this.#sent) return;
      this.#sent = key;
      this.#send(series);
    }, EVERY_MS) as unknown as number;
  }
}
