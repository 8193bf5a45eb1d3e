"""No module imports itself through others, not even for its types."""

from __future__ import annotations

import grimp


def test_no_import_is_part_of_a_circle() -> None:
    graph = grimp.build_graph("tidewire", "tidewire_service", "tidewire_dashboard")
    reached = {module: graph.find_downstream_modules(module) for module in graph.modules}
    circles = sorted(
        f"{importer} imports {imported}"
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if imported in reached[importer]
    )
    assert len(graph.modules) > 100
    assert not circles
