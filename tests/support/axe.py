"""What axe-core finds wrong on a page, in both themes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["needs_axe", "violations"]

_AXE = Path(__file__).parents[2] / "client/chart/node_modules/axe-core/axe.min.js"
needs_axe = pytest.mark.skipif(not _AXE.exists(), reason="needs axe-core: npm ci --prefix client/chart")

# A third of the time of a run with its defaults: no list of what passed, no style sheets fetched again.
_RUN = """([theme, rules]) => {
    if (theme && document.documentElement.dataset.theme !== theme) throw new Error(`the page is not ${theme}`);
    const options = { resultTypes: ["violations"], preload: false, ...(rules && { runOnly: rules }) };
    return axe.run(document, options);
}"""
_THEME = "(theme) => document.documentElement.dataset.theme === theme"


async def violations(page: Any, *, by_media: bool = False) -> list[str]:
    """Return what axe-core finds, shadow roots included: by all rules while it is dark, by those of colours in light.

    Args:
        page: without a theme in its address, so that it has that of the system.
        by_media: it follows the system by its style sheet alone, and does not name its theme.
    """
    if not await page.evaluate("() => 'axe' in window"):
        await page.add_script_tag(path=_AXE)
    found = []
    for theme, rules in (("dark", None), ("light", ["color-contrast"])):
        await page.emulate_media(reduced_motion="reduce", color_scheme=theme)  # what fades in has no contrast yet
        if not by_media:
            await page.wait_for_function(_THEME, arg=theme, polling=50)
        result = await page.evaluate(_RUN, ["" if by_media else theme, rules])
        found += [
            f"{theme}: {one['id']}: {one['help']}: {[node['html'][:140] for node in one['nodes'][:3]]}"
            for one in result["violations"]
        ]
    return found
