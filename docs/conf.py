"""The documentation site: the specification itself, decisions, models, and the library's reference."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE / "_ext"))

project = "ToM, The Open Messaging"
author = "The ToM contributors"
copyright = "2026, the ToM contributors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "tom_site",
    "machine_index",
    "conformance_pages",
    "generated_tables",
    "printable",
    "port_matrix",
]
exclude_patterns = ["_build", "_ext", "_print", "data"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
toc_object_entries = False
nitpicky = False

html_theme = "furo"
html_copy_source = False
html_show_sourcelink = False
html_title = "ToM"
html_static_path = ["_static"]
html_css_files = ["tom.css"]
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b5c55",
        "color-brand-content": "#0b5c55",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5fc7bb",
        "color-brand-content": "#5fc7bb",
    },
}

if tags.has("printable"):  # type: ignore[name-defined]  # noqa: F821 -- Sphinx puts it here
    root_doc = "generated/printable"
    include_patterns = ["generated/printable.md", "generated/[0-9]*.md"]
    html_theme = "basic"
    html_theme_options = {}
    html_static_path = []
    html_css_files = []
    html_permalinks = False
    html_domain_indices = html_use_index = False
    templates_path = ["_print"]
    html_context: dict[str, str] = {}
else:
    exclude_patterns.append("generated/printable.md")
