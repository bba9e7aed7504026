"A real Chromium without a window, driven through chromedriver's WebDriver interface with nothing but the standard library."
import base64
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

program = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
driver = shutil.which("chromedriver")
missing = "" if program and driver else "needs chromium and chromedriver on the PATH"
_element = "element-6066-11e4-a52e-4f735466cecf"  # the name that the WebDriver standard gives to references


class Chromium:
    "One browser window; nothing outside 127.0.0.1 can be reached from it, and what is asked for is written down."
    def __init__(self, width=1280, height=1000):
        self.process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = ""
        while "started successfully" not in said:
            said = self.process.stdout.readline()
            assert said, "chromedriver did not start"
        self.base = "http://127.0.0.1:" + re.search(r"port (\d+)", said)[1]
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
                 "--disable-background-networking", "--disable-component-update", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                 f"--window-size={width},{height}"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"binary": program, "args": words},
                  "goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}
        self.base += "/session/" + self.call("/session", capabilities={"alwaysMatch": wanted})["sessionId"]

    def call(self, path, method="POST", **body):
        "One request to chromedriver; its answer's value."
        request = urllib.request.Request(self.base + path, json.dumps(body).encode() if method == "POST" else None,
                                         {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as problem:
            raise RuntimeError(json.load(problem)["value"]["message"].splitlines()[0]) from None

    def open(self, address):
        self.call("/url", url=address)

    def run(self, script, *words):
        "JavaScript's answer."
        return self.call("/execute/sync", script=script, args=list(words))

    def cdp(self, command, **settings):
        "A command of Chromium's own protocol."
        return self.call("/goog/cdp/execute", cmd=command, params=settings)

    def find(self, css):
        return self.call("/element", using="css selector", value=css)[_element]

    def click(self, css):
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", css)
        self.call(f"/element/{self.find(css)}/click")

    def type(self, css, text):
        "Keys into an element; a path into a file field."
        self.call(f"/element/{self.find(css)}/value", text=text)

    def keys(self, *keys):
        "Keys to whatever has the focus."
        presses = [dict(type=kind, value=key) for key in keys for kind in ("keyDown", "keyUp")]
        self.call("/actions", actions=[dict(type="key", id="keyboard", actions=presses)])

    def until(self, script, *words, seconds=60):
        "Wait until the script's answer is true, and give it."
        end = time.monotonic() + seconds
        while not (found := self.run(script, *words)):
            if time.monotonic() > end:
                raise TimeoutError(f"never became true: {script}; the page says: {self.run('return document.body.innerText')[:600]}")
            time.sleep(0.1)
        return found

    def screen(self, width, height=1000, dark=False):
        "The size of the window's inside, and what the reader's system prefers."
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setEmulatedMedia", features=[dict(name="prefers-color-scheme", value="dark" if dark else "light")])

    def photograph(self, path):
        "The whole page as a PNG file."
        size = self.run("return [document.documentElement.clientWidth, document.documentElement.scrollHeight]")
        clip = dict(x=0, y=0, width=size[0], height=size[1], scale=1)
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def requests(self):
        "Addresses that were asked for since the last call."
        found = (json.loads(entry["message"])["message"] for entry in self.call("/se/log", type="performance"))
        return [m["params"]["request"]["url"] for m in found if m["method"] == "Network.requestWillBeSent"]

    def console(self):
        "Errors that the page wrote since the last call."
        return [entry["message"] for entry in self.call("/se/log", type="browser") if entry["level"] == "SEVERE"]

    def close(self):
        try:
            self.call("", method="DELETE")
        finally:
            self.process.terminate()
            self.process.wait()
