"""Keep what a finished run leaves behind as a record: `python nbs/_tools/keep_record.py runs/fast nbs/records/fast`.

Takes run.json, history.csv, metrics.json, lr_find.json and the figures that pages show, these with 64 colours; not the weights."""
import shutil
import sys
from pathlib import Path

from PIL import Image

texts = ("run.json", "history.csv", "metrics.json", "lr_find.json")
figures = ("confusion", "curves", "gradcam", "gradcam_layers", "mistakes", "per_class")


def keep(run, record):
    "Copy a run folder's record; raises FileNotFoundError for a run that is not finished."
    run, record = Path(run), Path(record)
    if not (run/"metrics.json").is_file():
        raise FileNotFoundError(f"{run} holds no metrics.json; finish the run with the command that began it")
    record.mkdir(parents=True, exist_ok=True)
    for name in texts:
        if (run/name).is_file():
            shutil.copyfile(run/name, record/name)
    for name in figures:
        if (source := run/"figures"/f"{name}.png").is_file():
            with Image.open(source) as picture:
                picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(record/source.name, optimize=True)


if __name__ == "__main__":
    keep(*sys.argv[1:])
