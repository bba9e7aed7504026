"""Write cifar_cam/measured.json, the results that `recipes()` shows, from the records of runs:
`python nbs/_tools/measured.py [folder of records]`.

A record counts only for a recipe as it is now: one whose training was changed since has to be run again."""
import json
import sys
from pathlib import Path

from cifar_cam.recipe_cards import Recipe
from cifar_cam.recipes import recipe

root = Path(__file__).resolve().parents[2]


def is_current(ran):
    "Whether the registered recipe, stretched to the same length, is what was run."
    try:
        return not set(ran.training_differs(recipe(ran.name, ran.mode).scaled(ran.epochs))) - {"explain_layers"}
    except ValueError:
        return False


def collect(records):
    "A row for each finished run in `records`, a folder of folders with run.json and metrics.json."
    rows = []
    for folder in sorted(path.parent for path in Path(records).glob("*/metrics.json")):
        record, metrics = (json.loads((folder/name).read_text()) for name in ("run.json", "metrics.json"))
        ran = Recipe.from_dict(record["recipe"])
        if not is_current(ran) or metrics["epochs"] != ran.epochs:
            print(f"left out: {folder.name} (not the recipe {ran.name} as it is now, or not finished)", file=sys.stderr)
            continue
        rows.append(dict(recipe=ran.name, mode=ran.mode, epochs=ran.epochs, seed=record["seed"], data=record["data"]["note"] or record["data"]["name"],
                         machine=record["machine"]["name"], seconds=round(metrics["seconds"], 1),
                         **{k: metrics[k] for k in ("test_accuracy", "test_accuracy_tta") if k in metrics}))
    return rows


if __name__ == "__main__":
    rows = collect(sys.argv[1] if len(sys.argv) > 1 else root/"nbs"/"records")
    (root/"cifar_cam"/"measured.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{len(rows)} results")
