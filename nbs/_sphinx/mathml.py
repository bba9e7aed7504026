"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network.

A Sphinx extension: `html_math_renderer = 'mathml'`. A formula that cannot be translated is a warning, and under `-W` an error."""
import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

logger = logging.getLogger(__name__)


def to_mathml(latex, display, node):
    "The formula as MathML; several lines are aligned at their `&`."
    if display == "block" and r"\\" in latex and r"\begin" not in latex:
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        return re.sub(r"\s*\n\s*", " ", convert(latex, display=display))
    except Exception as error:
        logger.warning("cannot translate the formula %r: %s", latex, error, location=node)
        return "<code></code>"


def visit_inline(self, node):
    self.body.append(f'<span class="math">{to_mathml(node.astext(), "inline", node)}</span>')
    raise nodes.SkipNode


def visit_block(self, node):
    self.body.append(f'<div class="math">{to_mathml(node.astext(), "block", node)}</div>\n')
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=(visit_inline, None), block_renderers=(visit_block, None))
    return dict(version="1", parallel_read_safe=True, parallel_write_safe=True)
