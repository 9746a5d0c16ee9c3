"""What a team brings: factories, functions, and models that answer as no model should."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import foreign


def linear():
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())


def forest():
    return RandomForestClassifier(3, max_depth=3)


def neighbours():
    return make_pipeline(SimpleImputer(), StandardScaler(), KNeighborsClassifier(5))


def margins():
    return LinearSVC()


def by_itself(x, y, seed):
    """A recipe as a function: it returns a function of a data frame."""
    share = float(y.mean())
    return lambda frame: np.full(len(frame), share) + 1e-3 * np.nan_to_num(frame["age"].to_numpy())


def of_two(x, y):
    return None


def deployed():
    return foreign.fitted("linear", named=True)


def chance(frame):
    """P(ill) of a made up rule on two columns."""
    glucose = np.nan_to_num(frame["glucose"].to_numpy(dtype=float), nan=120.0)
    age = np.nan_to_num(frame["age"].to_numpy(dtype=float), nan=40.0)
    return 1 / (1 + np.exp(-((glucose - 120) / 20 + (age - 40) / 40)))


class Wrong:
    """A model with one fault."""

    calls = 0

    def __init__(self, fault):
        self.fault = fault

    def __call__(self, frame):
        said = chance(frame)
        if self.fault == "sorted":
            return np.sort(said)
        if self.fault == "by index":
            return said[np.argsort(frame.index.to_numpy(), kind="stable")]
        if self.fault == "shape":
            return np.zeros((len(frame), 3))
        if self.fault == "shorter":
            return said[:-1]
        if self.fault == "nan":
            return np.where(said > 0.9, np.nan, said)
        if self.fault == "outside":
            return said * 3 - 1
        if self.fault == "labels":
            return (said > 0.5).astype(int)
        if self.fault == "words":
            return np.where(said > 0.5, "ill", "healthy")
        if self.fault == "twice":
            Wrong.calls += 1
            return said * (1 - 0.01 * (Wrong.calls % 2))
        if self.fault == "together":
            return said / (1 + said.mean())
        if self.fault == "slow":
            time.sleep(0.03 * len(frame))
            return said
        if self.fault == "column":
            return frame["haemoglobin"].to_numpy()
        return said


@contextmanager
def served(answer=None, *, status=(200,)):
    """A server on loopback that answers POSTs; yields its address and what it was sent."""
    sent = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            sent.append(body)
            code = status[min(len(sent), len(status)) - 1]
            reply = (
                json.dumps(answer(body) if answer else plain(body)) if code == 200 else "no\nway"
            )
            self.send_response(code)
            self.end_headers()
            self.wfile.write(reply.encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/predict", sent
    finally:
        server.shutdown()
        server.server_close()


def plain(records):
    return [(one["glucose"] or 0.0) / 1000 for one in records]


def rule():
    return chance


class Ward(torch.nn.Module):
    """A network with its own first layer, which fills gaps."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(5, generator=generator))
        self.register_buffer("center", torch.tensor([120.0, 30.0, 5.0, 0.5, 40.0]))
        self.register_buffer("scale", torch.tensor([30.0, 7.0, 1.0, 0.3, 12.0]))

    def forward(self, x):
        filled = torch.where(x.isnan(), self.center.to(x.dtype), x)
        return ((filled - self.center) / self.scale) @ self.weight


def module():
    return Ward()
