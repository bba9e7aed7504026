"""Build the docs site into `_docs`, and README.md, without Quarto and without network.

    python nbs/_sphinx/build.py             both
    python nbs/_sphinx/build.py --readme    README.md only

nbdev prepares the notebooks in `_proc`, exactly as `nbdev_docs` does; Sphinx renders them in Quarto's place. Warnings are errors.
The order and the sections of the pages stand in nbs/sidebar.yml, for Quarto and for this build alike."""
import argparse
import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("PYTHONWARNINGS", "ignore:Found cells containing imports:UserWarning")  # tests/test_notebooks.py sees to it
import nbdev.doclinks
import yaml
from nbdev.config import get_config
from nbdev.quarto import refresh_quarto_yml
from nbdev.serve import proc_nbs

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))
import quarto_myst


def sections(notebooks):
    "[(section title or None, [notebook names])] from sidebar.yml; ends the program when it and the folder disagree."
    contents = yaml.safe_load((notebooks/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    found = [(None, [entry]) if isinstance(entry, str) else (entry["section"], entry["contents"]) for entry in contents]
    listed = [name for _, names in found for name in names]
    present = {path.name for path in notebooks.glob("*.ipynb") if path.name[0] not in "._"}
    problems = [f"{name} is listed but does not exist" for name in listed if name not in present]
    problems += [f"{name} exists but is not listed" for name in sorted(present - set(listed))]
    problems += [f"{name} is listed twice" for name in sorted({name for name in listed if listed.count(name) > 1})]
    if problems:
        sys.exit("nbs/sidebar.yml: " + "; ".join(problems))
    return found


def page_name(notebook, name):
    "The name nbdev links to: `00a_show.ipynb` is the page `show`."
    facts = front_matter(notebook)
    return Path(facts.get("output-file") or re.sub(r"^\d+[a-z]?_", "", name)).stem


def front_matter(notebook):
    match = quarto_myst.front_matter.match("".join(notebook["cells"][0]["source"])) if notebook["cells"] else None
    return yaml.safe_load(match[1]) or {} if match else {}


def check_cells(processed, grouped):
    "End the program when nbdev could not document a function: its page would show the error."
    for name in (name for _, names in grouped for name in names):
        for cell in json.loads((processed/name).read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error" and "show_doc(" in "".join(cell["source"]):
                    call = "".join(cell["source"]).splitlines()[-1]
                    (processed/name).unlink()  # nbdev would take it for done
                    sys.exit(f"{name}: {call} failed: {output['ename']}: {output['evalue']}")


def stage(processed, grouped, folder, site_url):
    "Copy the processed notebooks to `folder` under their page names; the index gets one list of pages for each section."
    folder.mkdir(parents=True)
    if (here.parent/"images").is_dir():
        shutil.copytree(here.parent/"images", folder/"images")
    names = [name for _, listed in grouped for name in listed]
    notebooks = {name: json.loads((processed/name).read_text(encoding="utf-8")) for name in names}
    pages = {name: page_name(notebook, name) for name, notebook in notebooks.items()}
    documented = {quarto_myst.target(pages[name], entry) for name in names for entry in documented_names(notebooks[name])}
    for name, notebook in notebooks.items():
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = with_page_links("".join(cell["source"]), pages, site_url)
                cell["source"] = quarto_myst.without_dead_anchors(text, site_url, documented)
        if name == "index.ipynb":
            notebook["cells"].append(dict(cell_type="markdown", id="sections", metadata={}, source=toctrees(grouped, processed)))
        (folder/f"{pages[name]}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder/"notebooks.json").write_text(json.dumps({page: name for name, page in pages.items()}), encoding="utf-8")


def with_page_links(text, pages, site_url):
    "Names of notebooks in running text, `07_trainer`, as links to their pages; code blocks and links stay as they are."
    def link(match):
        page = pages.get(f"{match[1]}.ipynb")
        return f"[`{match[1]}`]({site_url}/{page}.html)" if page else match[0]
    return quarto_myst.outside_code(lambda part: re.sub(r"(?<![\[`])`(\d\d[a-z]?_\w+)`(?![\]`])", link, part), text)


def documented_names(notebook):
    "The names `show_doc` wrote a heading for."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code" and "show_doc(" in "".join(cell["source"]):
            for output in cell["outputs"]:
                found = quarto_myst.heading.search("".join(output.get("data", {}).get("text/markdown", "")))
                if found:
                    yield found[1]


def toctrees(grouped, processed):
    "Sphinx's lists of pages, one for each section, with the numbers that give the order of reading."
    blocks = []
    for title, names in grouped:
        entries = [entry(processed, name) for name in names if name != "index.ipynb"]
        if entries:
            blocks.append("\n".join(["```{toctree}", ":hidden:", f":caption: {title or 'Pages'}", "", *entries, "```"]))
    return "\n\n".join(blocks)


def entry(processed, name):
    notebook = json.loads((processed/name).read_text(encoding="utf-8"))
    number = re.match(r"(\d+[a-z]?)_", name)
    title = front_matter(notebook).get("title", name)
    return f"{number[1] + ' · ' if number else ''}{title} <{page_name(notebook, name)}>"


def render(processed, grouped, destination, site_url):
    "Run Sphinx with warnings as errors; `destination` is replaced only when it succeeds."
    work = processed/"_myst"  # Quarto passes over folders that start with `_`
    shutil.rmtree(work, ignore_errors=True)
    stage(processed, grouped, work/"src", site_url)
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-c", here, work/"src", work/"html"]
    code = subprocess.run(command, stdin=subprocess.DEVNULL).returncode
    if code:
        sys.exit(code)
    shutil.rmtree(destination, ignore_errors=True)
    shutil.copytree(work/"html", destination, ignore=shutil.ignore_patterns(".buildinfo", ".doctrees"))


def readme_output(output, name, images):
    "One output of a cell as markdown; a picture is written into the folder `images`."
    data = output.get("data", {})
    if data.get("text/markdown"):
        return "".join(data["text/markdown"])
    if "image/png" in data:
        images.mkdir(exist_ok=True)
        (images/name).write_bytes(base64.b64decode("".join(data["image/png"])))
        return f"![](nbs/images/{name})"
    text = "".join(output.get("text") or data.get("text/plain") or [])
    return "\n".join("    " + line for line in text.rstrip().splitlines())


def readme_cell(cell, images, above):
    "The blocks of markdown that one cell of the index becomes."
    source = "".join(cell["source"]).strip()
    if cell["cell_type"] == "markdown":
        return [] if not source or source.startswith("<!-- WARNING") else [source]
    options = dict(quarto_myst.directives.findall(source))
    source = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip()
    blocks = [f"``` python\n{source}\n```"] if source and options.get("echo") != "false" and options.get("include") != "false" else []
    for number, output in enumerate(cell.get("outputs", [])):
        block = readme_output(output, f"index_{cell['id']}_{number}.png", images)
        blocks.append(block.replace("![]", f"![{quarto_myst.alternative_text(cell, options, above)}]") if block.startswith("![]") else block)
    return blocks


def write_readme(source, destination, pages, site_url):
    "README.md from the processed index notebook, in the form `nbdev_readme` gives it, with links to the pages it names."
    notebook = json.loads(source.read_text(encoding="utf-8"))
    facts = front_matter(notebook)
    blocks = [f"# {facts['title']}"]
    if facts.get("description"):
        blocks.append(f"> {facts['description']}")
    blocks.append("<!-- WARNING: THIS FILE WAS AUTOGENERATED from nbs/index.ipynb! DO NOT EDIT! -->")
    images = destination.parent/"nbs"/"images"
    for old in images.glob("index_*.png"):
        old.unlink()
    above = [facts["title"]]
    for cell in notebook["cells"][1:]:
        blocks += readme_cell(cell, images, above[-1])
        above = (above + quarto_myst.heading.findall("".join(cell["source"]) if cell["cell_type"] == "markdown" else ""))[-1:]
    text = with_page_links("\n\n".join(blocks).replace("](images/", "](nbs/images/"), pages, site_url)
    destination.write_text(text + "\n", encoding="utf-8")


def for_language_models(processed, grouped, address):
    "The text of `llms.txt` (llmstxt.org): what this is, and each page with its address and its one sentence."
    notebooks = {name: json.loads((processed/name).read_text(encoding="utf-8")) for _, names in grouped for name in names}
    facts = {name: front_matter(notebook) for name, notebook in notebooks.items()}
    lines = [f"# {facts['index.ipynb'].get('title', '')}", "", f"> {facts['index.ipynb'].get('description', '')}"]
    for title, names in grouped:
        lines += ["", f"## {title or 'Start'}", ""]
        lines += [f"- [{facts[name].get('title', name)}]({address}/{page_name(notebooks[name], name)}.html): {facts[name].get('description', '')}"
                  for name in names]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readme", action="store_true", help="write README.md only")
    options = parser.parse_args()
    config = get_config()
    os.chdir(config.config_path)
    sys.path.insert(0, str(config.config_path))  # nbdev's workers inherit it: the package documented is the one beside this file
    grouped = sections(config.nbs_path)
    os.environ.pop("IN_TEST", None)
    refresh_quarto_yml()  # not nbdev_docs: that command tries to install Quarto where there is none
    nbdev.doclinks._build_modidx()
    processed = proc_nbs(n_workers=2)
    check_cells(processed, grouped)
    site_url, names = config.doc_host + config.doc_baseurl, [name for _, listed in grouped for name in listed]
    pages = {name: page_name(json.loads((processed/name).read_text(encoding="utf-8")), name) for name in names}
    write_readme(processed/config.readme_nb, config.config_path/"README.md", pages, site_url)
    if not options.readme:
        render(processed, grouped, Path(config.doc_path), site_url)
        (Path(config.doc_path)/"llms.txt").write_text(for_language_models(processed, grouped, site_url), encoding="utf-8")
        print(f"{sum(len(names) for _, names in grouped)} pages in {Path(config.doc_path).name}/")


if __name__ == "__main__":
    main()
