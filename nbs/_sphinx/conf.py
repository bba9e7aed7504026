"Sphinx settings of the docs site. Everything about the project itself comes from settings.ini."
import json
import sys
from configparser import ConfigParser
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
parser = ConfigParser(delimiters=["="])
parser.read(here.parent.parent/"settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

project, author, copyright, release = (settings[key] for key in ("title", "author", "copyright", "version"))
site_url, git_url, branch = settings["doc_host"] + settings["doc_baseurl"], settings["git_url"], settings["branch"]
colab_url = f"https://colab.research.google.com/github/{settings['user']}/{settings['repo']}/blob/{branch}/nbs/"

extensions = ["myst_nb", "sphinx_copybutton", "mathml"]
exclude_patterns = ["**.ipynb_checkpoints", "**/*.md"]
suppress_warnings = ["myst.header", "misc.highlighting_failure"]

nb_execution_mode = "off"  # outputs are those saved in the notebooks; nbdev ran the cells that document functions
nb_merge_streams = True
nb_custom_formats = {".ipynb": ["quarto_myst.read", dict(site_url=site_url), False]}
myst_enable_extensions = ["attrs_inline", "attrs_block", "colon_fence", "deflist", "dollarmath", "tasklist"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

html_theme = "pydata_sphinx_theme"
html_title = project
html_baseurl = site_url + "/"
html_show_sourcelink = False
html_copy_source = False
html_static_path, templates_path, html_css_files = [str(here/"_static")], [str(here/"_templates")], ["cam.css"]
html_sidebars = {"**": ["nb-nav"]}
html_context = dict(default_mode="auto")
html_theme_options = dict(
    logo=dict(text=project),
    github_url=git_url,
    navbar_align="right",
    navbar_center=[],
    navbar_persistent=["search-button"],
    article_header_end=["nb-colab"],
    secondary_sidebar_items=["page-toc", "nb-buttons"],
    show_toc_level=2,
    show_prev_next=True,
    pygments_light_style="a11y-high-contrast-light",
    pygments_dark_style="a11y-high-contrast-dark",
    footer_start=["copyright"],
    footer_end=[],
)


def add_notebook(app, pagename, templatename, context, doctree):
    "Tell the templates which notebook a page comes from."
    notebooks = json.loads((Path(app.srcdir)/"notebooks.json").read_text(encoding="utf-8"))
    context.update(notebook=notebooks.get(pagename), git_url=git_url, branch=branch, colab_url=colab_url)


def setup(app):
    app.connect("html-page-context", add_notebook)
