"""What a team brings: factories, functions, and models that answer as no model should."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import foreign


def linear():
    return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())


def forest():
    return RandomForestClassifier(3, max_depth=3)


def neighbours():
    return make_pipeline(SimpleImputer(), StandardScaler(), KNeighborsClassifier(5))


def components():
    return make_pipeline(SimpleImputer(), PCA(2, random_state=0), LogisticRegression())


def vectors():
    return make_pipeline(SimpleImputer(), StandardScaler(), SVC(probability=True, random_state=0))


class Nearest:
    """An own class, of which scikit-learn's `clone` knows enough; it holds whom it trained on."""

    def __init__(self, width=1.0, random_state=None):
        self.width, self.random_state = width, random_state

    def get_params(self, deep=True):
        return {"width": self.width, "random_state": self.random_state}

    def set_params(self, **parameters):
        vars(self).update(parameters)
        return self

    def fit(self, frame, y):
        self.x_, self.y_ = np.nan_to_num(frame.to_numpy()), np.asarray(y)
        self.shift_ = np.random.default_rng(self.random_state).normal(scale=0.01)
        self.told_ = lambda near: (near @ self.y_ + 0.5 + self.shift_) / (near.sum(1) + 1.1)
        return self

    def predict_proba(self, frame):
        away = np.abs(np.nan_to_num(frame.to_numpy())[:, None] - self.x_) / 30
        said = self.told_(np.exp(-away.sum(-1) / self.width))
        return np.stack([1 - said, said], 1)


def as_it_comes(x, y, seed):
    """A recipe that fits differently each time: it ignores the seed."""
    share = np.random.default_rng().random()
    return lambda frame: 0.5 + 0.4 * share * np.tanh(np.nan_to_num(frame["age"].to_numpy()) / 50)


def margins():
    return LinearSVC()


def by_itself(x, y, seed):
    """A recipe as a function: it returns a function of a data frame."""
    share = float(y.mean())
    return lambda frame: np.full(len(frame), share) + 1e-3 * np.nan_to_num(frame["age"].to_numpy())


def of_two(x, y):
    return None


def broken():
    raise ValueError("no weights\nsecond line")


class Ready:
    """A model that is ready when it is made."""

    def predict_proba(self, frame):
        return np.stack([1 - chance(frame), chance(frame)], 1)


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
