"A live Jupyter kernel, spoken to as a front end speaks to it."
import queue
import time
from contextlib import contextmanager

from jupyter_client.manager import start_new_kernel


class Kernel:
    "Runs cells; `until_idle` gives what a front end sees."
    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3", startup_timeout=180)

    def until_idle(self, asked, seconds=300):
        "The messages that answer the request `asked`, one by one, until the kernel is idle again."
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=5)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != asked:
                continue
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return
            yield message
        raise TimeoutError("the kernel did not finish")

    def run(self, code, press_at=None):
        "What a cell printed and the name of its error; with `press_at`, stop is pressed when this was printed."
        printed, error = "", ""
        for message in self.until_idle(self.client.execute(code)):
            content = message["content"]
            printed += content["text"] if message["msg_type"] == "stream" else ""
            if message["msg_type"] == "error":
                error, printed = content["ename"], printed + "\n".join(content["traceback"])
            if press_at and press_at in printed:
                self.manager.interrupt_kernel()
                press_at = None
        return printed, error

    def move(self, widget, **state):
        "Sends what a front end sends when a slider is moved; the messages that come back."
        message = self.client.session.msg("comm_msg", dict(comm_id=widget, data=dict(method="update", state=state, buffer_paths=[])))
        self.client.shell_channel.send(message)
        return without_error(self.until_idle(message["header"]["msg_id"]))

    def show(self, code):
        "The messages of a cell that must not fail."
        return without_error(self.until_idle(self.client.execute(code)))


def without_error(messages):
    found = list(messages)
    for message in found:
        assert message["msg_type"] != "error", "\n".join(message["content"]["traceback"])
    return found


@contextmanager
def live_kernel(setup):
    "A kernel in which `setup` has run; it is shut down at the end."
    kernel = Kernel()
    try:
        kernel.show(setup)
        yield kernel
    finally:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=True)
