"""The command line: what it writes, what it prints, how it ends."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from fcn_core.cli import entry
from fcn_core.engines import graph_cache, load
from fcn_core.export import files
from fcn_core.networks.zoo import MODELS
from fcn_core.synsets.ontology import Ontology
from fcn_core.system.folders import cache_dir
from tests.waiting import PATIENCE

MODEL = ("--model", "efficientnet-lite0")
ALL_FILES = files.FILES
SMALL = (*MODEL, "--scales", "64x96")
RANDOM = ("--model", "resnet50", "--weights", "none", "--scales", "64x96")  # which other tests have prepared


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit status, output, error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = entry.main([str(a) for a in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    yield run
    os.environ.pop("FCN_LOG", None)
    from fcn_core import logs

    logs.configure("off")


@pytest.fixture(scope="module")
def photographs():
    """A cat as PNG and a cup as JPEG, of half the usual sides."""
    files = []
    for pixels, kind in ((skimage.data.chelsea(), "PNG"), (skimage.data.coffee(), "JPEG")):
        files.append(io.BytesIO())
        Image.fromarray(pixels[::2, ::2]).save(files[-1], kind)
    return [file.getvalue() for file in files]


@pytest.fixture
def pictures(tmp_path, monkeypatch, photographs):
    """A folder with pictures, good and bad; the figure, which takes longest, is not drawn."""
    kept = {name: make for name, make in ALL_FILES.items() if name != "figure.png"}
    monkeypatch.setattr(files, "FILES", kept)
    folder = tmp_path / "pictures"
    (folder / "other").mkdir(parents=True)
    cat, coffee = photographs
    for name in ("cat.png", "other/cat.png", "[red] Kätzchen 犬.png", "....png"):
        (folder / name).write_bytes(cat)
    (folder / "coffee.jpg").write_bytes(coffee)
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("not a picture", encoding="utf-8")
    (folder / "cut.jpg").write_bytes(coffee[:2000])
    return folder


def one_line(err: str) -> str:
    assert err.startswith("fcn_core: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    return err


def test_heatmap_writes_a_folder_a_picture_and_tells_of_it(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "FILES", ALL_FILES)
    out = tmp_path / "out"
    status, text, err = run("heatmap", pictures / "cat.png", "--synset", "cat", *SMALL, "--out", out)
    assert (status, err) == (0, "")
    names = {"manifest.json", "maps.npz", "mask.png", "overlay.png", "figure.png"}
    assert {p.name for p in (out / "cat").iterdir()} == names
    manifest = json.loads((out / "cat" / "manifest.json").read_text(encoding="utf-8"))
    (scale,) = manifest["scales"]
    assert f"cat (n02121620, 7 classes)\n       64x96  grid {scale['grid'][0]:3d} x" in text
    assert f"peak {scale['peak']:6.3f}" in text
    assert f"{len(manifest['boxes'])} box" in text
    assert "random" not in text


def test_json_prints_the_manifest_one_line_a_picture(run, pictures, tmp_path):
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path, "--json")
    assert (status, err) == (0, "")
    printed = [json.loads(line) for line in text.splitlines()]
    assert [m["image"]["name"] for m in printed] == ["cat.png", "coffee.jpg"]
    for manifest in printed:
        written = tmp_path / Path(manifest["image"]["name"]).stem / "manifest.json"
        assert json.loads(written.read_text(encoding="utf-8")) == manifest


def test_one_bad_picture_is_reported_and_the_others_are_done(run, pictures, tmp_path):
    bad = ("empty.png", "text.png", "cut.jpg", "nowhere.png", "other")
    images = [pictures / n for n in ("cat.png", *bad, "coffee.jpg")]
    status, text, err = run(
        "heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path / "out", "--json"
    )
    assert status == 2
    lines = err.splitlines()
    assert len(lines) == len(bad)
    for line, name in zip(lines, bad, strict=True):
        assert line.startswith(f"fcn_core: {pictures / name}: ")
    assert [json.loads(line)["image"]["name"] for line in text.splitlines()] == ["cat.png", "coffee.jpg"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cat", "coffee"}


def test_the_same_stem_twice_gives_two_folders(run, pictures, tmp_path):
    images = pictures / "cat.png", pictures / "other" / "cat.png", pictures / "....png"
    status, _, _ = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path / "out")
    assert status == 0
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"cat", "cat-2", "png"}
    assert not (tmp_path / "manifest.json").exists()


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["a/x.png", "b/x.jpg", "X.png"], ["x", "x-2", "X-3"]),
        (["x.png", "x-2.png", "x.jpg"], ["x", "x-2", "x-3"]),
        (["..", "...png", "../../x.png"], ["picture", "png", "x"]),
    ],
)
def test_folders_never_collide_nor_leave_the_output(names, folders):
    assert entry._folders(names, Path("out")) == [Path("out") / f for f in folders]


BAD_ARGUMENTS = [
    ([], "COMMAND is missing"),
    (["frobnicate"], "invalid choice: 'frobnicate'"),
    (["heatmap"], "required: IMAGE, --synset, --out"),
    (["heatmap", "{cat}", "--synset", "cat"], "required: --out"),
    (["heatmap", "{cat}", "--synset", "flibber", "--out", "{out}"], "'flibber' is neither wnid nor word"),
    (["heatmap", "{cat}", "--synset", "crane", "--out", "{out}"], "'crane' has 2 senses"),
    (["heatmap", "{cat}", "--synset", "n00000000", "--out", "{out}"], "n00000000"),
    (["heatmap", "{cat}", "--synset", "", "--out", "{out}"], "neither wnid nor word"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "big"], "'big' as a scale"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", ""], "0 scales"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "8x8"], "at least 32"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "99999x99999"], "megapixels"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--scales", "-1x5"], "scale"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "1.5"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "-0.5"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "nan"], "from 0 to 1"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--threshold", "high"], "'high'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--fit", "cover"], "invalid choice: 'cover'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--map", "heat"], "invalid choice: 'heat'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--output-stride", "7"], "invalid choice: 7"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--engine", "torch"], "'torch'"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--model", "vgg"], "efficientnet-lite2"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{cat}"], "cannot be made"),
    (["heatmap", "{cat}", "--synset", "cat", "--out", "{cat}/deep"], "cannot be made"),
    (["synset", "flibber"], "neither wnid nor word"),
    (["synset", "crane"], "2 senses"),
    (["synset"], "WNID_OR_WORD"),
    (["models", "--prepare", "vgg"], "Expected a model among"),
    (["models", "--prepare", ""], "empty name"),
    (["verify", "--model", "vgg"], "Expected a model among"),
    (["evaluate", "{out}.csv"], "cannot be read"),
    (["evaluate", "{cat}"], "cannot be read"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_ARGUMENTS, ids=[" ".join(a) for a, _ in BAD_ARGUMENTS])
def test_bad_arguments_end_in_one_line_and_status_2(run, pictures, tmp_path, arguments, message):
    places = {"cat": pictures / "cat.png", "out": tmp_path / "out"}
    status, text, err = run(*(a.format(**places) for a in arguments))
    assert (status, text) == (2, "")
    assert message in one_line(err)


@pytest.mark.parametrize(
    "arguments",
    [
        ("heatmap", "{cat}", "--synset", "cat", "--out", "{out}", "--model", "resnet50"),
        ("models", "--prepare", "resnet50"),
        ("evaluate", "{index}", "--model", "resnet50"),
    ],
)
def test_weights_that_cannot_be_had_end_in_status_3_and_say_which_file(
    run, pictures, tmp_path, index, arguments
):
    places = {"cat": pictures / "cat.png", "out": tmp_path / "out", "index": index}
    status, text, err = run(*(a.format(**places) for a in arguments))
    assert (status, text) == (3, "")
    assert "resnet50_weights_tf_dim_ordering_tf_kernels.h5" in one_line(err)
    assert "FCN_WEIGHTS_DIR" in err


def test_a_folder_that_cannot_be_written_stops_that_picture_alone(run, pictures, tmp_path):
    (tmp_path / "cat").touch()
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path)
    assert status == 2
    assert "cannot be written" in one_line(err)
    assert "coffee.jpg" in text


def test_odd_scales_are_sorted_and_doubles_dropped(run, pictures, tmp_path):
    scales = "128x100, 33x47,64X96,33x47"
    arguments = ("--synset", "cat", *MODEL, "--scales", scales, "--fit", "exact", "--out", tmp_path, "--json")
    status, text, _ = run("heatmap", pictures / "cat.png", *arguments)
    assert status == 0
    found = [(s["requested"], s["input"], s["grid"]) for s in json.loads(text)["scales"]]
    assert found == [
        ("33x47", [33, 47], [2, 2]),
        ("64x96", [64, 96], [2, 3]),
        ("128x100", [128, 100], [4, 4]),
    ]


def test_every_option_reaches_the_analysis(run, pictures, tmp_path, lite0, monkeypatch):
    asked = []

    def loaded(*arguments):
        asked.append(arguments[:4])
        return lite0

    monkeypatch.setattr(load, "load_model", loaded)
    model = ("--model", "resnet50", "--engine", "openvino", "--weights", "none", "--output-stride", "16")
    options = ("--map", "evidence", "--fit", "exact", "--threshold", "0.25", "--no-snap", "--scales", "64x96")
    place = ("--out", tmp_path, "--json")
    status, text, err = run("heatmap", pictures / "cat.png", "--synset", "cat", *model, *options, *place)
    assert (status, err) == (0, "")
    assert asked == [("resnet50", "openvino", "none", 16)]
    manifest = json.loads(text)
    assert (manifest["map"], manifest["fit"], manifest["threshold"]) == ("evidence", "exact", 0.25)
    assert manifest["snapped"] is False
    assert manifest["scales"][0]["input"] == [64, 96]


def test_random_weights_are_said_on_the_terminal_and_in_the_manifest(
    run, pictures, tmp_path, random_resnet50
):
    arguments = ("--synset", "cat", *RANDOM, "--out", tmp_path)
    status, text, _ = run("heatmap", pictures / "cat.png", *arguments)
    assert status == 0
    assert "(random weights)" in text
    manifest = json.loads((tmp_path / "cat" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["model"]["weights"] == "random"
    assert manifest["model"]["weights_sha256"] is None


def test_the_environment_chooses_model_and_engine(run, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    arguments = ("heatmap", pictures / "cat.png", "--synset", "cat", "--scales", "64x96", "--out", tmp_path)
    assert json.loads(run(*arguments, "--json")[1])["model"]["name"] == "efficientnet-lite0"
    monkeypatch.setenv("FCN_ENGINE", "abacus")
    status, _, err = run(*arguments)
    assert status == 2
    assert "'abacus'" in one_line(err)


# synsets, synset, models, verify, evaluate, --check


def test_synsets_searches_best_first(run):
    status, text, _ = run("synsets", "dog", "--json")
    rows = json.loads(text)
    assert status == 0
    assert rows[0]["wnid"] == "n02084071"
    assert set(rows[0]) == {"wnid", "words", "gloss", "classes"}
    assert rows[0]["classes"] == 118
    status, text, _ = run("synsets", "dog")
    assert [line.split()[0] for line in text.splitlines()] == [row["wnid"] for row in rows]


@pytest.mark.parametrize("query", ["zzzzqqqqxxxx", "∅", "\x1b[31m"])
def test_synsets_without_a_match_says_so(run, query):
    status, text, _ = run("synsets", query)
    assert status == 0
    assert "\x1b" not in text
    assert json.loads(run("synsets", query, "--json")[1]) == [] or text.startswith("n")


@pytest.mark.parametrize("name", ["dog", "n02084071", "Domestic Dog"])
def test_synset_gives_what_the_contract_names(run, name):
    status, text, _ = run("synset", name, "--json")
    row = json.loads(text)
    assert status == 0
    assert set(row) == {"wnid", "words", "gloss", "parents", "children", "class_ids"}
    dog = Ontology.load()["n02084071"]
    assert row["wnid"] == dog.wnid
    assert row["words"] == list(dog.words)
    assert row["parents"] == list(dog.parents)
    assert row["children"] == list(dog.children)
    assert len(row["class_ids"]) == 118
    plain = run("synset", name)[1]
    assert "classes:  118" in plain
    assert "corgi (n02112826)" in plain


def test_models_tells_what_is_ready_and_what_would_be_fetched(run, lite0):
    rows = {row["name"]: row for row in json.loads(run("models", "--json")[1])}
    assert set(rows) == {"efficientnet-lite0", "efficientnet-lite2", "resnet50"}
    assert rows["efficientnet-lite0"]["state"] == "ready"
    assert rows["resnet50"]["state"] == "fetches 103 MB"
    assert rows["resnet50"]["weights"] is None
    text = run("models")[1]
    *lines, held = text.splitlines()
    assert len(lines) == 3
    assert all(name in text for name in rows)
    assert re.fullmatch(rf"The cache {re.escape(str(cache_dir()))} holds \d+ MB\.", held)


def test_prepare_makes_a_model_ready(run, tmp_path, monkeypatch, lite0):
    made = graph_cache.prepare_graph(MODELS["efficientnet-lite0"])

    def export_in_child(spec, weights, output_stride, folder):  # a copy of what it makes
        assert (spec.name, output_stride) == ("efficientnet-lite0", 32)
        shutil.copytree(made.path.parent, folder, dirs_exist_ok=True)
        (folder / "geometry.json").write_text(json.dumps(made.geometry.to_json()), encoding="utf-8")

    monkeypatch.setattr(graph_cache, "_export_in_child", export_in_child)
    monkeypatch.setenv("FCN_CACHE_DIR", str(tmp_path))
    state = {row["name"]: row["state"] for row in json.loads(run("models", "--json")[1])}
    assert state["efficientnet-lite0"] == "weights here"
    status, text, err = run("models", "--prepare", "efficientnet-lite0")
    assert (status, err) == (0, "")
    assert text == "EfficientNet-Lite0 is ready on openvino.\n"
    state = {row["name"]: row["state"] for row in json.loads(run("models", "--json")[1])}
    assert state["efficientnet-lite0"] == "ready"


def test_check_proves_the_installation(run, monkeypatch, lite0):
    monkeypatch.setenv("FCN_MODEL", "efficientnet-lite0")
    status, text, err = run("--check")
    assert (status, err) == (0, "")
    assert text.startswith("EfficientNet-Lite0 on openvino: the sample picture of a cat is class 28")
    assert "as it should be" in text


def test_check_fails_where_the_answer_is_wrong(run, monkeypatch, random_resnet50):
    monkeypatch.setattr(load, "load_model", lambda *_: random_resnet50)
    status, text, _ = run("--check")
    assert status == 1
    assert "expected one of 281 to 285" in text


def test_check_without_a_model_says_why(run, monkeypatch):
    monkeypatch.setenv("FCN_MODEL", "resnet50")
    status, _, err = run("--check")
    assert status == 3
    assert "resnet50_weights" in one_line(err)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("index")
    for name in ("chelsea", "coffee"):
        pixels = getattr(skimage.data, name)()
        mask = np.zeros(pixels.shape[:2], np.uint8)
        mask[40:260, 60:400] = 255
        Image.fromarray(pixels).save(folder / f"{name}.png")
        Image.fromarray(mask).save(folder / f"{name}-mask.png")
    path = folder / "index.csv"
    path.write_text(
        "image,synset_wnid,mask\nchelsea.png,n02121620,chelsea-mask.png\ncoffee.png,n07930864,coffee-mask.png\n",
        encoding="utf-8",
    )
    return path


def test_evaluate_prints_the_measures(run, index):
    status, text, err = run("evaluate", index, *SMALL)
    assert (status, err) == (0, "")
    head, *rows = text.splitlines()
    assert head == "2 pictures, EfficientNet-Lite0 on openvino, 64x96, aspect"
    names = ["pointing accuracy", "PxAP", "MaxBoxAccV2", "mean IoU", "seconds an image"]
    assert [row[:19].strip() for row in rows] == names
    assert all(float(row[19:].split()[0]) >= 0 for row in rows)


def test_evaluate_leaves_out_what_boxes_alone_cannot_tell(run, index):
    path = index.with_name("boxes.csv")
    path.write_text("image,synset_wnid,boxes\nchelsea.png,n02121620,60 40 400 260\n", encoding="utf-8")
    status, text, err = run("evaluate", path, *SMALL)
    assert (status, err) == (0, "")
    head, *rows = text.splitlines()
    assert head == "1 picture (0 with masks, 1 with boxes), EfficientNet-Lite0 on openvino, 64x96, aspect"
    assert [row[:19].strip() for row in rows] == ["pointing accuracy", "MaxBoxAccV2", "seconds an image"]


@pytest.mark.parametrize("kind", ["fine", "probability", "evidence"])
def test_evaluate_as_json(run, index, kind, random_resnet50):
    status, text, _ = run("evaluate", index, *RANDOM, "--map", kind, "--json")
    found = json.loads(text)
    assert status == 0
    assert (found["way"], found["weights"], found["pictures"]) == (kind, "random", 2)
    assert {"pointing", "pxap", "max_box_acc_v2", "mean_iou", "seconds", "scales", "model"} <= set(found)


def test_evaluate_compares_all_ways(run, index, monkeypatch, random_resnet50):
    from fcn_core.evaluation import evaluate

    ways = {}
    plain = evaluate.evaluate_index

    def recorded(*arguments, **options):
        ways.update(asked=options["ways"])
        return plain(*arguments, **{**options, "ways": [w for w in options["ways"] if "gradcam" not in w]})

    monkeypatch.setattr(evaluate, "evaluate_index", recorded)
    status, text, _ = run("evaluate", index, *RANDOM, "--compare")
    assert status == 0
    assert ways["asked"] == tuple(evaluate.WAYS)
    assert "(random weights)" in text
    assert "notebook's mean" in text
    found = json.loads(run("evaluate", index, *SMALL, "--compare", "--json")[1])
    assert [r["way"] for r in found["results"]] == [w for w in evaluate.WAYS if "gradcam" not in w]


# Faults, logs, terminals


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (
            RuntimeError("boom\nacross lines \x1b[31m"),
            70,
            "a fault of the program (RuntimeError: boom across",
        ),
        (MemoryError(), 2, "memory of this machine did not suffice"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_whatever_happens_is_one_line(run, monkeypatch, raised, status, said):
    def fail():
        raise raised

    monkeypatch.setattr(Ontology, "load", fail)
    found, text, err = run("synsets", "dog")
    assert (found, text) == (status, "")
    assert said in one_line(err)
    assert "\x1b" not in err


def test_a_fault_is_logged_by_kind_and_place_without_its_message(run, monkeypatch):
    def fail():
        raise RuntimeError("/home/someone/secret.jpg")

    monkeypatch.setattr(Ontology, "load", fail)
    monkeypatch.setenv("FCN_LOG", "json")
    status, _, err = run("synsets", "dog")
    assert status == 70
    record = json.loads(err.splitlines()[0])
    assert (record["level"], record["event"], record["fault"]) == ("error", "fault", "RuntimeError")
    assert any("test_cli.py" in frame for frame in record["stack"])
    assert "secret" not in err.splitlines()[0]


RECORD = {"time", "level", "event", "model", "weights", "engine", "output_stride", "fit", "map", "scales"}
RECORD |= {"seconds", "peak_rss_mb", "cache_hit"}


def test_the_log_has_a_record_an_analysis_without_the_picture_or_its_name(
    run, pictures, tmp_path, monkeypatch
):
    monkeypatch.setenv("FCN_LOG", "json")
    images = pictures / "cat.png", pictures / "coffee.jpg"
    status, text, err = run("heatmap", *images, "--synset", "cat", *SMALL, "--out", tmp_path, "--json")
    assert status == 0
    records = [json.loads(line) for line in err.splitlines()]
    assert [set(r) for r in records] == [RECORD, RECORD]
    for record, line in zip(records, text.splitlines(), strict=True):
        manifest = json.loads(line)
        assert record["seconds"] == round(manifest["seconds"], 3)
        assert (record["model"], record["scales"]) == ("efficientnet-lite0", ["64x96"])
        assert record["cache_hit"] is False
        assert manifest["image"]["sha256"] not in err
    for secret in ("coffee", "cat.png", "n02121620", str(tmp_path)):
        assert secret not in err
    monkeypatch.setenv("FCN_LOG", "text")
    err = run("heatmap", images[0], "--synset", "cat", *SMALL, "--out", tmp_path)[2]
    assert " info analysis model=efficientnet-lite0 " in err
    assert " scales=64x96 " in err
    assert err.count("\n") == 1
    monkeypatch.setenv("FCN_LOG", "off")
    assert run("synset", "dog")[2] == ""
    assert logging.getLogger("fcn_core").handlers == []


def test_a_log_style_that_is_none_is_refused(run, monkeypatch):
    monkeypatch.setenv("FCN_LOG", "xml")
    status, _, err = run("synset", "dog")
    assert status == 2
    assert "json, text or off" in one_line(err)


def _child(*arguments: object, **options):
    command = [sys.executable, "-m", "fcn_core", *map(str, arguments)]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def test_a_terminal_that_knows_no_umlauts_is_no_fault(pictures, tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    name = pictures / "[red] Kätzchen 犬.png"
    with _child(
        "heatmap", name, "--synset", "cat", *SMALL, "--out", tmp_path / "o", env=environment
    ) as child:
        out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, err) == (0, b"")
    assert b"K\\xe4tzchen \\u72ac.png" in out
    assert (tmp_path / "o" / "[red] Kätzchen 犬").is_dir()


def test_a_reader_that_goes_away_is_no_fault():
    with _child("synsets", "e") as child:
        child.stdout.close()
        err = child.stderr.read()
    assert (child.returncode, err) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_a_terminal_shows_progress_and_leaves_the_output_clean(pictures, tmp_path):
    import pty

    leader, follower = pty.openpty()
    name = pictures / "[red] Kätzchen 犬.png"
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    scales = ("--scales", "64x96,200x320")
    with _child(
        *("heatmap", name, "--synset", "cat", *MODEL, *scales, "--out", tmp_path),
        stderr=follower,
        env=environment,
    ) as child:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # Linux's way to say that the other side has closed
                break
            if not part:
                break
            shown += part
        out = child.stdout.read()
    os.close(leader)
    assert child.returncode == 0
    assert b"%" in shown
    assert "[red] Kätzchen".encode() in shown
    assert b"\x1b" not in out
    assert out.startswith(str(name).encode())
    assert (tmp_path / "[red] Kätzchen 犬" / "manifest.json").is_file()


def test_help_names_every_command(run):
    status, text, _ = run("--help")
    assert status == 0
    for command in ("heatmap", "synsets", "synset", "models", "verify", "evaluate"):
        assert f"    {command} " in text
        status, detail, _ = run(command, "--help")
        assert status == 0
        assert detail.startswith(f"usage: python -m fcn_core {command}")
