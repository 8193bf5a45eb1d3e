/** The tile with a sparkline: the kind of every series that no other kind fits. */
import { longSpan, plural } from "../base/format";
import { font, lineColour } from "../base/tokens";
import { shownBy } from "../model/columns";
import { isSilent } from "../model/freshness";
import { FLAG_PARTIAL } from "../wire/frame";
import { drawSpark } from "./sparkline";
import type { TileFoot, TileKind } from "./tile";

/** A line of fewer readings says how many they are, where it leaves room for the words. */
const FEW = 6;

export const sparkTile: TileKind = {
  fits: () => true,
  drawFoot: (foot) => {
    const { ctx, box, right, series, slot, state, trace, moment } = foot;
    const { tokens, columns, nowMs } = moment;
    const shown = state === "warn" || state === "critical" ? "live" : state;
    const silent = isSilent(state);
    const style = {
      colour: lineColour(tokens, series.style),
      width: 1.25,
      dot: 2,
      alpha: silent ? 0.62 : 1,
    };
    drawSpark(ctx, tokens, trace, slot, { ...box, hatchRight: right }, columns, nowMs, shown, style);
    if (!silent) fewWords(foot);
  },
};

/** Say how few readings the window has; not while its past is still to come, nor of words. */
function fewWords({ ctx, box, slot, trace, moment: { columns, nowMs, windowMs, tokens } }: TileFoot): void {
  if (slot.flags & FLAG_PARTIAL || Number.isNaN(slot.lastValue)) return;
  let readings = 0;
  for (let i = 0; i < trace.n; i++) readings += trace.count[i];
  if (readings >= FEW) return;
  const { startMs, endMs } = shownBy(columns, nowMs);
  const from = trace.n > 0 ? (trace.time[0] - startMs) / (endMs - startMs) : 1;
  const words = `${readings ? plural(readings, "reading", "readings") : "no reading"} in ${longSpan(windowMs)}`;
  ctx.font = font(400, 11);
  if (ctx.measureText(words).width + 16 > from * box.width) return;
  ctx.fillStyle = tokens.muted;
  ctx.textAlign = "left";
  ctx.fillText(words, box.left + 10, box.top + box.height / 2 + 4);
}
