"""Reads the merged file of a sweep (docs/sweeps.md): arrays over arms, or comparisons, and axes; and sums up over seeds."""
import pathlib
import re

import h5py
import numpy as np

# Student's t, two-sided 95 %, by degrees of freedom; beyond ten, the one of ten, which is a little too wide.
T95 = [np.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228]


class Grid:
    def __init__(self, path):
        self.folder = pathlib.Path(path).parent / "points"
        with h5py.File(path) as file:
            self.values = {}
            file.visititems(self._read)
        self.arms = list(self.values["arm"])

    def _read(self, name, item):
        if isinstance(item, h5py.Dataset) and not name.startswith("points/"):
            self.values[name] = item.asstr()[()] if item.dtype.kind in "OS" else item[()]

    def axis(self, name, kind=None):
        """The places of an axis; labels of several fields together are texts, which `kind` turns into numbers."""
        return self.values[name] if kind is None else np.array([kind(value) for value in self.values[name]])

    def arm(self, metric, arm):
        """The metric of an arm over the axes, the last of them the seeds."""
        return self.values[metric][self.arms.index(arm)]

    def compared(self, metric, candidate, baseline, layer="comparison"):
        """The metric of a comparison; `paired` is the layer over one common table of costs."""
        members = list(self.values[f"{layer}/comparison"])
        return self.values[f"{layer}/{metric}"][members.index(f"{candidate} against {baseline}")]

    def run(self, *place):
        """The results file of a point."""
        return self.folder / (self.values["point_id"][place] + ".h5")


def hardware_figure(run, name):
    """A figure of the accelerator that a run was priced for, as its hardware file gives it: in bytes and seconds."""
    with h5py.File(run) as file:
        profile = file["profiles/000"].asstr()[()]
    found = re.search(rf"^  {name}: {{value: ([0-9.e+]+)", profile, re.M)
    if not found:
        raise SystemExit(f"{run}: /profiles/000 has no {name} in bytes per second")
    return float(found[1])


def over_seeds(values):
    """Mean over the last axis and half its 95 % confidence interval (Student's t), nan where one seed is all there is."""
    count = np.sum(np.isfinite(values), axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(values, axis=-1) / np.where(count > 0, count, np.nan)
        deviation = np.sqrt(np.nansum((values - mean[..., None]) ** 2, axis=-1) / (count - 1))
        t = np.array([T95[min(n - 1, len(T95) - 1)] if n > 1 else np.nan for n in count.ravel()]).reshape(count.shape)
        return mean, t * deviation / np.sqrt(count)
