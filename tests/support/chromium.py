"""A headless Chromium on the page, and the server that both sides talk through."""

import json
import queue
import shutil
import subprocess
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
"""Its path, or None."""


class Handler(SimpleHTTPRequestHandler):
    """Serves the first of some folders that has a file, and files that a test gives.

    Args:
        folders: Where files may be.
        given: Bytes by name, below `given/`.
        results: Gets what is posted.
    """

    def __init__(self, *args, folders, given, results) -> None:
        self.folders, self.given, self.results = folders, given, results
        super().__init__(*args)

    def translate_path(self, path: str) -> str:
        name = path.partition('?')[0].lstrip('/')
        found = (folder / name for folder in self.folders)
        return str(next(filter(Path.is_file, found), self.folders[0] / name))

    def do_GET(self) -> None:
        name = self.path.lstrip('/').removeprefix('given/')
        if not self.path.startswith('/given/'):
            super().do_GET()
        elif name in self.given:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.given[name])
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        self.results.put(self.rfile.read(int(self.headers['Content-Length'])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


@contextmanager
def serving(folders, given, results):
    """Serve on a free port; give the address."""
    handler = partial(Handler, folders=folders, given=given, results=results)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def drive(folders, profile: Path, steps: list[dict], given: dict, wait=180) -> dict:
    """Return what `drive.js` saw of some steps on the page.

    Args:
        folders: With the page and `drive.html`; the first that has a file gives it.
        profile: Folder for Chromium.
        steps: Each a section with strokes, or with names and types of files.
        given: Bytes of these files by name.
        wait: Seconds.
    """
    results = queue.Queue()
    given = given | {'steps.json': json.dumps(steps).encode()}
    options = ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run']
    options += [f'--user-data-dir={profile}', '--remote-debugging-port=0']  # stays open
    with serving(folders, given, results) as address:
        browser = subprocess.Popen(
            [CHROMIUM, *options, f'{address}/drive.html'],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            return json.loads(results.get(timeout=wait))
        finally:
            browser.kill()
            browser.wait()
