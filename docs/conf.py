"""How Sphinx builds this documentation; ``make docs`` runs it with warnings as errors."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pathlib
import sys
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import optuna_zerocost
from optuna_zerocost import cli, proxies, proxy_table, records

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))  # zerocost_bench
sys.path.insert(0, str(ROOT / "docs"))  # studies_figure

project = "optuna-zerocost"
author = "The optuna-zerocost developers"
project_copyright = "The optuna-zerocost developers, MIT licence"
release = version = optuna_zerocost.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
# These pages show files of the repository's root, which an archive of the sources may lack.
exclude_patterns = [
    "_build",
    *(
        f"{page}.*"
        for page in ("changelog", "contributing", "security")
        if not (ROOT / f"{page.upper()}.md").is_file()
    ),
]
suppress_warnings = ["toc.excluded"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"optuna-zerocost {release}"
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
default_role = "py:obj"
napoleon_use_ivar = True
napoleon_use_rtype = False

# A reference to a public name of ours must lead somewhere. Those to Optuna, PyTorch and so on stay
# text: their inventories would have to be downloaded.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!optuna_zerocost|zerocost_bench).*"),
    (r"py:.*", r"(optuna_zerocost|zerocost_bench)(\.\w+)*\._.*"),
]


class ProxyTable(SphinxDirective):
    """``{proxy-table}``: the registered proxies with some of their columns, from their metadata.

    The arguments are names of attributes of :class:`optuna_zerocost.proxy_table.Row`.
    """

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        columns = self.arguments[0].split()
        header = [{"source": "pass"}.get(name, name) for name in columns]
        rows = [[_cell(row, name) for name in columns] for row in proxy_table.rows()]
        return [_table(header, rows)]


class QuantityTable(SphinxDirective):
    """``{quantity-table}``: what passes measure, so what a proxy can read."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        public = {name: getattr(proxies, name) for name in proxies.__all__}
        quantities = {
            name: value for name, value in public.items() if isinstance(value, proxies.Quantity)
        }
        rows = [
            [
                nodes.literal(text=name),
                nodes.Text(quantity.source.name),
                nodes.Text(quantity.summary),
            ]
            for name, quantity in sorted(
                quantities.items(), key=lambda q: (q[1].source.name, q[0])
            )
        ]
        return [_table(["quantity", "pass", "what it is"], rows)]


class AttributeTable(SphinxDirective):
    """``{attribute-table} user`` or ``system``: what is stored with trials and studies."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        is_user = self.arguments[0] == "user"
        attributes = records.ATTRIBUTES if is_user else records.HIDDEN_ATTRIBUTES
        rows = [
            [nodes.literal(text=f"{records.PREFIX}{name}"), nodes.inline("", "", *_prose(text))]
            for name, text in attributes.items()
        ]
        return [_table(["attribute", "meaning"], rows)]


class CommandHelp(SphinxDirective):
    """``{command-help}``: what a subcommand of ``optuna-zerocost`` answers to ``--help``."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the help as it is printed on a terminal of 80 columns."""
        os.environ["COLUMNS"] = "80"
        printed = io.StringIO()
        command, *words = self.arguments[0].split()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            if command == "bench":
                importlib.import_module("zerocost_bench.command").main([*words, "--help"])
            else:
                cli.main([command, *words, "--help"])
        return [nodes.literal_block(text=printed.getvalue(), language="text")]


class StudiesFigure(SphinxDirective):
    """``{studies-figure}``: the ratio of errors in each study, from the stored result."""

    def run(self) -> list[nodes.Node]:
        """Return the figure."""
        figure = importlib.import_module("studies_figure")
        path = ROOT / "benchmarks" / "results" / "studies.md"
        self.env.note_dependency(str(path))
        found = figure.ratios(path.read_text(encoding="utf-8"))
        return [nodes.raw("", figure.drawn(found), format="html")]


def _prose(text: str) -> list[nodes.Node]:
    """Return ``text`` with what stands in backticks as code."""
    parts = text.split("`")
    return [nodes.literal(text=p) if i % 2 else nodes.Text(p) for i, p in enumerate(parts)]


def _cell(row: proxy_table.Row, column: str) -> nodes.Node:
    value = getattr(row, column)
    if column == "name":
        return nodes.literal(text=value)
    if column == "cost":
        value = "-" if value is None else f"{value:.2f}"
    return nodes.Text(value)


def _table(header: list[str], rows: list[list[nodes.Node]]) -> nodes.table:
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.Text(name) for name in header])
    body += [_row(cells) for cells in rows]
    group += [head, body]
    return nodes.table("", group)


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def resolve_other_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Node | None:
    """Resolve ``optuna_zerocost.scoring.Vote``, say, where ``optuna_zerocost.Vote`` is meant.

    Docstrings name things where they live, the reference documents each in one place. Two names
    of one object are one object.
    """
    domain = env.domains.python_domain
    module, _, name = node.get("reftarget", "").rpartition(".")
    if not module.startswith(("optuna_zerocost", "zerocost_bench")):
        return None
    try:
        target: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        return None
    home = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', '')}"
    entry = domain.objects.get(home)
    if entry is None:
        return None
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, [content], home)


def setup(app: Sphinx) -> None:
    """Add what only this documentation needs."""
    app.add_directive("proxy-table", ProxyTable)
    app.add_directive("quantity-table", QuantityTable)
    app.add_directive("attribute-table", AttributeTable)
    app.add_directive("command-help", CommandHelp)
    app.add_directive("studies-figure", StudiesFigure)
    app.connect("missing-reference", resolve_other_home)
