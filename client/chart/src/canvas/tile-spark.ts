/** The tile with a sparkline: the kind of every series that no other kind fits. */
import { isSilent } from "../model/freshness";
import { drawSpark } from "./sparkline";
import type { TileKind } from "./tile";

export const sparkTile: TileKind = {
  fits: () => true,
  drawFoot: ({ ctx, box, right, series, slot, state, trace, moment: { tokens, columns, nowMs } }) => {
    const shown = state === "warn" || state === "critical" ? "live" : state;
    const silent = isSilent(state);
    const style = {
      colour: tokens.series[series.colour],
      width: 1.25,
      dot: 2,
      alpha: silent ? 0.62 : 1,
    };
    drawSpark(ctx, tokens, trace, slot, { ...box, hatchRight: right }, columns, nowMs, shown, style);
  },
};
