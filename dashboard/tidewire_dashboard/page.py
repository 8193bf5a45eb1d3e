"""The HTML of a page: it tells the deck all it needs, and holds Bokeh's scripts back until the deck has drawn.

Bokeh and Panel, two megabytes and half a second of script, run once the deck has drawn. A page that was answered before
Panel had been imported has none of them: once it has drawn, it fetches its address with `PANEL_HEADER`.
"""

from __future__ import annotations

from typing import Any, Final

from jinja2 import Template

from tidewire_dashboard.assets import ASSETS, first_modules, module_folder

__all__ = ["PAGE", "PANEL_HEADER", "page_variables", "render_page"]

PANEL_HEADER: Final = "Tidewire-Panel"
"""A page's request with this header is answered with Panel's scripts, once they are there."""

# The page has the background of its theme from the start, so that nothing flashes before the module has loaded.
PAGE: Final = Template("""{% extends base %}
{% block title %}Tidewire{% endblock %}
{% block preamble %}
<script>
// Panel loads a module by a shim that reads and copies it; what that imports of ours, the browser loads itself.
window.esmsInitOptions = { skip: [{{ module_folder|tojson }}] };
</script>
{% endblock %}
{% block postamble %}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<link rel="icon" href="data:,">
{% for module in modules %}<link rel="modulepreload" href="{{ module }}">
{% endfor %}<style>
html, body { margin: 0; height: 100%; background: #0E1116; overflow: hidden; }
html[data-theme="light"] { background: #F4F6F9; }
@media (prefers-color-scheme: light) { html:not([data-theme="dark"]) { background: #F4F6F9; } }
</style>
<script>
const theme = new URLSearchParams(location.search).get("theme");
if (theme) document.documentElement.dataset.theme = theme;
</script>
{% endblock %}
{% block js_resources %}{% endblock %}
{% block inner_body %}
<div id="tidewire-page" data-page='{{ given|tojson }}'></div>
<script type="module" async src="{{ modules[0] }}"></script>
{% if plot_script %}
<div id="panel-roots" style="position: absolute; inset: 0; visibility: hidden">
{% for root in roots %}{{ embed(root) }}{% endfor %}
</div>
<template id="panel-scripts">
{{ bokeh_js }}
{{ plot_script }}
</template>
<script>
for (const { src } of document.getElementById("panel-scripts").content.querySelectorAll("script[src]"))
  document.head.append(Object.assign(document.createElement("link"), { rel: "prefetch", href: src }));
</script>
{% endif %}
{% endblock %}
""")
_BASE: Final = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{% block title %}{% endblock %}</title>
{% block preamble %}{% endblock %}
{% block js_resources %}{% endblock %}
{% block postamble %}{% endblock %}
</head>
<body>
{% block inner_body %}{% endblock %}
</body>
</html>
""")


def page_variables(page: str, *, ticket: str, viewer: str, prefix: str = "") -> dict[str, Any]:
    """Return the variables of `PAGE`, of which `given` is what the deck is told.

    Args:
        page: "overview" or "deck".
        ticket: the frame socket accepts the page by it.
        viewer: whose token the page was opened with; empty without a log-in.
        prefix: path below which the dashboard is served, without a slash at its end.
    """
    return {
        "given": {
            "page": page,
            "socket_path": f"{prefix}/frames",
            "ticket": ticket,
            "viewer": viewer,
            "assets": f"{prefix}/{ASSETS}",
            "dashboard_prefix": prefix,
        },
        "module_folder": f"{prefix}/{module_folder()}/",
        "modules": [f"{prefix}/{module}" for module in first_modules(page)],
    }


def render_page(page: str, *, ticket: str, viewer: str) -> str:
    """Return the HTML of a page without Panel's scripts."""
    html: str = PAGE.render(base=_BASE, **page_variables(page, ticket=ticket, viewer=viewer))
    return html
