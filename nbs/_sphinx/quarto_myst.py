"""Read a notebook as nbdev prepares it for Quarto, and hand it to myst-nb in its own dialect (`nb_custom_formats`).

Callouts become admonitions, nbdev's function documentation becomes headings with targets, links between pages become
references that Sphinx checks, `#|` lines become cell tags, and every figure gets a text for those who do not see it."""
import re

import nbformat
import yaml

directives = re.compile(r"^#\|\s*([\w.-]+)\s*:?\s*(.*?)\s*$", re.M)
front_matter = re.compile(r"\s*---\n(.*?)\n---\s*", re.S)
callout = re.compile(r"^(:{3,})\s*\{\.callout-(\w+)([^}]*)\}\s*\n(.*?)\n\1\s*$", re.M | re.S)
source_link = re.compile(r"\[source\]\(([^)]+)\)\{[^}]*\}")
heading = re.compile(r"^#{1,6}\s+(.+?)\s*(?:\{[^}]*\})?\s*$", re.M)


def outside_code(function, text, inside=lambda part: part):
    "Apply `function` to what stands outside fenced code, and `inside` to the fenced code."
    parts = re.split(r"^(```.*?^```\s*$)", text, flags=re.M | re.S)
    return "".join(inside(part) if number % 2 else function(part) for number, part in enumerate(parts))


def without_links(part):
    "nbdev also links names in the comments of signatures, where a link is only clutter."
    return re.sub(r"\[`([^`\]]+)`\]\([^)]*\)", r"`\1`", part)


def _admonition(match):
    fence, kind, attributes, body = match.groups()
    kind = kind if kind in ("note", "tip", "warning", "caution", "important") else "note"
    title = re.search(r'title="([^"]*)"', attributes)
    title = title and title[1]
    first = re.match(r"\s*#+\s+(.*)\n", body + "\n")
    if not title and first:
        title, body = first[1], (body + "\n")[first.end():]
    classes = f"{kind} dropdown" if 'collapse="true"' in attributes else kind
    return f"{fence}{{admonition}} {title or kind.capitalize()}\n:class: {classes}\n\n{body.strip()}\n{fence}"


def target(page, name):
    "The label of the documentation of `name` on `page`, unique in the site."
    return f"{page}-{re.sub(r'[^0-9a-z]+', '-', name.lower()).strip('-')}"


def without_dead_anchors(text, site_url, documented):
    "nbdev links every name of the package it meets in backticks; where a page has no entry for the name, link to the page."
    def checked(match):
        return match[0] if _is_heading(match[3]) or target(match[2], match[3]) in documented else f"]({match[1]})"
    return re.sub(rf"\]\(({re.escape(site_url.rstrip('/'))}/(?:[^)#\s]*/)?([^/)#\s]+)\.html)#([^)\s]+)\)", checked, text)


def _is_heading(anchor):
    "nbdev's anchors are names of the code; one with a hyphen is that of a heading."
    return "-" in anchor


def _reference(match):
    "A link to an anchor of another page as one that Sphinx checks."
    page, anchor = match.groups()
    return f"]({page}.ipynb#{anchor})" if _is_heading(anchor) else f"](#{target(page, anchor)})"


def markdown(text, site_url):
    "Prose in Quarto's dialect as MyST."
    site = re.escape(site_url.rstrip("/"))
    text = callout.sub(_admonition, text)
    text = re.sub(rf"\]\({site}/(?:[^)#\s]*/)?([^/)#\s]+)\.html#([^)\s]+)\)", _reference, text)
    text = re.sub(rf"\]\({site}/([^)#\s]+)\.html\)", r"](\1.ipynb)", text)
    return outside_code(lambda part: re.sub(r"^(#+ .*?)\s*\{[^}]*\}\s*$", r"\1", part, flags=re.M), text, without_links)


def documentation(text, site_url, page, known):
    "What `show_doc` wrote: a heading others can link to, the link to the source beside it, the signature."
    found = source_link.search(text)
    link = f"[[source]]({found[1]}){{.nbdev-source}}" if found else ""
    text = re.sub(r"^---\s*\n", "", source_link.sub("", text).lstrip()).strip()

    escaped = r"\_\_"  # two underscores, which Markdown would take for bold

    def with_target(match):
        name = match[2].strip()
        label = target(page, name)
        lines = [f"{match[1]} {name.replace('__', escaped)}", "", link]
        if label not in known:
            known.add(label)
            anchor = [f'<span id="{name.lower()}"></span>', ""] if "." in name else []
            lines = anchor + [f"({label})=", *lines]
        return "\n".join(lines) + "\n"

    text = re.sub(r"^(#+)\s+(.+)$", with_target, text, count=1, flags=re.M)
    text = re.sub(r"^```python\ndef (?=[A-Z])", "```python\nclass ", text, count=1, flags=re.M)  # nbdev writes `def` for classes
    return markdown(text, site_url)


def title_cell(text):
    "The page's title and subtitle from its front matter, and the name of the page."
    facts = yaml.safe_load(front_matter.match(text)[1]) or {}
    lines = [f"# {facts.get('title', '')}"]
    if facts.get("description"):
        lines += ["", "{.lead}", facts["description"]]
    return "\n".join(lines), str(facts.get("output-file", "index")).removesuffix(".html")


def alternative_text(cell, options, above):
    "What a figure is described by where it cannot be seen: `#| fig-alt:`, else its own `alt`, else the heading it stands under."
    own = [facts["alt"] for output in cell.get("outputs", []) for facts in output.get("metadata", {}).values() if "alt" in facts]
    return options.get("fig-alt", "").strip("\"'") or "".join(own[:1]) or f"Figure: {re.sub(r'[`*_]', '', above)}"


def source_label(source):
    "What a folded cell of the module holds."
    defined = re.findall(r"^(?:async )?(?:def|class) (\w+)", source, re.M)
    if not defined and re.match(r"(from|import) ", source):
        return "Imports"
    names = defined or re.findall(r"^(\w+)\b.*? = ", source, re.M)
    return "Source of " + ", ".join(dict.fromkeys(names)) if names else "Source"


def code_cell(cell, options, above):
    "Turn `#|` lines into myst-nb's tags; None when the cell is not to be shown at all."
    if options.get("include") == "false":
        return None
    cell.source = re.sub(r"^#\|.*\n?", "", cell.source, flags=re.M).strip()
    tags, extras = cell.metadata.setdefault("tags", []), {}
    if options.get("echo") == "false" or not cell.source:
        tags.append("remove-input")
    if options.get("output") == "false":
        tags.append("remove-output")
    if options.get("code-fold") in ("true", "show"):
        tags.append("hide-input")
        label = options.get("code-summary", "Show the code").strip("\"'").replace("Exported source", source_label(cell.source))
        extras.update(code_prompt_show=label, code_prompt_hide=label)
    if any("image/png" in output.get("data", {}) or "image/svg+xml" in output.get("data", {}) for output in cell.outputs):
        extras["image"] = dict(alt=alternative_text(cell, options, above))
    if extras:
        cell.metadata["mystnb"] = extras
    return cell


def cells(notebook, site_url):
    "The cells of the page, in MyST."
    page, above, known = "index", "", set()
    for number, cell in enumerate(notebook.cells):
        if number == 0 and front_matter.match(cell.source):
            text, page = title_cell(cell.source)
            above = heading.search(text)[1]
            yield nbformat.v4.new_markdown_cell(text)
        elif cell.cell_type == "markdown":
            if cell.source.startswith("<!-- WARNING") or is_badge(cell.source):
                continue
            above = ([above] + heading.findall(cell.source))[-1]
            cell.source = markdown(cell.source, site_url)
            yield cell
        elif cell.cell_type == "code":
            options = dict(directives.findall(cell.source))
            if options.get("output") == "asis":
                yield from spliced(cell, site_url, page, known)
            elif (shown := code_cell(cell, options, above)) is not None:
                yield shown


def is_badge(text):
    "Whether a cell holds nothing but the Colab badge; each page has its own button."
    return "colab-badge.svg" in text and len(text.strip().splitlines()) == 1


def spliced(cell, site_url, page, known):
    "Markdown that a cell printed, as a markdown cell."
    for output in cell.outputs:
        text = output.get("data", {}).get("text/markdown")
        if text:
            shown = documentation(text, site_url, page, known) if "show_doc" in cell.source else markdown(text, site_url)
            yield nbformat.v4.new_markdown_cell(shown)


def read(text, site_url=""):
    "The notebook as myst-nb wants it."
    notebook = nbformat.reads(text, as_version=4)
    notebook.metadata["language_info"] = dict(name="python", pygments_lexer="ipython3")
    notebook.cells = list(cells(notebook, site_url))
    return notebook
