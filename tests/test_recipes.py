"The recipes of the five course documents run from start to a whole run folder, on a few drawn shapes."
import json

import pytest

from cifar_cam.checkpoint import load_run
from cifar_cam.data import shapes
from cifar_cam.recipes import recipe, run

few = shapes(train=160, test=40)


@pytest.mark.parametrize("name", ["seed0-s9", "seed1-s9", "seed2-doc", "seed3-s9", "seed4-s7"])
def test_document_recipe_runs(name, tmp_path):
    chosen = recipe(name, batch_size=min(40, recipe(name).batch_size)).scaled(1)
    result = run(chosen, few, out=tmp_path/name, progress=False)
    assert len(result.history) == 1 and result.history.measured("test_loss") and not result.interrupted
    assert {p.name for p in (tmp_path/name).iterdir()} >= {"run.json", "history.csv", "metrics.json", "predictions.npz", "model", "figures"}
    record = json.loads((tmp_path/name/"run.json").read_text())
    assert record["recipe"]["name"] == name and "scaled from" in record["recipe"]["note"]
    assert load_run(tmp_path/name).classes == few[0].classes
