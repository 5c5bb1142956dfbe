#!/usr/bin/env python3
"""A merged sweep in xarray, netCDF's reader and h5py: dimensions, coordinates, missing points, statistics over seeds and
links, with none of this project's code.

    .venv-plots/bin/python Tests/Sweeps/opens_in_xarray.py
"""
import pathlib
import tempfile

import h5py
import numpy as np
import xarray

from sweeping import ROOT, command, demand, run


def main():
    with tempfile.TemporaryDirectory(prefix="alchemist-xarray-") as folder:
        output = pathlib.Path(folder) / "out"
        run(*command(ROOT / "experiments/sweep.yaml", output))
        path = output / "merged.h5"
        with xarray.open_dataset(path) as data:
            print(data.sizes)
            demand(dict(data.sizes) == {"arm": 3, "trace_rate": 2, "trace_target_p": 3, "training_staleness": 3, "seed": 3},
                   f"other dimensions: {data.sizes}")
            demand(list(data.arm.values) == ["serve-only", "recompute", "reuse"], f"other arms: {data.arm.values}")
            demand(np.allclose(data.trace_target_p, [0.7, 0.8, 0.9]), "other values of target_p")
            speeds = data.tokens_per_busy_second.sel(arm="reuse", training_staleness="any", trace_rate=6)
            demand(bool(speeds.notnull().all()) and speeds.attrs["units"] == "tokens/s", "no speeds")
            left_out = data.ttft_p90.sel(arm="reuse", training_staleness="bounded(4)", trace_rate=6)
            demand(bool(left_out.isnull().all()), "what a constraint leaves out is not missing")
            mean = data.ttft_p90.sel(arm="reuse").mean("seed")
            ids = data.point_id.values
        with xarray.open_dataset(path, group="over_seeds") as seeds:
            ours = seeds.ttft_p90_mean.sel(arm="reuse")
            demand(np.allclose(ours, mean, equal_nan=True), "means over seeds are not xarray's")
            demand(bool((seeds.ttft_p90_ci95.sel(arm="reuse") > 0).any()), "no intervals")
        with xarray.open_dataset(path, group="comparison") as comparison:
            demand(list(comparison.comparison.values) == ["reuse against recompute"], "other comparisons")
            demand(float(comparison.training_speedup.max()) > 1, "reuse never helps")
        with h5py.File(path) as file:
            ids = [i for i in ids.ravel() if i and "points/" + i in file]
            demand(len(ids) == 45, f"{len(ids)} links, not 45")
            linked = file["points/" + ids[0]]
            demand(linked["arms/reuse/summary/ttft_p90"][()] > 0, "a link leads nowhere")
            scale = file["ttft_p90"].dims[1][0]
            demand(scale.name == "/trace_rate" and list(scale) == [2, 6], "no dimension scale")
        tree = xarray.open_datatree(path, group="/over_seeds")
        tree.close()
        print("xarray and h5py find dimensions, coordinates, statistics and links")


if __name__ == "__main__":
    main()
