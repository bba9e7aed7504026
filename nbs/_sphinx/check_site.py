"""Open every page of the built site in headless Chromium: `python nbs/_sphinx/check_site.py [FOLDER] [--pictures FOLDER]`.

Serves the folder (default `_docs`) on 127.0.0.1 and reports console errors, files that are missing, pictures that do not load or
have no alternative text, doubled ids, links to anchors that do not exist, requests to other hosts, and pages that scroll sideways
on a phone; also searches for ten terms, and uses the menu of pages and the switch between light and dark. Exits 1 when it found
something. Needs Chromium and nothing else."""
import argparse
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

widths = dict(desktop=1280, phone=400)
# What is looked for by the search, and a page that must be among what it finds.
searches = {"Grad-CAM": "gradcam", "learning rate": "lr_finder", "cutout": "augment", "checkpoint": "checkpoint", "confusion": "evaluate",
            "Muon": "optim", "ONNX": "export", "LayerCAM": "cam_methods", "pointing game": "localisation", "McNemar": "evaluate"}
script = """<!doctype html><title>check</title><body><script>
const pages = PAGES, widths = WIDTHS, searches = SEARCHES, found = [];
const paint = () => new Promise(done => setTimeout(done, 150));
async function opened(page, width) {
  const frame = document.createElement('iframe');
  frame.style = `width:${width}px; height:900px; border:0`;
  const loaded = new Promise(done => frame.onload = done);
  frame.src = '/' + page;
  document.body.append(frame);
  await loaded; await paint();
  return frame;
}
async function until(condition, seconds = 10) {
  for (let k = 0; k < 10 * seconds && !condition(); k++) await new Promise(done => setTimeout(done, 100));
  return condition();
}
async function search(term, page) {
  const frame = await opened('search.html?q=' + encodeURIComponent(term), widths[0]);
  const links = () => [...frame.contentDocument.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'));
  if (!await until(() => links().some(link => link.includes(page + '.html'))))
    found.push(`search for "${term}" does not find ${page} (${links().length} results)`);
  frame.remove();
}
async function menus() {
  let frame = await opened('index.html', widths[0]), view = frame.contentDocument;
  for (const mode of ['dark', 'light']) {
    view.querySelector(`button.theme-change-button[data-mode=${mode}]`).click();
    await paint();
    if (view.documentElement.dataset.theme != mode) found.push(`the switch to ${mode} does nothing`);
  }
  const listed = [...view.querySelectorAll('#pst-primary-sidebar nav.bd-docs-nav a')].map(a => a.getAttribute('href').split('#')[0]);
  for (const page of pages)
    if (!['index.html', 'search.html', 'genindex.html'].includes(page) && !listed.includes(page)) found.push(`${page} is not in the menu of pages`);
  frame.remove();
  frame = await opened('index.html', widths[1]); view = frame.contentDocument;
  view.querySelector('button.primary-toggle').click();
  if (!await until(() => view.querySelector('#pst-primary-sidebar-modal').open, 3)) found.push('on a phone the menu of pages does not open');
  frame.remove();
}
async function look(page, width) {
  const frame = await opened(page, width);
  const view = frame.contentDocument, root = view.documentElement, say = text => found.push(`${page} at ${width} px: ${text}`);
  if (root.scrollWidth > root.clientWidth + 1) say(`scrolls sideways (${root.scrollWidth} px)`);
  if (width == widths[0]) {
    for (const image of view.images) {
      image.loading = 'eager';
      await image.decode().catch(() => say(`picture does not load: ${image.src.slice(0, 120)}`));
      if (!image.alt.trim()) say(`picture without alternative text: ${image.src.slice(0, 120)}`);
    }
    const ids = [...view.querySelectorAll('[id]')].map(node => node.id);
    for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) != place))) say(`id "${id}" is used twice`);
    for (const link of view.querySelectorAll('a[href^="#"]')) {
      const id = decodeURIComponent(link.getAttribute('href').slice(1));
      if (id && !view.getElementById(id)) say(`link to #${id}, which does not exist`);
    }
  }
  frame.remove();
}
(async () => {
  for (const width of widths) for (const page of pages) await look(page, width);
  for (const [term, page] of Object.entries(searches)) await search(term, page);
  await menus();
  await fetch('/__done__', {method: 'POST', body: JSON.stringify(found)});
})();
</script>"""


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/__check__"):
            return super().do_GET()
        data = self.server.script.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        self.server.found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *words):
        pass

    def log_error(self, form, *words):
        if "favicon" not in self.path:
            self.server.missing.append(self.path)


def chromium(profile, *arguments):
    "Start Chromium without a window."
    program = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if program is None:
        sys.exit("needs chromium on the PATH")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--hide-scrollbars", f"--user-data-dir={profile}", "--enable-logging=stderr",
               "--v=0", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def problems(server, address, profile):
    "What Chromium finds wrong on the pages, as lines of text."
    process = chromium(profile, "--remote-debugging-port=0", "--window-size=1400,1000", f"{address}/__check__")
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    finished = server.done.wait(600)
    process.terminate()
    process.wait()
    reader.join()
    console = dict.fromkeys(line.split(":CONSOLE", 1)[1].strip() for line in lines if ":CONSOLE" in line and "[PST]:" not in line)
    return (server.found if finished else ["the check did not finish", *lines[-5:]]) + [f"console {line}" for line in console]


def outside(folder):
    "Scripts, styles, pictures and fonts that a page would fetch from elsewhere."
    for path in sorted(folder.rglob("*.html")):
        for tag in re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", path.read_text(encoding="utf-8")):
            address = re.search(r'(?:src|href)="(https?:)?//', tag)
            if address and not re.search(r'rel="(canonical|author|license|next|prev)"', tag):
                yield f"{path.name}: fetches from outside: {tag[:120]}"


def photograph(address, pages, folder, profile):
    "A picture of each page on a desktop (light and dark) and on a phone."
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages:
        stem = page.removesuffix(".html").replace("/", "_")
        for name, size, extra in (("desktop", "1280,1800", []), ("dark", "1280,1800", ["--blink-settings=preferredColorScheme=0"]),
                                  ("phone", "500,1800", [])):
            chromium(profile, "--virtual-time-budget=4000", f"--window-size={size}", *extra,
                     f"--screenshot={folder.resolve()/f'{stem}_{name}.png'}", f"{address}/{page}").communicate(timeout=60)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parents[2]/"_docs")
    parser.add_argument("--pictures", type=Path, help="also photograph every page into this folder")
    options = parser.parse_args()
    pages = sorted(str(path.relative_to(options.folder)) for path in options.folder.rglob("*.html") if "_static" not in path.parts)
    if not pages:
        sys.exit(f"no pages in {options.folder}; build them with python nbs/_sphinx/build.py")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(options.folder)))
    server.daemon_threads, server.missing, server.found, server.done = True, [], [], threading.Event()
    server.script = script.replace("PAGES", json.dumps(pages)).replace("WIDTHS", json.dumps(list(widths.values())))
    server.script = server.script.replace("SEARCHES", json.dumps(searches))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        found = problems(server, address, profile) + list(outside(options.folder))
        if options.pictures:
            photograph(address, pages, options.pictures, profile)
    found += [f"missing file: {path}" for path in dict.fromkeys(server.missing)]
    print("\n".join(found) if found else f"{len(pages)} pages at {' and '.join(map(str, widths.values()))} px: nothing to report")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
